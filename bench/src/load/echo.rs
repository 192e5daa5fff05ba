//! Closed loops of echoes on one `epoll`: each message that comes back right sends the next one.
//! Or one that everybody gets: when all have it, the next one is sent.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::failure::Failure;
use crate::link::{Buffers, Link};
use crate::opening::Opener;
use crate::script::Script;
use crate::verifier::Verifier;
use crate::watch::Watch;
use crate::{EchoArgs, Outcome};

const BUFFER_LEN: usize = 256 * 1024;
/// How long no echo at all may come.
const PATIENCE: Duration = Duration::from_secs(5);
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

struct Client {
    link: Link,
    verifier: Verifier,
    /// Bytes sent so far in the endless row of frames.
    position: usize,
    /// The first message of the row that is not to be sent yet.
    due: usize,
    /// Pongs to be sent between two frames.
    answer: Vec<u8>,
    /// The poller was asked to report room.
    blocked: bool,
}

impl Client {
    /// Writes what is owed as far as the socket takes it.
    fn pump(&mut self, script: &Script) -> io::Result<()> {
        self.blocked = match self.write(script) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            outcome => {
                outcome?;
                self.link.wants_write()
            }
        };
        Ok(())
    }

    fn write(&mut self, script: &Script) -> io::Result<()> {
        loop {
            let owed = script.start(self.due) - self.position;
            if !self.answer.is_empty() && script.is_start(self.position) {
                let len = self.link.write(&[io::IoSlice::new(&self.answer)])?;
                self.answer.drain(..len);
            } else if owed > 0 {
                let slices = script.bytes(self.position, owed);
                self.position += self.link.write(&slices)?;
            } else {
                return Ok(());
            }
        }
    }

    /// Reads once and verifies. Returns how many messages came.
    fn serve(&mut self, script: &Script, buffers: &mut Buffers) -> Result<usize, Failure> {
        let len = match self.link.read(buffers) {
            Ok(0) => return Err(Failure::Server("closed a connection".to_owned())),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(Failure::Io("read echoes", error)),
        };
        self.verifier
            .receive(script, &buffers.plain[..len], &mut self.answer)
            .map_err(Failure::Server)
    }
}

pub(crate) fn run(args: &EchoArgs) -> Result<Outcome, Failure> {
    let watch = Watch::new(args.server.watch)?;
    let opener = Opener::new(&args.server.url, args.deflate)?;
    let script = Script::new(args.kind, args.size, args.deflate);
    let mut buffers = Buffers::new(BUFFER_LEN);
    let poll =
        epoll::create(CreateFlags::CLOEXEC).map_err(|errno| Failure::Io("poll", errno.into()))?;
    let mut clients = Vec::new();
    for index in 0..args.connections {
        let link = opener.open(&mut buffers)?;
        link.stream()
            .set_nonblocking(true)
            .map_err(Failure::io("set up a socket"))?;
        let data = EventData::new_u64(index as u64);
        epoll::add(&poll, link.stream(), data, EventFlags::IN)
            .map_err(|errno| Failure::Io("poll", errno.into()))?;
        let (first, due) = match args.broadcast {
            // One speaks, and all hear the same.
            true => (0, if index == 0 { args.pipeline } else { 0 }),
            false => (index % script.len(), index % script.len() + args.pipeline),
        };
        clients.push(Client {
            link,
            verifier: Verifier::new(&script, first),
            position: script.start(first),
            due,
            answer: Vec::new(),
            blocked: false,
        });
    }
    for index in 0..clients.len() {
        pump(&mut clients, index, &script, &poll)?;
    }

    let mut events = Vec::with_capacity(1024);
    let mut count = 0;
    let begin = Instant::now() + args.window.warmup();
    let mut start = None;
    let mut heard = Instant::now();
    loop {
        let now = Instant::now();
        match &start {
            None if now >= begin => start = Some(watch.snapshot(count)?),
            Some(start) if now >= start.at() + args.window.length() => {
                let mut outcome = start.until(&watch.snapshot(count)?);
                let received: u64 = clients.iter().map(|it| it.verifier.received()).sum();
                outcome.echo_len = Some(received as f64 / count as f64);
                return Ok(outcome);
            }
            _ if now > heard + PATIENCE => return Err(Failure::Late("the next echo")),
            _ => {}
        }
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), Some(&WAIT)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::Io("poll", errno.into())),
        }
        let before = count;
        for event in &events {
            let index = event.data.u64() as usize;
            let flags = event.flags;
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                let complete = clients[index].serve(&script, &mut buffers)?;
                count += complete as u64;
                if !args.broadcast {
                    clients[index].due += complete;
                }
            }
            pump(&mut clients, index, &script, &poll)?;
        }
        if args.broadcast && count > before {
            clients[0].due = count as usize / clients.len() + args.pipeline;
            pump(&mut clients, 0, &script, &poll)?;
        }
        if count > before {
            heard = now;
        }
    }
}

/// Writes, and asks the poller to report room if there is none.
fn pump(
    clients: &mut [Client],
    index: usize,
    script: &Script,
    poll: &OwnedFd,
) -> Result<(), Failure> {
    let client = &mut clients[index];
    let before = client.blocked;
    client.pump(script).map_err(Failure::io("send messages"))?;
    if client.blocked == before {
        return Ok(());
    }
    let mut flags = EventFlags::IN;
    flags.set(EventFlags::OUT, client.blocked);
    let data = EventData::new_u64(index as u64);
    epoll::modify(poll, client.link.stream(), data, flags)
        .map_err(|errno| Failure::Io("poll", errno.into()))
}
