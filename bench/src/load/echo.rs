//! Closed loops of echoes on one `epoll`: each message that comes back right sends the next one.
//! Or one that everybody gets: when all have it, the next one is sent.

use std::thread;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventFlags};

use crate::client::{self, Client, pump};
use crate::failure::Failure;
use crate::link::Buffers;
use crate::many;
use crate::opening::Opener;
use crate::script::Script;
use crate::watch::Watch;
use crate::{EchoArgs, Outcome};

const BUFFER_LEN: usize = 256 * 1024;
/// How long no echo at all may come.
const PATIENCE: Duration = Duration::from_secs(5);
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// How long the server may take to tidy up after it has opened connections: who has got the answer
/// to a request may not yet be among those who get what is sent to all.
const SETTLING: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &EchoArgs) -> Result<Outcome, Failure> {
    let watch = Watch::new(args.server.watch)?;
    let opener = Opener::new(&args.server.url, args.deflate)?;
    let script = Script::new(args.kind, args.size, args.deflate);
    let mut buffers = Buffers::new(BUFFER_LEN);
    let poll =
        epoll::create(CreateFlags::CLOEXEC).map_err(|errno| Failure::Io("poll", errno.into()))?;
    let idle_before = watch.snapshot(0)?;
    let idle = many::opened(&|buffers| opener.open(buffers), args.idle)?;
    if args.idle > 0 {
        thread::sleep(SETTLING);
    }
    let opening = idle_before.until(&watch.snapshot(args.idle as u64)?);
    let links = many::opened(&|buffers| opener.open(buffers), args.connections)?;
    let mut clients: Vec<Client> = (0..)
        .zip(links)
        .map(|(index, link)| {
            let (first, due) = match args.broadcast {
                // One speaks, and all hear the same.
                true => (0, if index == 0 { args.pipeline } else { 0 }),
                false => (index % script.len(), index % script.len() + args.pipeline),
            };
            Client::new(link, &script, first, due)
        })
        .collect();
    client::watched(&clients, &poll)?;
    if args.broadcast {
        thread::sleep(SETTLING);
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
            // A server that gets no processor is waited for, though not for ever.
            Some(start) if now >= start.at() + args.window.length() && count > start.count() => {
                let mut outcome = start.until(&watch.snapshot(count)?);
                let received: u64 = clients.iter().map(|it| it.verifier.received()).sum();
                outcome.echo_len = Some(received as f64 / count as f64);
                outcome.opening_cpu = opening
                    .server_cpu
                    .filter(|_| args.idle > 0)
                    .map(|cpu| cpu / args.idle as f64);
                many::abort(idle.iter().chain(clients.iter().map(|it| &it.link)))?;
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
