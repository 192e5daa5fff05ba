//! Peers that do not speak TLS, stop in the middle, or say nothing at all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use sockeye::tls::ServerTls;
use sockeye::{CloseCause, Limits};

use crate::backends;
use crate::certificate::Ca;
use crate::rig::{Client, SOON, Server, client_tls, server_options};

/// Well below every deadline.
const AT_ONCE: Duration = Duration::from_secs(3);

/// All that comes till the peer has closed, in whatever way.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => bytes,
    }
}

#[test]
fn plain_text_on_the_tls_port_ends_at_once() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        let server = Server::start(ServerTls::new(server_options(backend, &pair)).unwrap());
        for plain in [
            &b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            b"SSH-2.0-OpenSSH_9.9\r\n",
            &[0; 64],
            &[0xff; 64],
        ] {
            let begun = Instant::now();
            let mut tcp = server.tcp();
            tcp.write_all(plain).unwrap();
            let answer = rest(&mut tcp);
            assert!(begun.elapsed() < AT_ONCE, "{plain:?}");
            // At most an alert.
            assert!(answer.len() <= 7 && answer.first().is_none_or(|&kind| kind == 21));
        }
        let mut engine = Client::new();
        let id = engine.open(&server.url("localhost"), &client_tls(backend, &ca));
        engine.echo(id, b"it still serves");
    }
}

#[test]
fn tls_on_the_plain_port_ends_at_once() {
    let ca = Ca::new("root");
    let server = Server::start(None);
    for backend in backends() {
        let begun = Instant::now();
        let refused = Client::new().refused(&server.url("localhost"), &client_tls(backend, &ca));
        assert!(begun.elapsed() < AT_ONCE);
        assert_eq!(refused, "TLS to localhost: the peer does not speak TLS");
    }
}

#[test]
fn cut_off_streams_are_told_from_ended_ones() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        let server = Server::start(ServerTls::new(server_options(backend, &pair)).unwrap());
        let mut engine = Client::new();
        let tls = client_tls(backend, &ca);
        let id = engine.open(&server.url("localhost"), &tls);
        server.accepted();
        // Aborted: TCP ends, and TLS does not.
        engine.engine.core().abort(id);
        engine.wait(|log| log.closed.len() == 1);
        assert_eq!(server.closed(), CloseCause::Truncated);
    }
}

#[test]
fn server_that_hangs_up_is_reported() {
    let ca = Ca::new("root");
    for backend in backends() {
        for said in [&b""[..], b"\x16\x03\x03", b"\x16\x03\x03\x40\x00\x02"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
            let thread = std::thread::spawn(move || {
                let (mut tcp, _) = listener.accept().unwrap();
                // All of the hello first, so that closing does not reset.
                let mut head = [0; 5];
                tcp.read_exact(&mut head).unwrap();
                let len = usize::from(u16::from_be_bytes([head[3], head[4]]));
                tcp.read_exact(&mut vec![0; len]).unwrap();
                tcp.write_all(said).unwrap();
                tcp.shutdown(Shutdown::Both).unwrap();
            });
            let refused = Client::new().refused(&url, &client_tls(backend, &ca));
            assert!(
                refused.ends_with(": the TLS stream was cut off"),
                "{refused}"
            );
            assert!(refused.starts_with("TLS to localhost:"), "{refused}");
            thread.join().unwrap();
        }
    }
}

#[test]
fn handshakes_are_bounded_in_time() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    let handshake_timeout = Duration::from_millis(300);
    for backend in backends() {
        let limits = Limits {
            handshake_timeout,
            ..Limits::default()
        };
        let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
        let server = Server::with_limits(tls, limits);
        // Nothing; the beginning of a record; a record that says it is long, one byte at a time.
        for dripping in [
            &b""[..],
            b"\x16\x03\x01",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        ] {
            let begun = Instant::now();
            let mut tcp = server.tcp();
            for byte in dripping {
                tcp.write_all(&[*byte]).unwrap();
            }
            assert!(rest(&mut tcp).is_empty());
            let taken = begun.elapsed();
            assert!(taken >= handshake_timeout.mul_f32(0.9), "{taken:?}");
            assert!(taken < AT_ONCE, "{taken:?}");
        }

        // And the other way round.
        let limits = Limits {
            connect_timeout: handshake_timeout,
            ..Limits::default()
        };
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("wss://localhost:{}/", mute.local_addr().unwrap().port());
        let begun = Instant::now();
        let refused = Client::with_limits(limits).refused(&url, &client_tls(backend, &ca));
        assert!(begun.elapsed() < SOON);
        assert!(refused.starts_with("TLS to localhost:"), "{refused}");
        assert!(refused.ends_with(": timed out"), "{refused}");
    }
}
