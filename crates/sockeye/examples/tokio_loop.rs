//! The engine as one task of a tokio runtime: its descriptors are in one epoll instance, and tokio
//! watches that. Other tasks reach the engine by its handle: one of them tells `/clock` how long it
//! has been up; `/echo` echoes.
//!
//! ```text
//! tokio_loop [ADDRESS]
//! ```

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sockeye::poll::{Epoll, Poller};
use sockeye::{Accepted, Conn, Engine, Handle, Peer, Protocol, Reject, Request, on_message};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time;

const TICKS: &str = "ticks";

struct Clock;

impl Protocol for Clock {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe(TICKS);
    }
}

async fn tick(engine: Handle) {
    let mut ticks = time::interval(Duration::from_millis(250));
    let begin = Instant::now();
    loop {
        ticks.tick().await;
        let up = format!("up for {:.2} s", begin.elapsed().as_secs_f32());
        if engine.publish(TICKS, &up).is_err() {
            return;
        }
    }
}

/// Serves until the engine is shut down.
async fn serve(mut engine: Engine, epoll: Rc<RefCell<Epoll>>) -> Result<(), Box<dyn Error>> {
    let descriptor: OwnedFd = epoll.borrow().as_fd().try_clone_to_owned()?;
    #[allow(unsafe_code)]
    // SAFETY: an `OwnedFd` stays open and the same until it is dropped, here with the `AsyncFd`.
    let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE)? };
    let mut found = Vec::new();
    while engine.shutdown_report().is_none() {
        found.clear();
        let readable = descriptor.readable();
        let woken = match engine.next_deadline() {
            None => Some(readable.await),
            Some(deadline) => time::timeout_at(deadline.into(), readable).await.ok(),
        };
        if let Some(guard) = woken {
            // tokio reports only changes: it must go on taking the instance for readable until a
            // look into it has found nothing.
            let looked = guard?.try_io(|_| {
                epoll.borrow_mut().wait(&mut found, Some(Duration::ZERO))?;
                match found.is_empty() {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => Ok(()),
                }
            });
            if let Ok(looked) = looked {
                looked?;
            }
        }
        engine.service(&found, Instant::now());
        // An engine that always has something to do would starve the other tasks.
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let epoll = Rc::new(RefCell::new(Epoll::new()?));
    let mut engine = Engine::builder().registrar(Rc::clone(&epoll)).build()?;
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
    }));
    let clock = engine.host(Clock);
    let listener = engine
        .listen(address.as_deref().unwrap_or("127.0.0.1:7681"))?
        .route("/echo", echo)
        .route("/clock", clock);
    println!("listening on ws://{}/clock", listener.local_addr());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = engine.handle();
    // The engine stays on this thread; everything else may run anywhere.
    runtime.block_on(async {
        tokio::spawn(tick(handle));
        serve(engine, epoll).await
    })
}
