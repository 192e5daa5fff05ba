//! Writes what a fuzzer begins with to `corpus/TARGET/`: the seeds that the tests of `sockeye-proto`
//! use too.

#[allow(dead_code, reason = "of the talks only what the peer sends is wanted")]
#[path = "../crates/sockeye-proto/tests/ws/rig.rs"]
mod rig;
#[path = "../crates/sockeye-proto/tests/fuzz/seed.rs"]
mod seed;
#[allow(dead_code, reason = "of the talks only what the peer sends is wanted")]
#[path = "../crates/sockeye-proto/tests/ws/talk.rs"]
mod talk;

use std::fs;
use std::io;
use std::path::Path;

use seed::Target;

fn main() -> io::Result<()> {
    for (target, name) in [
        (Target::Conversation, "conversation"),
        (Target::Draft, "draft"),
        (Target::Extension, "extension"),
        (Target::Frame, "frame"),
        (Target::Handshake, "handshake"),
        (Target::Http, "http"),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        fs::create_dir_all(&folder)?;
        let seeds = seed::seeds(target);
        for (index, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:02}")), seed)?;
        }
        println!("{name}: {} seeds", seeds.len());
    }
    Ok(())
}
