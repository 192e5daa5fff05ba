//! A server in a process of its own: what its parent reads line by line goes to every WebSocket at
//! `/news`. The server ends with its parent.
//!
//! ```text
//! bus [ADDRESS] <news
//! ```

use std::error::Error;
use std::io::stdin;
use std::time::Duration;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use sockeye::bus::{self, Receiver};
use sockeye::{Accepted, Core, Engine, Handle, Limits, Peer, Protocol, Reject, Request};

/// Everybody gets what is broadcast, which is what a protocol does unless it says otherwise.
struct News {
    engine: Handle,
}

impl Protocol for News {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_bus_end(&mut self, _: &mut Core) {
        // It fails only if the engine has ended already.
        let _ = self.engine.shutdown(Duration::from_secs(1));
    }
}

fn serve(address: &str, limits: Limits, receiver: Receiver) -> Result<(), sockeye::Error> {
    let mut engine = Engine::builder().limits(limits).build()?;
    let handle = engine.handle();
    let news = engine.host(News { engine: handle });
    engine.attach(news, receiver)?;
    let listener = engine.listen(address)?.route("/news", news);
    println!("listening on ws://{}/news", listener.local_addr());
    engine.run().map(drop)
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let limits = Limits::default();
    let (sender, receiver) = bus::channel(&limits)?;
    #[allow(unsafe_code)]
    // SAFETY: there are no other threads, so that the child can do whatever its parent could.
    match unsafe { fork() }? {
        ForkResult::Child => {
            // Or the server would never learn that there is nobody to serve for.
            drop(sender);
            serve(
                address.as_deref().unwrap_or("127.0.0.1:7681"),
                limits,
                receiver,
            )?;
        }
        ForkResult::Parent { child } => {
            // Or it would send to a server that has ended.
            drop(receiver);
            for line in stdin().lines() {
                sender.send(&line?)?;
            }
            drop(sender);
            waitpid(child, None)?;
        }
    }
    Ok(())
}
