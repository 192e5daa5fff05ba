//! What every poller has to do, as one suite of tests that runs on each.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use super::*;

macro_rules! suite {
    ($($test:ident)*) => {
        mod epoll {
            $(#[test] fn $test() { super::$test(&|| Box::new(super::Epoll::new().unwrap())) })*
        }
        #[cfg(feature = "uring")]
        mod ring {
            $(#[test] fn $test() { super::$test(&|| Box::new(crate::ring::Ring::new().unwrap())) })*
        }
        mod portable {
            $(#[test] fn $test() { super::$test(&|| Box::new(super::Portable::new())) })*
        }
    };
}

suite! {
    nothing_registered_is_a_sleep
    timeouts_are_rounded_up
    readable_until_read
    writable_while_there_is_room
    both_at_once
    the_end_of_the_stream_is_readable
    a_writer_is_not_woken_by_the_end_of_the_stream
    a_peer_that_is_gone_is_a_hangup
    a_reset_is_a_hangup
    a_refused_connection_is_a_hangup
    modify_replaces_interest_and_token
    removed_is_silent
    a_number_used_again_is_another_descriptor
    no_interest_is_silent_even_after_a_hangup
    registered_twice_or_not_at_all_is_an_error
    more_than_one_wait_can_report
    a_wait_ends_when_another_thread_writes
    a_signal_ends_a_wait
    any_sequence_of_calls
}

type Make<'m> = &'m dyn Fn() -> Box<dyn Poller>;

const A: Token = Token(7);
const B: Token = Token(u64::MAX);
/// For waits that end by something else.
const LONG: Option<Duration> = Some(Duration::from_secs(20));

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    (near, far)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, far)
}

/// What is ready right now. Starts from a filled vector: it must be cleared.
fn now(poller: &mut dyn Poller) -> Vec<Ready> {
    wait(poller, Some(Duration::ZERO))
}

fn wait(poller: &mut dyn Poller, timeout: Option<Duration>) -> Vec<Ready> {
    let mut ready = vec![ready(Token(666), true, true, true)];
    poller.wait(&mut ready, timeout).unwrap();
    ready
}

fn ready(token: Token, readable: bool, writable: bool, hangup: bool) -> Ready {
    Ready {
        token,
        readable,
        writable,
        hangup,
    }
}

fn readable(token: Token) -> Ready {
    ready(token, true, false, false)
}

fn writable(token: Token) -> Ready {
    ready(token, false, true, false)
}

fn fill(stream: &mut impl Write) -> usize {
    let mut total = 0;
    while let Ok(count) = stream.write(&[0; 65536]) {
        total += count;
    }
    total
}

fn nothing_registered_is_a_sleep(make: Make<'_>) {
    let mut poller = make();
    assert_eq!(now(&mut *poller), []);
    let begin = Instant::now();
    assert_eq!(wait(&mut *poller, Some(Duration::from_millis(20))), []);
    assert!(begin.elapsed() >= Duration::from_millis(20));
}

fn timeouts_are_rounded_up(make: Make<'_>) {
    let (near, _far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    for nanos in [1, 999, 400_000, 1_000_000, 1_000_001, 2_999_999] {
        let timeout = Duration::from_nanos(nanos);
        let begin = Instant::now();
        assert_eq!(wait(&mut *poller, Some(timeout)), []);
        assert!(begin.elapsed() >= timeout, "{timeout:?} ended early");
        assert_eq!(timeout_millis(timeout), nanos.div_ceil(1_000_000) as i32);
    }
    assert_eq!(timeout_millis(Duration::ZERO), 0);
    assert_eq!(timeout_millis(Duration::MAX), i32::MAX);
    // Longer than the system call can wait: not an error, and here it need not wait.
    poller.modify(near.as_fd(), A, Interest::WRITE).unwrap();
    assert_eq!(wait(&mut *poller, Some(Duration::MAX)), [writable(A)]);
}

fn readable_until_read(make: Make<'_>) {
    let (mut near, mut far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    assert_eq!(now(&mut *poller), []);
    far.write_all(b"ab").unwrap();
    assert_eq!(wait(&mut *poller, None), [readable(A)]);
    assert_eq!(now(&mut *poller), [readable(A)]);
    near.read_exact(&mut [0]).unwrap();
    assert_eq!(now(&mut *poller), [readable(A)]);
    near.read_exact(&mut [0]).unwrap();
    assert_eq!(now(&mut *poller), []);
}

fn writable_while_there_is_room(make: Make<'_>) {
    let (mut near, mut far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::WRITE).unwrap();
    assert_eq!(now(&mut *poller), [writable(A)]);
    let mut buffer = vec![0; fill(&mut near)];
    assert_eq!(now(&mut *poller), []);
    far.read_exact(&mut buffer).unwrap();
    assert_eq!(now(&mut *poller), [writable(A)]);
}

fn both_at_once(make: Make<'_>) {
    let (near, mut far) = pair();
    let (other, _other_far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::BOTH).unwrap();
    poller.add(other.as_fd(), B, Interest::BOTH).unwrap();
    far.write_all(b"a").unwrap();
    let mut found = now(&mut *poller);
    found.sort_by_key(|ready| ready.token);
    assert_eq!(found, [ready(A, true, true, false), writable(B)]);
}

fn the_end_of_the_stream_is_readable(make: Make<'_>) {
    let (near, far) = tcp_pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(wait(&mut *poller, LONG), [readable(A)]);
}

fn a_writer_is_not_woken_by_the_end_of_the_stream(make: Make<'_>) {
    let (mut near, far) = pair();
    let mut poller = make();
    fill(&mut near);
    poller.add(near.as_fd(), A, Interest::WRITE).unwrap();
    far.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(now(&mut *poller), []);
}

fn a_peer_that_is_gone_is_a_hangup(make: Make<'_>) {
    for interest in [Interest::READ, Interest::WRITE, Interest::BOTH] {
        let (near, far) = pair();
        let mut poller = make();
        poller.add(near.as_fd(), A, interest).unwrap();
        drop(far);
        let expected = ready(A, interest.readable, interest.writable, true);
        assert_eq!(now(&mut *poller), [expected]);
        assert_eq!(now(&mut *poller), [expected], "until somebody acts on it");
    }
}

fn a_reset_is_a_hangup(make: Make<'_>) {
    let (mut near, far) = tcp_pair();
    near.write_all(b"never read").unwrap();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    // Closing with unread data resets the connection. Wait for them to be there.
    far.peek(&mut [0]).unwrap();
    drop(far);
    let found = wait(&mut *poller, LONG);
    assert!(
        matches!(
            found[..],
            [Ready {
                token: A,
                hangup: true,
                ..
            }]
        ),
        "{found:?}"
    );
}

fn a_refused_connection_is_a_hangup(make: Make<'_>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    // The loopback interface may refuse before the call returns.
    let Ok(socket) = crate::net::socket::Socket::connect_tcp(address) else {
        return;
    };
    let mut poller = make();
    poller.add(socket.as_fd(), A, Interest::WRITE).unwrap();
    let found = wait(&mut *poller, LONG);
    assert!(matches!(
        found[..],
        [Ready {
            token: A,
            writable: true,
            hangup: true,
            ..
        }]
    ));
}

fn modify_replaces_interest_and_token(make: Make<'_>) {
    let (near, mut far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    poller.modify(near.as_fd(), A, Interest::WRITE).unwrap();
    far.write_all(b"a").unwrap();
    assert_eq!(now(&mut *poller), [writable(A)]);
    poller.modify(near.as_fd(), B, Interest::READ).unwrap();
    assert_eq!(now(&mut *poller), [readable(B)]);
    poller.modify(near.as_fd(), A, Interest::NONE).unwrap();
    assert_eq!(now(&mut *poller), []);
    poller.modify(near.as_fd(), A, Interest::BOTH).unwrap();
    assert_eq!(now(&mut *poller), [ready(A, true, true, false)]);
}

fn removed_is_silent(make: Make<'_>) {
    let (near, mut far) = pair();
    let mut poller = make();
    far.write_all(b"a").unwrap();
    for interest in [Interest::BOTH, Interest::NONE, Interest::READ] {
        poller.add(near.as_fd(), A, interest).unwrap();
        assert_eq!(now(&mut *poller).is_empty(), interest.is_none());
        poller.remove(near.as_fd()).unwrap();
        assert_eq!(now(&mut *poller), []);
    }
    // The others stay, whatever place the removed one had.
    let others: Vec<_> = (0..5).map(|_| pair()).collect();
    for (number, (other, _)) in others.iter().enumerate() {
        poller
            .add(other.as_fd(), Token(number as u64), Interest::WRITE)
            .unwrap();
    }
    for gone in [0, 3, 4] {
        poller.remove(others[gone].0.as_fd()).unwrap();
    }
    let mut tokens: Vec<_> = now(&mut *poller)
        .iter()
        .map(|ready| ready.token.0)
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2]);
}

fn a_number_used_again_is_another_descriptor(make: Make<'_>) {
    let (near, _far) = pair();
    let mut poller = make();
    for interest in [Interest::WRITE, Interest::NONE] {
        let copy = near.try_clone().unwrap();
        let number = copy.as_raw_fd();
        poller.add(copy.as_fd(), A, interest).unwrap();
        poller.remove(copy.as_fd()).unwrap();
        drop(copy);
        // Other tests open descriptors too, so the number may be gone; then there is no case.
        let again = near.try_clone().unwrap();
        if again.as_raw_fd() == number {
            poller.add(again.as_fd(), B, Interest::WRITE).unwrap();
            assert_eq!(now(&mut *poller), [writable(B)]);
            poller.remove(again.as_fd()).unwrap();
        }
    }
}

fn no_interest_is_silent_even_after_a_hangup(make: Make<'_>) {
    let (near, far) = pair();
    let (added, added_far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    poller.modify(near.as_fd(), A, Interest::NONE).unwrap();
    poller.modify(near.as_fd(), A, Interest::NONE).unwrap();
    poller.add(added.as_fd(), B, Interest::NONE).unwrap();
    drop(far);
    drop(added_far);
    let begin = Instant::now();
    assert_eq!(wait(&mut *poller, Some(Duration::from_millis(20))), []);
    assert!(begin.elapsed() >= Duration::from_millis(20));
    poller.modify(near.as_fd(), A, Interest::READ).unwrap();
    assert_eq!(now(&mut *poller), [ready(A, true, false, true)]);
    poller.remove(near.as_fd()).unwrap();
    poller.remove(added.as_fd()).unwrap();
    assert_eq!(now(&mut *poller), []);
}

fn registered_twice_or_not_at_all_is_an_error(make: Make<'_>) {
    let (near, _far) = pair();
    let fd = near.as_fd();
    let mut poller = make();
    let unknown = |outcome: io::Result<()>| {
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::NotFound);
    };
    for interest in [Interest::WRITE, Interest::NONE] {
        unknown(poller.modify(fd, A, Interest::READ));
        unknown(poller.modify(fd, A, Interest::NONE));
        unknown(poller.remove(fd));
        poller.add(fd, A, interest).unwrap();
        for again in [Interest::READ, Interest::NONE] {
            let error = poller.add(fd, B, again).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(
            now(&mut *poller).is_empty(),
            interest.is_none(),
            "nothing has changed"
        );
        poller.remove(fd).unwrap();
    }
    unknown(poller.remove(fd));
}

fn more_than_one_wait_can_report(make: Make<'_>) {
    crate::net::raise_descriptor_limit().unwrap();
    let (near, _far) = pair();
    let copies: Vec<OwnedFd> = (0..1500)
        .map(|_| near.as_fd().try_clone_to_owned().unwrap())
        .collect();
    let mut poller = make();
    for (number, copy) in copies.iter().enumerate() {
        poller
            .add(copy.as_fd(), Token(number as u64), Interest::WRITE)
            .unwrap();
    }
    let mut met = vec![false; copies.len()];
    while met.contains(&false) {
        let found = now(&mut *poller);
        assert!(!found.is_empty());
        for ready in found {
            let number = ready.token.0 as usize;
            met[number] = true;
            poller
                .modify(copies[number].as_fd(), ready.token, Interest::READ)
                .unwrap();
        }
    }
}

fn a_wait_ends_when_another_thread_writes(make: Make<'_>) {
    let (near, mut far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    let writer = thread::spawn(move || far.write_all(b"a").map(|()| far));
    assert_eq!(wait(&mut *poller, LONG), [readable(A)]);
    writer.join().unwrap().unwrap();
}

fn a_signal_ends_a_wait(make: Make<'_>) {
    // A handler that does nothing but be there, so that the signal interrupts.
    signal_hook::flag::register(Signal::SIGUSR1 as i32, Arc::new(AtomicBool::new(false))).unwrap();
    let (near, _far) = pair();
    let mut poller = make();
    poller.add(near.as_fd(), A, Interest::READ).unwrap();
    let waiting = pthread_self();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Whether the other thread waits already cannot be seen, so this goes on until it
            // has come back.
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                pthread_kill(waiting, Signal::SIGUSR1).unwrap();
                thread::yield_now();
            }
        });
        let begin = Instant::now();
        assert_eq!(wait(&mut *poller, LONG), []);
        done.store(true, std::sync::atomic::Ordering::Release);
        assert!(begin.elapsed() < Duration::from_secs(20));
    });
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize, u64, Interest),
    Modify(usize, u64, Interest),
    Remove(usize),
    /// Makes a descriptor readable, or not.
    Fill(usize),
    Drain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let interest = (any::<bool>(), any::<bool>())
        .prop_map(|(readable, writable)| Interest { readable, writable });
    let which = 0usize..6;
    prop_oneof![
        (which.clone(), any::<u64>(), interest.clone()).prop_map(|(w, t, i)| Step::Add(w, t, i)),
        (which.clone(), any::<u64>(), interest).prop_map(|(w, t, i)| Step::Modify(w, t, i)),
        which.clone().prop_map(Step::Remove),
        which.clone().prop_map(Step::Fill),
        which.prop_map(Step::Drain),
    ]
}

fn any_sequence_of_calls(make: Make<'_>) {
    proptest!(ProptestConfig::with_cases(128), |(steps in prop::collection::vec(step(), 0..60))| {
        let mut poller = make();
        // An event counter is writable always, and readable when it is not zero.
        let counters: Vec<OwnedFd> =
            (0..6).map(|_| eventfd(0, EventfdFlags::NONBLOCK).unwrap()).collect();
        let mut filled = [false; 6];
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(which, token, interest) => {
                    let outcome = poller.add(counters[which].as_fd(), Token(token), interest);
                    prop_assert_eq!(outcome.is_ok(), !model.contains_key(&which));
                    model.entry(which).or_insert((token, interest));
                }
                Step::Modify(which, token, interest) => {
                    let outcome = poller.modify(counters[which].as_fd(), Token(token), interest);
                    prop_assert_eq!(outcome.is_ok(), model.contains_key(&which));
                    model.entry(which).and_modify(|entry| *entry = (token, interest));
                }
                Step::Remove(which) => {
                    let outcome = poller.remove(counters[which].as_fd());
                    prop_assert_eq!(outcome.is_ok(), model.remove(&which).is_some());
                }
                Step::Fill(which) => {
                    rustix::io::write(&counters[which], &1u64.to_ne_bytes()).unwrap();
                    filled[which] = true;
                }
                Step::Drain(which) => {
                    let _ = rustix::io::read(&counters[which], &mut [0; 8]);
                    filled[which] = false;
                }
            }
            let mut expected: Vec<_> = model
                .iter()
                .map(|(which, (token, interest))| {
                    ready(Token(*token), filled[*which] && interest.readable, interest.writable, false)
                })
                .filter(|ready| ready.readable || ready.writable)
                .collect();
            let mut found = now(&mut *poller);
            let key = |ready: &Ready| (ready.token, ready.readable, ready.writable);
            expected.sort_by_key(key);
            found.sort_by_key(key);
            prop_assert_eq!(found, expected);
        }
    });
}
