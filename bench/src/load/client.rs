//! One connection that sends the messages of a script and verifies what comes back.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};

use crate::failure::Failure;
use crate::link::{Buffers, Link};
use crate::script::Script;
use crate::verifier::Verifier;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) link: Link,
    pub(crate) verifier: Verifier,
    /// Bytes sent so far in the endless row of frames.
    position: usize,
    /// The first message of the row that is not to be sent yet.
    pub(crate) due: usize,
    /// Pongs to be sent between two frames.
    answer: Vec<u8>,
    /// The poller was asked to report room.
    blocked: bool,
}

impl Client {
    /// Its first message is `first` of the script, and it owes those before `due`.
    pub(crate) fn new(link: Link, script: &Script, first: usize, due: usize) -> Self {
        Self {
            link,
            verifier: Verifier::new(script, first),
            position: script.start(first),
            due,
            answer: Vec::new(),
            blocked: false,
        }
    }

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
    pub(crate) fn serve(
        &mut self,
        script: &Script,
        buffers: &mut Buffers,
    ) -> Result<usize, Failure> {
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

/// Sets all of them up for one poller, by their index.
pub(crate) fn watched(clients: &[Client], poll: &OwnedFd) -> Result<(), Failure> {
    for (index, client) in clients.iter().enumerate() {
        let stream = client.link.stream();
        stream
            .set_nonblocking(true)
            .map_err(Failure::io("set up a socket"))?;
        let data = EventData::new_u64(index as u64);
        epoll::add(poll, stream, data, EventFlags::IN)
            .map_err(|errno| Failure::Io("poll", errno.into()))?;
    }
    Ok(())
}

/// Writes, and asks the poller to report room if there is none.
pub(crate) fn pump(
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
