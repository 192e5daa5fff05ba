//! That io_uring is used where it is asked for. The other tests run on it too: those that try
//! every driver, and all of them with `RUSTFLAGS='--cfg sockeye_driver="uring"'`.
#![cfg(feature = "uring")]

use sockeye::{Engine, PollerKind};

#[test]
fn it_is_there_and_told() {
    PollerKind::Uring.check().unwrap();
    for kind in [PollerKind::Uring, PollerKind::Auto] {
        let engine = Engine::builder().poller(kind).build().unwrap();
        assert_eq!(engine.poller_kind(), Some(PollerKind::Uring));
    }
    let engine = Engine::builder().poller(PollerKind::Poll).build().unwrap();
    assert_eq!(engine.poller_kind(), Some(PollerKind::Poll));
}

#[test]
fn the_default_is_what_the_tests_are_built_for() {
    let expected = match cfg!(sockeye_driver = "uring") {
        true => PollerKind::Uring,
        false => PollerKind::Epoll,
    };
    assert_eq!(PollerKind::default(), expected);
    assert_eq!(Engine::new().unwrap().poller_kind(), Some(expected));
}
