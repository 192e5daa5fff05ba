//! The fuzz targets on a stable compiler: for the seeds that a fuzzer begins with, for what lies
//! near them, and for noise.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[allow(dead_code, reason = "of the talks only what the peer sends is wanted")]
#[path = "../ws/rig.rs"]
mod rig;
mod seed;
#[allow(dead_code, reason = "of the talks only what the peer sends is wanted")]
#[path = "../ws/talk.rs"]
mod talk;

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_proto::fuzz;

use self::seed::{Target, seeds};

fn run(target: Target, data: &[u8]) {
    match target {
        Target::Conversation => fuzz::conversation(data),
        Target::Draft => fuzz::draft(data),
        Target::Extension => fuzz::extension(data),
        Target::Frame => fuzz::frame(data),
        Target::Handshake => fuzz::handshake(data),
        Target::Http => fuzz::http(data),
    }
}

const TARGETS: [Target; 6] = [
    Target::Conversation,
    Target::Draft,
    Target::Extension,
    Target::Frame,
    Target::Handshake,
    Target::Http,
];

#[test]
fn seeds_pass_under_all_circumstances() {
    for target in TARGETS {
        for seed in seeds(target) {
            let circumstances = match seed.first() {
                Some(_) if !matches!(target, Target::Frame) => 0..=255,
                _ => continue,
            };
            for choice in circumstances {
                let mut data = seed.clone();
                data[0] = choice;
                run(target, &data);
            }
        }
    }
}

#[test]
fn seeds_get_far() {
    for target in TARGETS {
        assert!(seeds(target).len() >= 4, "{target:?}");
    }
}

/// A change to a seed: bytes that are replaced, taken out, put in, or taken from another seed.
#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Splice(usize, usize, usize),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place = 0..10_000usize;
    let change = prop_oneof![
        3 => (place.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (place.clone(), 1..20usize).prop_map(|(at, len)| Change::Remove(at, len)),
        1 => (place.clone(), vec(any::<u8>(), 1..8)).prop_map(|(at, data)| Change::Insert(at, data)),
        1 => (place.clone(), 0..100usize, place).prop_map(|(at, seed, from)| Change::Splice(at, seed, from)),
    ];
    vec(change, 0..6)
}

fn changed(seeds: &[Vec<u8>], index: usize, changes: &[Change]) -> Vec<u8> {
    let mut data = seeds[index % seeds.len()].clone();
    for change in changes {
        let place = |at: usize| at % (data.len() + 1);
        match change {
            Change::Set(at, byte) => {
                let at = place(*at);
                data.splice(at..(at + 1).min(data.len()), [*byte]);
            }
            Change::Remove(at, len) => {
                let at = place(*at);
                data.drain(at..(at + len).min(data.len()));
            }
            Change::Insert(at, more) => {
                let at = place(*at);
                data.splice(at..at, more.iter().copied());
            }
            Change::Splice(at, seed, from) => {
                let other = &seeds[seed % seeds.len()];
                let at = place(*at);
                data.truncate(at);
                data.extend_from_slice(&other[from % (other.len() + 1)..]);
            }
        }
    }
    data
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_lies_near_the_seeds(
        target in prop::sample::select(&TARGETS[..]),
        index in 0..1000usize,
        changes in changes(),
    ) {
        run(target, &changed(&seeds(target), index, &changes));
    }

    #[test]
    fn noise(target in prop::sample::select(&TARGETS[..]), data in vec(any::<u8>(), 0..200)) {
        run(target, &data);
    }
}
