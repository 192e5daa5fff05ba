//! The two ends without an engine: what is promised, and what a hostile sender gets.

#[path = "../../tests/fork/mod.rs"]
mod fork;

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::fork::{Child, alone};
use super::packet::{Head, INLINE_LEN};
use super::receiver::{Buffer, Received};
use super::{Receiver, SendError, Sender, channel};
use crate::{Kind, Limits, Message};

const MAX: usize = 1024 * 1024;

fn pair() -> (Sender, Receiver) {
    let limits = Limits {
        bus_message_len: MAX,
        ..Limits::default()
    };
    channel(&limits).unwrap()
}

/// Receives what must be a message.
fn receive(receiver: &Receiver) -> (Kind, Vec<u8>) {
    match receiver.receive(&mut Buffer::default()) {
        Received::Message(message) => (message.kind(), message.data().to_vec()),
        other => panic!("{other:?}"),
    }
}

fn is_empty(receiver: &Receiver) -> bool {
    matches!(receiver.receive(&mut Buffer::default()), Received::Empty)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| b'a' + (i % 23) as u8).collect()
}

#[test]
fn messages_of_every_length_arrive_whole_and_in_order() {
    let (sender, receiver) = pair();
    assert!(is_empty(&receiver));
    for len in [0, 1, INLINE_LEN - 1, INLINE_LEN, INLINE_LEN + 1, MAX] {
        let payload = pattern(len);
        let text = std::str::from_utf8(&payload).unwrap();
        sender.send(&payload[..]).unwrap();
        sender.try_send(text).unwrap();
        assert!(receive(&receiver) == (Kind::Binary, payload.clone()));
        assert!(receive(&receiver) == (Kind::Text, payload));
        assert!(is_empty(&receiver));
    }
    let error = sender.send(&pattern(MAX + 1)).unwrap_err();
    assert!(matches!(error, SendError::TooLong { len, max: MAX } if len == MAX + 1));
    assert!(is_empty(&receiver));
    for number in 0..100u8 {
        sender.send(&[number][..]).unwrap();
    }
    for number in 0..100u8 {
        assert_eq!(receive(&receiver), (Kind::Binary, vec![number]));
    }
}

#[test]
fn a_full_channel_says_so_and_has_room_again() {
    let (sender, receiver) = pair();
    for len in [0, INLINE_LEN, MAX] {
        let payload = pattern(len);
        let mut sent = 0;
        while sender.try_send(&payload).is_ok() {
            sent += 1;
            assert!(sent < 100_000, "the channel has no bound");
        }
        assert!(sent >= 2, "{sent} messages of {len} bytes");
        assert!(len <= INLINE_LEN || sent <= 20, "{sent} long messages");
        assert!(matches!(sender.try_send(""), Err(SendError::Full)));
        assert!(receive(&receiver).1 == payload);
        sender.try_send(&payload).unwrap();
        for _ in 0..sent {
            assert!(receive(&receiver).1 == payload);
        }
        assert!(is_empty(&receiver));
    }
}

#[test]
fn a_full_channel_makes_a_process_wait() {
    alone(
        concat!(module_path!(), "::a_full_channel_makes_a_process_wait"),
        || {
            let (sender, receiver) = pair();
            const COUNT: u32 = 20_000;
            let mut child = Child::start(|| {
                for number in 0..COUNT {
                    sender.send(&number.to_ne_bytes()[..]).unwrap();
                }
            });
            // More than the channel holds: till something is received, the child cannot end.
            assert!(!child.has_ended());
            let mut buffer = Buffer::default();
            let mut expected = 0;
            while expected < COUNT {
                match receiver.receive(&mut buffer) {
                    Received::Message(message) => {
                        assert_eq!(message.data(), expected.to_ne_bytes());
                        expected += 1;
                    }
                    Received::Empty => std::thread::yield_now(),
                    other => panic!("{other:?}"),
                }
            }
            child.succeeds();
        },
    );
}

#[test]
fn each_end_is_told_that_the_other_is_gone() {
    alone(
        concat!(module_path!(), "::each_end_is_told_that_the_other_is_gone"),
        || {
            let (sender, receiver) = pair();
            let other = sender.try_clone().unwrap();
            sender.send("last").unwrap();
            drop(sender);
            drop(other);
            assert_eq!(receive(&receiver), (Kind::Text, b"last".to_vec()));
            let mut buffer = Buffer::default();
            assert!(matches!(receiver.receive(&mut buffer), Received::Ended));

            let (sender, receiver) = pair();
            sender.send("never read").unwrap();
            drop(receiver);
            for message in ["", &"x".repeat(MAX)] {
                assert!(matches!(sender.send(message), Err(SendError::Gone)));
                assert!(matches!(sender.try_send(message), Err(SendError::Gone)));
            }
        },
    );
}

#[test]
fn no_signal_tells_that_the_receiver_is_gone() {
    alone(
        concat!(
            module_path!(),
            "::no_signal_tells_that_the_receiver_is_gone"
        ),
        || {
            let (sender, receiver) = pair();
            drop(receiver);
            Child::start(|| {
                #[allow(unsafe_code)]
                // SAFETY: the default is no function of ours.
                unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.unwrap();
                assert!(matches!(sender.send("hello"), Err(SendError::Gone)));
            })
            .succeeds();
        },
    );
}

/// Sends something that a [`Sender`] would not.
fn send_raw(sender: &Sender, packet: &[u8], files: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(files)));
    }
    let sent = sendmsg(
        sender,
        &[IoSlice::new(packet)],
        &mut control,
        SendFlags::DONTWAIT,
    );
    assert_eq!(sent.unwrap(), packet.len());
}

fn file(len: usize, seals: Option<SealFlags>) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create(c"test", flags).unwrap();
    let mut file = File::from(file);
    file.write_all(&pattern(len)).unwrap();
    if let Some(seals) = seals {
        fcntl_add_seals(&file, seals).unwrap();
    }
    file.into()
}

/// A long message's packet that announces so much.
fn long_packet(len: usize) -> Vec<u8> {
    let head = Head {
        kind: Kind::Text,
        len: len as u64,
    };
    [&head.encode()[..], &pattern(INLINE_LEN)].concat()
}

#[test]
fn what_is_no_message_is_rejected_and_the_next_one_arrives() {
    const LEN: usize = INLINE_LEN + 1000;
    let all = super::sender::SEALS;
    let (sender, receiver) = pair();
    let rejects = |what: &str, packet: &[u8], files: &[BorrowedFd<'_>]| {
        send_raw(&sender, packet, files);
        sender.send("next").unwrap();
        let mut buffer = Buffer::default();
        let received = receiver.receive(&mut buffer);
        assert!(
            matches!(received, Received::Rejected),
            "{what}: {received:?}"
        );
        assert_eq!(receive(&receiver), (Kind::Text, b"next".to_vec()), "{what}");
        assert!(is_empty(&receiver), "{what}");
    };
    let whole = file(1000, Some(all));

    send_raw(&sender, &long_packet(LEN), &[whole.as_fd()]);
    assert_eq!(receive(&receiver).1.len(), LEN, "this one is a message");

    rejects("nothing", b"", &[]);
    rejects("no head", b"hello", &[]);
    rejects("a packet beyond the longest", &[1; 2 * INLINE_LEN], &[]);
    rejects("no file", &long_packet(LEN), &[]);
    for len in [0, 999, 1001, 2_000_000] {
        rejects(
            "another length",
            &long_packet(LEN),
            &[file(len, Some(all)).as_fd()],
        );
    }
    for seal in [SealFlags::WRITE, SealFlags::SHRINK, SealFlags::GROW] {
        let file = file(1000, Some(all.difference(seal)));
        assert!(!fcntl_get_seals(&file).unwrap().contains(seal));
        rejects("a missing seal", &long_packet(LEN), &[file.as_fd()]);
    }
    rejects("no seal", &long_packet(LEN), &[file(1000, None).as_fd()]);
    rejects("beyond the bound", &long_packet(MAX + 1), &[whole.as_fd()]);
    rejects(
        "a length of all bits",
        &long_packet(usize::MAX),
        &[whole.as_fd()],
    );
    let invalid = [
        &Head {
            kind: Kind::Text,
            len: 2,
        }
        .encode()[..],
        &[0xc3, 0x28],
    ]
    .concat();
    rejects("no text", &invalid, &[]);

    // Reading a pipe would wait for ever. What was passed along is closed.
    let (mut reader, writer) = std::io::pipe().unwrap();
    rejects("a pipe", &long_packet(LEN), &[writer.as_fd()]);
    rejects("a pipe with a short message", b"hello", &[writer.as_fd()]);
    let files = [writer.as_fd(), whole.as_fd()];
    rejects("two files", &long_packet(LEN), &files);
    send_raw(
        &sender,
        &[&long_packet(4)[..Head::LEN], b"four"].concat(),
        &files,
    );
    assert_eq!(
        receive(&receiver).1,
        b"four",
        "what is not needed is ignored"
    );
    drop(writer);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}

#[test]
fn empty_packets_are_told_from_the_end() {
    alone(
        concat!(module_path!(), "::empty_packets_are_told_from_the_end"),
        || {
            let (sender, receiver) = pair();
            send_raw(&sender, b"", &[]);
            sender.send("last").unwrap();
            send_raw(&sender, b"", &[]);
            drop(sender);
            let mut buffer = Buffer::default();
            assert!(matches!(receiver.receive(&mut buffer), Received::Rejected));
            assert_eq!(receive(&receiver), (Kind::Text, b"last".to_vec()));
            assert!(matches!(receiver.receive(&mut buffer), Received::Ended));
        },
    );
}

#[test]
fn without_descriptors_a_long_message_stays_in_the_channel() {
    alone(
        concat!(
            module_path!(),
            "::without_descriptors_a_long_message_stays_in_the_channel"
        ),
        || {
            let (sender, receiver) = pair();
            let payload = pattern(MAX);
            sender.send(&payload).unwrap();
            sender.send("behind").unwrap();
            Child::start(|| {
                let limit = getrlimit(Resource::Nofile);
                let mut buffer = Buffer::default();
                for current in [0, 0, limit.current.unwrap()] {
                    let limit = Rlimit {
                        current: Some(current),
                        ..limit
                    };
                    setrlimit(Resource::Nofile, limit).unwrap();
                    match receiver.receive(&mut buffer) {
                        Received::Short => assert_eq!(current, 0),
                        Received::Message(Message::Binary(data)) => assert!(data == payload),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(receive(&receiver), (Kind::Text, b"behind".to_vec()));
            })
            .succeeds();
        },
    );
}
