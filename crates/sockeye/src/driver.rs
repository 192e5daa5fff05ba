//! What moves the bytes of an engine's sockets: a poller of its own, somebody else's loop, or a ring.
//!
//! The one place that knows which there are. The rest of the engine asks for a registrar, and lets
//! sockets be [adopted](Driver::adopt).

use std::fmt;
#[cfg(feature = "uring")]
use std::os::fd::AsFd;
#[cfg(feature = "uring")]
use std::rc::Rc;

use crate::core::Core;
use crate::engine::PollerKind;
#[cfg(feature = "uring")]
use crate::entry::Stage;
use crate::error::Error;
#[cfg(feature = "uring")]
use crate::id::ConnId;
use crate::link::Link;
use crate::poll::{Epoll, Poller, Portable, Registrar};
#[cfg(feature = "uring")]
use crate::ring::{Ring, RingStream};

/// How the loop learns of readiness.
pub(crate) enum Driver {
    Own(Box<dyn Poller>),
    Foreign(Box<dyn Registrar>),
    #[cfg(feature = "uring")]
    Ring(Rc<Ring>),
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own(_) => "Own",
            Self::Foreign(_) => "Foreign",
            #[cfg(feature = "uring")]
            Self::Ring(_) => "Ring",
        })
    }
}

impl Driver {
    /// Makes a built-in one, and says which it became.
    pub(crate) fn new(kind: PollerKind) -> Result<(Self, PollerKind), Error> {
        match kind {
            PollerKind::Epoll => {
                let epoll = Epoll::new().map_err(|e| Error::io("create an epoll instance", e))?;
                Ok((Self::Own(Box::new(epoll)), kind))
            }
            PollerKind::Poll => Ok((Self::Own(Box::new(Portable::new())), kind)),
            PollerKind::Uring => Ok((Self::new_ring()?, kind)),
            PollerKind::Auto => match Self::new_ring() {
                Ok(ring) => Ok((ring, PollerKind::Uring)),
                Err(_) => Self::new(PollerKind::Epoll),
            },
        }
    }

    #[cfg(feature = "uring")]
    fn new_ring() -> Result<Self, Error> {
        let ring = Ring::new().map_err(|e| Error::io("create an io_uring instance", e))?;
        Ok(Self::Ring(ring))
    }

    #[cfg(not(feature = "uring"))]
    fn new_ring() -> Result<Self, Error> {
        Err(Error::Config(
            "io_uring needs sockeye's feature `uring`".to_owned(),
        ))
    }

    /// Whether the engine waits by itself.
    pub(crate) fn is_own(&self) -> bool {
        !matches!(self, Self::Foreign(_))
    }

    /// What waits, unless that is somebody else's business.
    pub(crate) fn poller(&mut self) -> Option<&mut dyn Poller> {
        match self {
            Self::Own(poller) => Some(&mut **poller),
            Self::Foreign(_) => None,
            #[cfg(feature = "uring")]
            Self::Ring(ring) => Some(ring),
        }
    }

    /// Lets the driver carry a connected socket by means of its own, if it has such.
    pub(crate) fn adopt(&self, link: Link) -> Link {
        match (self, link) {
            #[cfg(feature = "uring")]
            (Self::Ring(ring), Link::Socket(socket)) => {
                Link::Ring(Box::new(RingStream::new(ring, socket)))
            }
            (_, link) => link,
        }
    }

    pub(crate) fn registrar(&mut self) -> &mut dyn Registrar {
        match self {
            Self::Own(poller) => &mut **poller,
            Self::Foreign(registrar) => &mut **registrar,
            #[cfg(feature = "uring")]
            Self::Ring(ring) => ring,
        }
    }
}

impl Core {
    /// Lets the driver carry an outgoing connection's socket from now on: see [`Driver::adopt`].
    ///
    /// # Errors
    ///
    /// What the registrar said.
    #[cfg(feature = "uring")]
    pub(crate) fn hand_over(&mut self, id: ConnId) -> std::io::Result<()> {
        let Some(entry) = self.conns.get_mut(id) else {
            return Ok(());
        };
        // As when accepting, TLS stays with the socket.
        if matches!(&entry.stage, Stage::Connect(stage) if stage.options.address.is_secure()) {
            return Ok(());
        }
        if let (Driver::Ring(_), Link::Socket(socket)) = (&self.driver, &entry.link) {
            // It fails only for a descriptor that is not registered, which is what is wanted.
            drop(self.driver.registrar().remove(AsFd::as_fd(socket)));
            let interest = entry.interest;
            let link = std::mem::replace(&mut entry.link, Link::Gone);
            entry.link = self.driver.adopt(link);
            self.register(id, interest)?;
        }
        Ok(())
    }

    /// Lets a driver that puts writes off till it waits make them now.
    pub(crate) fn submit(&mut self) {
        if let Some(poller) = self.driver.poller() {
            // What is wrong with it, the next wait says.
            drop(poller.submit());
        }
    }
}
