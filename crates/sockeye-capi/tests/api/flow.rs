//! Receiving in pieces, and only when wanted.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use websockets::abi::*;

use super::program::*;
use super::wire::{Peer, frame};

/// What was received, put together.
fn received() -> Vec<u8> {
    let told = told_of(&[LWS_CALLBACK_RECEIVE]);
    told.iter().flat_map(|told| told.data.clone()).collect()
}

#[test]
fn pieces_are_the_same_however_a_frame_arrives() {
    let content: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
    let bytes = frame(0x82, &content);
    for cut in [1, 7, 4096, 4104, 10_008] {
        let program = Program::new();
        let seen = Rc::new(Cell::new(0));
        let sees = Rc::clone(&seen);
        on_callback(move |told| {
            if told.reason == LWS_CALLBACK_RECEIVE {
                let expected = [(4096, 5904), (4096, 1808), (1808, 0)];
                assert_eq!((told.len, remaining(told.wsi)), expected[sees.get()]);
                // SAFETY: in[len] is there, and a NUL.
                let end = unsafe { told.input.cast::<u8>().add(told.len).read() };
                assert_eq!(end, 0);
                sees.set(sees.get() + 1);
            }
            0
        });
        let mut peer = Peer::open(&program, Some("one"));
        // Byte by byte only where it matters: at the head and at the borders.
        for part in bytes.chunks(cut.max(64)) {
            peer.send(part);
            program.service(0);
        }
        program.until("all of it", || seen.get() == 3);
        assert_eq!(received(), content);
    }
}

#[test]
fn nothing_comes_while_nothing_is_wanted_and_nothing_is_lost() {
    let program = Program::new();
    on_callback(|told| {
        if told.reason == LWS_CALLBACK_RECEIVE {
            // After each piece the program has enough.
            assert_eq!(flow(told.wsi, false), 0);
        }
        0
    });
    let content: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let mut peer = Peer::open(&program, Some("one"));
    let wsi = told_of(&[LWS_CALLBACK_ESTABLISHED])[0].wsi;
    peer.frame(0x82, &content);
    peer.frame(0x81, b"and more");
    peer.frame(0x88, b"\x03\xe8");
    let mut pieces = 0;
    while received().len() < content.len() + 8 {
        program.until("a piece", || {
            told_of(&[LWS_CALLBACK_RECEIVE]).len() > pieces
        });
        pieces += 1;
        for _ in 0..3 {
            program.service(0);
        }
        assert_eq!(told_of(&[LWS_CALLBACK_RECEIVE]).len(), pieces);
        assert_eq!(told_of(&[LWS_CALLBACK_CLOSED]).len(), 0);
        assert_eq!(flow(wsi, true), 0);
    }
    program.until_told(LWS_CALLBACK_CLOSED);
    let expected = [&content[..], b"and more"].concat();
    assert!(received() == expected);
    let modes = told_of(&[
        LWS_CALLBACK_SET_MODE_POLL_FD,
        LWS_CALLBACK_CLEAR_MODE_POLL_FD,
    ]);
    let of_reading = modes.iter().filter(|told| told.len == 1).count();
    assert_eq!(of_reading, 2 * pieces, "each is told");
}

#[test]
fn a_pause_that_is_taken_back_at_once_is_none() {
    let program = Program::new();
    on_callback(|told| {
        if told.reason == LWS_CALLBACK_RECEIVE {
            flow(told.wsi, false);
            flow(told.wsi, true);
        }
        0
    });
    let mut peer = Peer::open(&program, Some("one"));
    peer.frame(0x82, &[1; 50_000]);
    peer.frame(0x82, &[2; 10]);
    program.until("all of it", || received().len() == 50_010);
}

#[test]
fn a_timeout_ends_an_idle_connection_and_can_be_taken_back() {
    let program = Program::new();
    let (first, _) = program.pair(c"one");
    let (second, _) = program.pair(c"one");
    set_timeout(first, PENDING_TIMEOUT_AWAITING_PING, 1);
    set_timeout(second, PENDING_TIMEOUT_AWAITING_PING, 1);
    set_timeout(second, NO_PENDING_TIMEOUT, 1);
    let began = Instant::now();
    // One wait without end: the timeout itself must end it.
    while told_of(&[LWS_CALLBACK_CLOSED]).is_empty() {
        assert_eq!(program.service(-1), 0);
    }
    assert!(began.elapsed().as_millis() >= 1000);
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED])[0].wsi, first);
    program.until("its server", || told_of(&[LWS_CALLBACK_CLOSED]).len() == 2);
    assert!(
        told_of(&[LWS_CALLBACK_CLOSED])
            .iter()
            .all(|told| told.wsi != second)
    );
    assert!(fd_of(second) > 2);
}
