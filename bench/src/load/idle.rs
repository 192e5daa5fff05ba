//! Connections that do nothing, or nothing any more: how much memory the server spends on each.

use std::io;
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::frame::Kind;
use crate::link::{Buffers, Link};
use crate::many;
use crate::opening::Opener;
use crate::script::Script;
use crate::verifier::Verifier;
use crate::watch::Watch;
use crate::{IdleArgs, Outcome};

/// How long the server may take to tidy up after the last handshake.
const SETTLING: Duration = Duration::from_millis(200);
const BUFFER_LEN: usize = 16 * 1024;

pub(crate) fn run(args: &IdleArgs) -> Result<Outcome, Failure> {
    let watch = Watch::new(args.server.watch)?;
    let opener = Opener::new(&args.server.url, args.deflate)?;
    let script = Script::new(Kind::Json, args.size, args.deflate);
    let one = |buffers: &mut Buffers| {
        let mut link = opener.open(buffers)?;
        talk(&mut link, &script, args.talk, buffers)?;
        Ok(link)
    };
    let mut links = Vec::new();
    let open = |links: &mut Vec<Link>, count| {
        links.extend(many::opened(&one, count)?);
        thread::sleep(SETTLING);
        Ok(())
    };
    // What a server sets up once is not what a connection costs.
    open(&mut links, args.uncounted)?;
    let memory = watch.memory()?;
    let start = watch.snapshot(0)?;
    open(&mut links, args.connections)?;
    let mut outcome = start.until(&watch.snapshot(args.connections as u64)?);
    outcome.server_memory = watch
        .memory()?
        .zip(memory)
        .map(|(after, before)| after - before);

    let mut buffers = Buffers::new(BUFFER_LEN);
    for link in &mut links {
        link.stream()
            .set_nonblocking(true)
            .map_err(Failure::io("set up a socket"))?;
        match link.read(&mut buffers) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) => return Err(Failure::Server("closed an idle connection".to_owned())),
            Ok(_) => {}
            Err(error) => return Err(Failure::Io("read from an idle connection", error)),
        }
    }
    many::abort(&links)?;
    Ok(outcome)
}

/// Sends messages one by one, and awaits the echo of each.
fn talk(
    link: &mut Link,
    script: &Script,
    count: usize,
    buffers: &mut Buffers,
) -> Result<(), Failure> {
    let mut verifier = Verifier::new(script, 0);
    let mut answer = Vec::new();
    for message in 0..count {
        let mut position = script.start(message);
        while position < script.start(message + 1) {
            let slices = script.bytes(position, script.start(message + 1) - position);
            position += link.write(&slices).map_err(Failure::io("send messages"))?;
        }
        let mut complete = 0;
        while complete == 0 {
            let len = link.read(buffers).map_err(Failure::io("read echoes"))?;
            if len == 0 {
                return Err(Failure::Server("closed a connection".to_owned()));
            }
            complete = verifier
                .receive(script, &buffers.plain[..len], &mut answer)
                .map_err(Failure::Server)?;
        }
    }
    Ok(())
}
