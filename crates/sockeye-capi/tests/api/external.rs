//! A program that waits by itself, on what it was told to wait for and nothing else.

use std::io::{ErrorKind, Read};
use std::time::Instant;

use libc::{c_int, pollfd};
use websockets::abi::*;
use websockets::export::*;

use super::program::*;

/// The array that a program keeps, by what it was told.
fn entries() -> Vec<pollfd> {
    let mut entries: Vec<pollfd> = Vec::new();
    for told in told() {
        let events = told.len as i16;
        let find = |entries: &mut Vec<pollfd>| {
            entries
                .iter()
                .position(|entry| entry.fd == told.fd())
                .expect("an entry")
        };
        match told.reason {
            LWS_CALLBACK_ADD_POLL_FD => {
                assert!(entries.iter().all(|entry| entry.fd != told.fd()));
                entries.push(pollfd {
                    fd: told.fd(),
                    events,
                    revents: 0,
                });
            }
            LWS_CALLBACK_DEL_POLL_FD => {
                let index = find(&mut entries);
                entries.remove(index);
            }
            LWS_CALLBACK_SET_MODE_POLL_FD => {
                let index = find(&mut entries);
                entries[index].events |= events;
            }
            LWS_CALLBACK_CLEAR_MODE_POLL_FD => {
                let index = find(&mut entries);
                entries[index].events &= !events;
            }
            _ => {}
        }
    }
    entries
}

/// Waits, without end unless something is ready, and serves what is.
fn turn(program: &Program, timeout: c_int) -> usize {
    let mut entries = entries();
    // SAFETY: an array and its length.
    let count = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as _, timeout) };
    assert!(count >= 0);
    let mut served = 0;
    for entry in &mut entries {
        if entry.revents != 0 {
            // SAFETY: a live context and an entry of the array.
            unsafe { libwebsocket_service_fd(program.context, entry) };
            served += 1;
        }
    }
    served
}

fn until(program: &Program, what: &str, happened: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        turn(program, 10_000);
    }
}

fn count(reason: Reason) -> usize {
    told_of(&[reason]).len()
}

#[test]
fn what_is_left_over_brings_the_program_back() {
    let program = Program::new();
    on_callback(|told| {
        if told.reason == LWS_CALLBACK_RECEIVE {
            flow(told.wsi, false);
        }
        0
    });
    let client = program.connect(Some(c"one"));
    until(&program, "open", || {
        count(LWS_CALLBACK_ESTABLISHED) + count(LWS_CALLBACK_CLIENT_ESTABLISHED) == 2
    });
    let server = told_of(&[LWS_CALLBACK_ESTABLISHED])[0].wsi;
    assert_eq!(write(client, &[7; 50_000], LWS_WRITE_BINARY), 0);
    until(&program, "a piece", || count(LWS_CALLBACK_RECEIVE) == 1);
    let mut pieces = 1;
    while pieces < 13 {
        // Nothing more comes by the socket for the pieces that were read already.
        flow(server, true);
        pieces += 1;
        until(&program, "the next piece", || {
            count(LWS_CALLBACK_RECEIVE) == pieces
        });
    }
    let total: usize = told_of(&[LWS_CALLBACK_RECEIVE])
        .iter()
        .map(|told| told.len)
        .sum();
    assert_eq!(total, 50_000);
    // At rest it stays at rest.
    while turn(&program, 50) > 0 {}
    let rest: usize = (0..4).map(|_| turn(&program, 10)).sum();
    assert_eq!(rest, 0);
}

#[test]
fn timeouts_fire_without_a_descriptor_of_their_own() {
    let program = Program::new();
    let client = program.connect(Some(c"one"));
    until(&program, "open", || {
        count(LWS_CALLBACK_CLIENT_ESTABLISHED) == 1
    });
    set_timeout(client, PENDING_TIMEOUT_AWAITING_PING, 1);
    until(&program, "the end of both", || {
        count(LWS_CALLBACK_CLOSED) == 2
    });
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED])[0].wsi, client);
}

#[test]
fn a_long_answer_goes_out_behind_the_programs_back() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, &vec![b'x'; 5_000_000]).unwrap();
    let path = std::ffi::CString::new(file.path().to_str().unwrap()).unwrap();
    let program = Program::new();
    on_callback(move |told| {
        if told.reason == LWS_CALLBACK_HTTP {
            // SAFETY: strings of C.
            let result = unsafe {
                libwebsockets_serve_http_file(told.wsi, path.as_ptr(), c"text/plain".as_ptr())
            };
            assert_eq!(result, 0);
        }
        0
    });
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", program.port)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /f HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    let mut buffer = vec![0; 65_536];
    let deadline = Instant::now() + PATIENCE;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => received.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < deadline, "after {} bytes", received.len());
                turn(&program, 10);
            }
            Err(error) => panic!("{error}"),
        }
    }
    let head = b"HTTP/1.0 200 OK\r\nServer: libwebsockets\r\nContent-Type: text/plain\r\nContent-Length: 5000000\r\n\r\n";
    assert!(received.starts_with(head));
    assert_eq!(received.len(), head.len() + 5_000_000);
    assert_eq!(count(LWS_CALLBACK_HTTP), 1);
}
