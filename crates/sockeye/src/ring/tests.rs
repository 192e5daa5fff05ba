//! Streams over a ring of this kernel, with a peer that is a plain socket.

use std::io::{IoSlice, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::*;
use crate::net::socket::Socket;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));
const TOKEN: Token = Token(7);

struct Bench {
    ring: Rc<Ring>,
    ready: Vec<Ready>,
}

impl Bench {
    fn new() -> Self {
        Self {
            ring: Ring::new().unwrap(),
            ready: Vec::new(),
        }
    }

    /// As a kernel that answers every send.
    fn wordy() -> Self {
        let bench = Self::new();
        bench.ring.state.borrow_mut().queue.speak();
        bench
    }

    fn stream(&self, interest: Interest) -> (RingStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let stream = RingStream::new(&self.ring, Socket::from_fd(near.into()));
        stream.set_interest(TOKEN, interest);
        (stream, far)
    }

    /// Waits till something is reported of the stream.
    fn wait(&mut self) -> Ready {
        let end = Instant::now() + PATIENCE.unwrap();
        loop {
            self.ring.wait(&mut self.ready, PATIENCE).unwrap();
            if let Some(&report) = self.ready.first() {
                assert_eq!(report.token, TOKEN);
                return report;
            }
            assert!(Instant::now() < end, "nothing happened");
        }
    }

    /// One wait that finds nothing.
    fn is_silent(&mut self) -> bool {
        let moment = Some(Duration::from_millis(20));
        self.ring.wait(&mut self.ready, moment).unwrap();
        self.ready.is_empty()
    }

    /// Reads till there are so many bytes.
    fn receive(&mut self, stream: &RingStream, len: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < len {
            assert!(self.wait().readable);
            while let Some(piece) = taken(stream) {
                received.extend(piece);
            }
        }
        received
    }
}

/// What there is to read, as the engine reads it.
fn taken(stream: &RingStream) -> Option<Vec<u8>> {
    let taken = if stream.reads_socket() {
        let mut buffer = vec![0; 100_000];
        stream.read(&mut buffer).map(|len| {
            buffer.truncate(len);
            (len > 0).then_some(buffer)
        })
    } else {
        let piece = stream.take();
        piece.map(|piece| piece.map(|mut piece| piece.bytes().to_vec()))
    };
    match taken {
        Ok(piece) => piece,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[test]
fn what_arrives_is_reported_until_it_is_taken() {
    let mut bench = Bench::new();
    let (stream, mut far) = bench.stream(Interest::READ);
    assert!(bench.is_silent());
    far.write_all(b"hello").unwrap();
    assert!(bench.wait().readable);
    assert!(bench.wait().readable, "nobody has taken it");
    assert_eq!(taken(&stream).unwrap(), b"hello");
    assert!(taken(&stream).is_none());
    assert!(bench.is_silent());
    drop(far);
    assert!(bench.wait().readable);
    assert!(stream.take().unwrap().is_none(), "the end");
    assert!(bench.wait().readable, "it stays the end");
}

#[test]
fn reads_in_parts_are_in_order() {
    let mut bench = Bench::new();
    let (stream, mut far) = bench.stream(Interest::READ);
    far.write_all(b"hello world").unwrap();
    assert!(bench.wait().readable);
    let mut part = [0; 4];
    assert_eq!(stream.read(&mut part).unwrap(), 4);
    assert_eq!(&part, b"hell");
    assert!(bench.wait().readable, "there is more");
    assert_eq!(stream.read(&mut part).unwrap(), 4);
    assert_eq!(&part, b"o wo");
    assert_eq!(taken(&stream).unwrap(), b"rld");
}

#[test]
fn a_paused_stream_is_silent_and_loses_nothing() {
    let mut bench = Bench::new();
    let (stream, mut far) = bench.stream(Interest::READ);
    let sent = bytes(300_000);
    far.write_all(&sent[..1000]).unwrap();
    assert!(bench.wait().readable);
    stream.set_interest(TOKEN, Interest::NONE);
    assert!(bench.is_silent());
    // What was there is kept out of the buffers that all share; what comes stays in the kernel.
    let rest = sent[1000..].to_vec();
    let writer = std::thread::spawn(move || far.write_all(&rest).map(|()| far));
    assert!(bench.is_silent());
    stream.set_interest(TOKEN, Interest::READ);
    assert_eq!(bench.receive(&stream, sent.len()), sent);
    drop(writer.join().unwrap().unwrap());
    assert!(bench.wait().readable);
}

#[test]
fn many_that_do_not_read_leave_the_buffers_to_others() {
    let mut bench = Bench::new();
    let mut all = Vec::new();
    for _ in 0..64 {
        let (stream, mut far) = bench.stream(Interest::READ);
        far.set_nonblocking(true).unwrap();
        // As much as goes in: together more than all buffers.
        let mut sent = 0;
        while let Ok(len) = far.write(&bytes(100_000)) {
            sent += len;
        }
        all.push((stream, far, sent));
    }
    for _ in 0..20 {
        bench
            .ring
            .wait(&mut bench.ready, Some(Duration::ZERO))
            .unwrap();
    }
    for (stream, _, _) in &all {
        let kept = bench.ring.state.borrow().streams.kept(stream);
        assert!(
            kept < 1024 * 1024,
            "{kept} bytes wait here and not in the kernel"
        );
    }
    let (reader, mut far) = bench.stream(Interest::READ);
    far.write_all(b"hello").unwrap();
    let end = Instant::now() + PATIENCE.unwrap();
    let piece = loop {
        bench.ring.wait(&mut bench.ready, PATIENCE).unwrap();
        if let Some(piece) = taken(&reader) {
            break piece;
        }
        assert!(Instant::now() < end, "nothing arrived");
    };
    assert_eq!(piece, b"hello");
    for (stream, far, sent) in all {
        drop(far);
        let mut received = 0;
        while received < sent {
            bench.ring.wait(&mut bench.ready, PATIENCE).unwrap();
            while let Some(piece) = taken(&stream) {
                received += piece.len();
            }
        }
        assert_eq!(received, sent);
    }
}

/// Writes pieces of all sizes to a peer that reads slowly; returns what was written and read.
fn write_to_a_slow_reader(bench: &mut Bench) {
    let (stream, mut far) = bench.stream(Interest::NONE);
    let sent = bytes(2_000_000);
    let expected = sent.clone();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        let mut piece = vec![0; 10_007];
        while received.len() < expected.len() {
            let len = far.read(&mut piece).unwrap();
            assert!(len > 0, "the end after {} bytes", received.len());
            received.extend_from_slice(&piece[..len]);
        }
        assert!(received == expected, "not the bytes that were sent");
        assert_eq!(far.read(&mut piece).unwrap(), 0);
    });
    let mut rest = &sent[..];
    let mut sizes = [1, 100, 4000, 5000, 60_000].into_iter().cycle();
    while !rest.is_empty() {
        let len = sizes.next().unwrap().min(rest.len());
        let (front, back) = rest[..len].split_at(len / 2);
        match stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]) {
            Ok(written) => rest = &rest[written..],
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stream.set_interest(TOKEN, Interest::WRITE);
                assert!(bench.wait().writable);
                stream.flush().unwrap();
            }
        }
    }
    // The last bytes may still be on their way, here or in the kernel.
    drop(stream);
    while !reader.is_finished() {
        let moment = Some(Duration::from_millis(1));
        bench.ring.wait(&mut bench.ready, moment).unwrap();
    }
    reader.join().unwrap();
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    write_to_a_slow_reader(&mut Bench::new());
}

#[test]
fn a_slow_reader_gets_everything_where_every_send_is_answered() {
    write_to_a_slow_reader(&mut Bench::wordy());
}

#[test]
fn the_end_comes_after_what_was_written() {
    for mut bench in [Bench::new(), Bench::wordy()] {
        let (stream, mut far) = bench.stream(Interest::READ);
        assert_eq!(stream.write_vectored(&[IoSlice::new(b"hello")]).unwrap(), 5);
        stream.shutdown_write();
        // What follows a send must not wait for something else to happen.
        let begun = Instant::now();
        bench.ring.wait(&mut bench.ready, PATIENCE).unwrap();
        assert!(begun.elapsed() < PATIENCE.unwrap() / 2);
        let mut received = String::new();
        far.read_to_string(&mut received).unwrap();
        assert_eq!(received, "hello");
        far.write_all(b"bye").unwrap();
        assert_eq!(bench.receive(&stream, 3), b"bye");
    }
}

#[test]
fn what_is_written_before_a_wait_goes_out_in_order() {
    for mut bench in [Bench::new(), Bench::wordy()] {
        let (stream, mut far) = bench.stream(Interest::READ);
        for word in ["one ", "two ", "three"] {
            let written = stream.write_vectored(&[IoSlice::new(word.as_bytes())]);
            assert_eq!(written.unwrap(), word.len());
        }
        // More than a farewell has to wait.
        let error = stream
            .write_vectored(&[IoSlice::new(&bytes(5000))])
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(stream);
        // The first wait sends, the second one closes.
        assert!(bench.is_silent() && bench.is_silent());
        let mut received = String::new();
        far.read_to_string(&mut received).unwrap();
        assert_eq!(received, "one two three");
    }
}

#[test]
fn a_ring_that_goes_leaves_nothing_unsent_or_open() {
    let bench = Bench::new();
    let (stream, mut far) = bench.stream(Interest::READ);
    stream.write_vectored(&[IoSlice::new(b"hello")]).unwrap();
    drop(stream);
    drop(bench);
    let mut received = String::new();
    far.read_to_string(&mut received).unwrap();
    assert_eq!(received, "hello");
}

#[test]
fn a_peer_that_is_gone_is_told_to_who_writes() {
    let mut bench = Bench::new();
    let (stream, far) = bench.stream(Interest::READ);
    drop(far);
    stream.write_vectored(&[IoSlice::new(b"hello")]).unwrap();
    let report = bench.wait();
    assert!(report.readable || report.hangup);
    let end = Instant::now() + PATIENCE.unwrap();
    let error = loop {
        match stream.write_vectored(&[IoSlice::new(b"hello")]) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => break error,
            _ => bench
                .ring
                .wait(&mut bench.ready, Some(Duration::ZERO))
                .unwrap(),
        }
        assert!(Instant::now() < end, "no error");
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn slots_are_used_again() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        let (stream, mut far) = bench.stream(Interest::READ);
        stream.write_vectored(&[IoSlice::new(b"hello")]).unwrap();
        far.write_all(b"hello").unwrap();
        assert_eq!(bench.receive(&stream, 5), b"hello");
        drop(stream);
        let mut received = String::new();
        assert!(bench.is_silent());
        far.read_to_string(&mut received).unwrap();
        assert_eq!(received, "hello");
    }
    let slots = bench.ring.state.borrow().streams.slot_count();
    assert!(slots <= 3, "{slots} slots for one stream at a time");
}

/// Whether the stream is read by itself at the moment.
fn is_large(bench: &Bench, stream: &RingStream) -> bool {
    bench.ring.state.borrow().streams.is_large(stream)
}

#[test]
fn a_stream_on_which_much_arrives_is_read_by_itself_until_little_does() {
    let mut bench = Bench::new();
    let (stream, mut far) = bench.stream(Interest::READ);
    let mut exchange = |bench: &mut Bench, sent: &[u8]| {
        far.write_all(sent).unwrap();
        assert!(bench.receive(&stream, sent.len()) == sent);
    };
    for round in 0..3 {
        exchange(&mut bench, b"little");
        assert!(!is_large(&bench, &stream), "round {round}");
        for _ in 0..20 {
            exchange(&mut bench, &bytes(50_000));
            exchange(&mut bench, b"little");
            assert!(is_large(&bench, &stream), "round {round}");
        }
        for _ in 0..20 {
            exchange(&mut bench, b"little");
        }
    }
    assert!(bench.is_silent());
    exchange(&mut bench, &bytes(50_000));
    exchange(&mut bench, &bytes(50_000));
    // Paused in the middle: it is silent, and nothing gets lost.
    far.write_all(b"more").unwrap();
    assert!(bench.wait().readable);
    stream.set_interest(TOKEN, Interest::NONE);
    assert!(bench.is_silent());
    stream.set_interest(TOKEN, Interest::READ);
    assert_eq!(bench.receive(&stream, 4), b"more");
    drop(far);
    assert!(bench.wait().readable);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end");
    assert!(bench.wait().readable, "it stays the end");
    drop(stream);
    assert!(bench.is_silent());
    let slots = bench.ring.state.borrow().streams.slot_count();
    assert_eq!(slots, 1);
    let (stream, mut far) = bench.stream(Interest::READ);
    far.write_all(b"hello").unwrap();
    assert_eq!(bench.receive(&stream, 5), b"hello");
    let slots = bench.ring.state.borrow().streams.slot_count();
    assert_eq!(slots, 1, "it is used again");
}
