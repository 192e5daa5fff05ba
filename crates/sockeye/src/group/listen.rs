//! What the engines of a group listen on: whoever comes first binds, the others join in.
//!
//! Used while the engines are set up, and empty from then on. Knows no engine.

use crate::net::listener::{ListenOptions, Listener, Twin};
use crate::net::{Bind, LocalAddr, NetError};

/// The listeners of a group so far.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    bind: Bind,
    addr: LocalAddr,
    twin: Option<Twin>,
    /// The engine that joined last; they are set up one after the other.
    last: usize,
}

impl Registry {
    /// Joins in where an earlier engine listens on the same, or listens.
    pub(crate) fn listen(
        &mut self,
        bind: &Bind,
        options: &ListenOptions,
        engine: usize,
    ) -> Result<Listener, NetError> {
        let mut entries = self.entries.iter_mut();
        if let Some(entry) = entries.find(|entry| entry.bind == *bind && entry.last != engine)
            && let Some(twin) = &entry.twin
        {
            entry.last = engine;
            return twin.listen(options);
        }
        let (listener, twin) = Listener::bind_first(bind, options)?;
        self.note(bind, &listener, Some(twin), engine);
        Ok(listener)
    }

    /// Listens where nobody is to join in.
    pub(crate) fn listen_alone(
        &mut self,
        bind: &Bind,
        options: &ListenOptions,
    ) -> Result<Listener, NetError> {
        let listener = Listener::bind(bind, options)?;
        self.note(bind, &listener, None, 0);
        Ok(listener)
    }

    fn note(&mut self, bind: &Bind, listener: &Listener, twin: Option<Twin>, engine: usize) {
        self.entries.push(Entry {
            bind: bind.clone(),
            addr: listener.local_addr().clone(),
            twin,
            last: engine,
        });
    }

    /// Forgets all, so that a socket is closed when its engines close it. Says where they listen.
    pub(crate) fn close(&mut self) -> Vec<LocalAddr> {
        self.entries.drain(..).map(|entry| entry.addr).collect()
    }
}
