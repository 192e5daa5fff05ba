//! The outbox against a model, with links that take what they like.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::link::Transport;
use crate::net::PeerAddr;

/// What the link took, and how much it still takes.
#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    room: usize,
    per_write: usize,
    writes: usize,
}

#[derive(Debug)]
struct Sink(Rc<RefCell<Taken>>);

impl Transport for Sink {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = self.0.borrow_mut();
        taken.writes += 1;
        let mut left = taken.room.min(taken.per_write);
        if left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for slice in slices {
            let len = slice.len().min(left);
            taken.bytes.extend_from_slice(&slice[..len]);
            written += len;
            left -= len;
        }
        taken.room -= written;
        Ok(written)
    }

    fn shutdown_write(&mut self) {}

    fn peer_addr(&self) -> PeerAddr {
        PeerAddr::Unix
    }
}

fn link() -> (Link, Rc<RefCell<Taken>>) {
    let taken = Rc::new(RefCell::new(Taken {
        per_write: usize::MAX,
        ..Taken::default()
    }));
    (Link::other(Box::new(Sink(Rc::clone(&taken)))), taken)
}

#[test]
fn segments_keep_their_order_at_every_partial_write() {
    let build = |pool: &mut Pool| {
        let mut outbox = Outbox::default();
        outbox.tail(pool).extend_from_slice(b"front ");
        outbox.push_shared(&b"shared "[..].into(), false, pool);
        outbox.tail(pool).extend_from_slice(b"own ");
        outbox.push_owned(b"owned ".to_vec(), true, pool);
        outbox.tail(pool).extend_from_slice(b"last");
        outbox
    };
    let whole = b"front shared own owned last";
    for cut in 0..=whole.len() {
        for per_write in [1, 3, usize::MAX] {
            let mut pool = Pool::default();
            let mut outbox = build(&mut pool);
            let (mut link, taken) = link();
            taken.borrow_mut().per_write = per_write;
            taken.borrow_mut().room = cut;
            while taken.borrow().room > 0 {
                outbox.flush(&mut link, &mut pool).unwrap();
            }
            assert_eq!(outbox.len(), whole.len() - cut);
            assert_eq!(outbox.is_empty(), cut == whole.len());
            taken.borrow_mut().room = usize::MAX;
            while outbox.flush(&mut link, &mut pool).unwrap() == Flushed::Blocked {}
            assert_eq!(taken.borrow().bytes, whole);
            assert!(outbox.content.is_none(), "an empty outbox owns nothing");
        }
    }
}

#[test]
fn many_segments_need_several_writes() {
    let mut pool = Pool::default();
    let mut outbox = Outbox::default();
    for n in 0..100 {
        outbox.push_shared(&[n].into(), false, &mut pool);
    }
    let (mut link, taken) = link();
    taken.borrow_mut().room = usize::MAX;
    assert_eq!(outbox.flush(&mut link, &mut pool).unwrap(), Flushed::Clear);
    assert_eq!(taken.borrow().bytes, (0..100).collect::<Vec<u8>>());
    assert_eq!(taken.borrow().writes, 100usize.div_ceil(SLICES));
}

#[test]
fn a_buffer_lent_for_nothing_is_nothing() {
    let mut pool = Pool::default();
    let mut outbox = Outbox::default();
    outbox.push_owned(b"droppable".to_vec(), true, &mut pool);
    outbox.tail(&mut pool);
    assert_eq!(outbox.drop_oldest(1), 1);
    assert!(outbox.is_empty());
    let (mut link, taken) = link();
    taken.borrow_mut().room = usize::MAX;
    assert_eq!(outbox.flush(&mut link, &mut pool).unwrap(), Flushed::Clear);
    assert_eq!(
        taken.borrow().writes,
        0,
        "an empty write would be taken for an error"
    );
}

#[test]
fn one_buffer_serves_everybody() {
    let mut pool = Pool::default();
    let (mut link, taken) = link();
    taken.borrow_mut().room = usize::MAX;
    let mut first = Outbox::default();
    first.tail(&mut pool).extend_from_slice(b"x");
    let address = first.tail(&mut pool).as_ptr();
    first.flush(&mut link, &mut pool).unwrap();
    let mut second = Outbox::default();
    assert_eq!(second.tail(&mut pool).as_ptr(), address);
    second.clear(&mut pool);
    for _ in 0..2 * POOLED_COUNT {
        pool.give(Box::new(Content::new(SEGMENT_LEN)));
    }
    assert_eq!(pool.spare.len(), POOLED_COUNT);
    let mut large = Outbox::default();
    large.tail(&mut pool).reserve(POOLED_LEN + 1);
    large.clear(&mut pool);
    assert!(
        pool.spare
            .iter()
            .all(|content| content.front.capacity() <= POOLED_LEN)
    );
}

#[test]
fn what_many_are_told_at_once_needs_no_new_buffers_the_next_time() {
    let mut pool = Pool::default();
    let (mut link, taken) = link();
    taken.borrow_mut().room = usize::MAX;
    let mut outboxes: Vec<_> = (0..2 * SHORT_COUNT).map(|_| Outbox::default()).collect();
    let mut met = Vec::new();
    for round in 0..2 {
        for outbox in &mut outboxes {
            let buffer = outbox.tail_for(10, &mut pool);
            buffer.extend_from_slice(&[round; 10]);
            met.push(buffer.as_ptr());
        }
        for outbox in &mut outboxes {
            outbox.flush(&mut link, &mut pool).unwrap();
        }
    }
    assert_eq!(pool.short.len(), SHORT_COUNT);
    assert_eq!(pool.spare.len(), 0);
    let (first, second) = met.split_at(outboxes.len());
    let kept = second.iter().filter(|buffer| first.contains(buffer));
    assert!(kept.count() >= SHORT_COUNT);
    let mut single = Outbox::default();
    assert!(single.tail(&mut pool).capacity() >= SEGMENT_LEN, "for many");
}

#[test]
fn what_many_are_sent_in_one_turn_is_in_memory_once() {
    let mut pool = Pool::default();
    let (mut link, taken) = link();
    let frames: Vec<Arc<[u8]>> = vec![b"one "[..].into(), b"two "[..].into(), b"three"[..].into()];
    let mut outboxes: Vec<_> = (0..3).map(|_| Outbox::default()).collect();
    for frame in &frames {
        for outbox in &mut outboxes {
            assert!(outbox.join(frame, &mut pool));
        }
    }
    assert_eq!(pool.volley.place(&frames[2]).unwrap().len(), 5);
    for outbox in &mut outboxes {
        assert_eq!(outbox.len(), 13);
        assert!(outbox.content.is_none(), "no buffer of its own");
    }
    // One gets everything, one a part, the third nothing before the turn is over.
    for (outbox, room) in outboxes.iter_mut().zip([usize::MAX, 6, 0]) {
        taken.borrow_mut().room = room;
        outbox.flush(&mut link, &mut pool).unwrap();
    }
    assert_eq!(taken.borrow().bytes, b"one two threeone tw");
    pool.all_flushed();
    taken.borrow_mut().bytes.clear();
    taken.borrow_mut().room = usize::MAX;
    for outbox in &mut outboxes {
        outbox.flush(&mut link, &mut pool).unwrap();
    }
    assert_eq!(taken.borrow().bytes, b"o threeone two three");
}

#[test]
fn only_what_follows_directly_is_joined() {
    let mut pool = Pool::default();
    let (one, two): (Arc<[u8]>, Arc<[u8]>) = (b"one"[..].into(), b"two"[..].into());
    let mut all = Outbox::default();
    let mut some = Outbox::default();
    assert!(all.join(&one, &mut pool) && some.join(&one, &mut pool));
    assert!(all.join(&two, &mut pool));
    assert!(all.join(&one, &mut pool));
    assert!(!some.join(&one, &mut pool), "it was not sent the second");
    assert!(!all.join(&one, &mut pool), "it was sent the third already");
    let mut own = Outbox::default();
    own.tail(&mut pool).extend_from_slice(b"own");
    assert!(!own.join(&one, &mut pool));
    let long: Arc<[u8]> = vec![0; 1024].into();
    let fits = std::iter::repeat_with(|| Arc::from(&long[..]))
        .take_while(|frame| Outbox::default().join(frame, &mut pool))
        .count();
    assert!((32..128).contains(&fits), "{fits}");
}

#[test]
fn an_outbox_is_small() {
    assert_eq!(size_of::<Outbox>(), 16);
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Join { len: usize, again: bool },
    Lend,
    Shared(usize, bool),
    Owned(usize, bool),
    DropOldest(usize),
    Flush { room: usize, per_write: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0usize..40).prop_map(Step::Append),
        (1usize..40, any::<bool>()).prop_map(|(len, again)| Step::Join { len, again }),
        Just(Step::Lend),
        (1usize..40, any::<bool>()).prop_map(|(len, drop)| Step::Shared(len, drop)),
        (1usize..40, any::<bool>()).prop_map(|(len, drop)| Step::Owned(len, drop)),
        (1usize..300).prop_map(Step::DropOldest),
        (0usize..100, 1usize..50).prop_map(|(room, per_write)| Step::Flush { room, per_write }),
    ];
    proptest::collection::vec(step, 0..60)
}

/// A message that waits, as the model has it.
struct Waiting {
    bytes: Vec<u8>,
    droppable: bool,
    begun: bool,
}

proptest! {
    #[test]
    fn behaves_as_a_list_of_messages(steps in steps()) {
        let mut pool = Pool::default();
        let mut outbox = Outbox::default();
        let (mut link, taken) = link();
        let mut model: VecDeque<Waiting> = VecDeque::new();
        let mut expected = Vec::new();
        let mut next = 0u8;
        let mut last: Arc<[u8]> = b"first"[..].into();
        for step in steps {
            next = next.wrapping_add(1);
            let mut push = |len: usize, droppable| {
                let bytes = vec![next; len];
                if len > 0 {
                    model.push_back(Waiting { bytes: bytes.clone(), droppable, begun: false });
                }
                bytes
            };
            match step {
                Step::Append(len) => {
                    let bytes = push(len, false);
                    outbox.tail(&mut pool).extend_from_slice(&bytes);
                }
                Step::Join { len, again } => {
                    if !again {
                        // Somebody else is sent it first.
                        last = vec![next; len].into();
                        Outbox::default().join(&last, &mut pool);
                    }
                    if outbox.join(&last, &mut pool) {
                        let bytes = last.to_vec();
                        model.push_back(Waiting { bytes, droppable: false, begun: false });
                    }
                }
                Step::Lend => drop(outbox.tail(&mut pool)),
                Step::Shared(len, droppable) => {
                    let bytes = push(len, droppable);
                    outbox.push_shared(&bytes.into(), droppable, &mut pool);
                }
                Step::Owned(len, droppable) => {
                    let bytes = push(len, droppable);
                    outbox.push_owned(bytes, droppable, &mut pool);
                }
                Step::DropOldest(len) => {
                    let (mut freed, mut dropped) = (0, 0);
                    model.retain(|waiting| {
                        let goes = freed < len && waiting.droppable && !waiting.begun;
                        if goes {
                            freed += waiting.bytes.len() + SEGMENT_COST;
                            dropped += 1;
                        }
                        !goes
                    });
                    prop_assert_eq!(outbox.drop_oldest(len), dropped);
                }
                Step::Flush { room, per_write } => {
                    taken.borrow_mut().room = room;
                    taken.borrow_mut().per_write = per_write;
                    let before = taken.borrow().bytes.len();
                    outbox.flush(&mut link, &mut pool).unwrap();
                    pool.all_flushed();
                    let mut written = taken.borrow().bytes.len() - before;
                    while written > 0 {
                        let waiting = model.front_mut().unwrap();
                        let len = written.min(waiting.bytes.len());
                        expected.extend(waiting.bytes.drain(..len));
                        waiting.begun = true;
                        written -= len;
                        if waiting.bytes.is_empty() {
                            model.pop_front();
                        }
                    }
                }
            }
            let waiting: usize = model.iter().map(|waiting| waiting.bytes.len()).sum();
            prop_assert_eq!(outbox.len(), waiting);
            prop_assert_eq!(outbox.is_empty(), waiting == 0);
            prop_assert!(outbox.cost() >= waiting);
            prop_assert_eq!(&taken.borrow().bytes, &expected);
        }
    }
}
