//! permessage-deflate in the engine: whose wishes count, and the settings of those that agreed on
//! the same.
//!
//! Connections hold what they agreed on by their [`Config`], which those that agreed on the same
//! share: an idle connection owns nothing more for being compressed.

use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::deflate::{Agreed, Settings};
use sockeye_proto::handshake::{Accept, Answer};
use sockeye_proto::ws::{Config, Delivery, Role, WebSocket};
use sockeye_proto::{Limits, Shared};

use crate::core::Core;
use crate::draft::{self, Wire};

/// Sets of settings that are kept for the connections to come, beyond those in use.
const SPARE_CONFIGS: usize = 16;

/// What one side of a handshake wishes for.
pub(crate) type Wish = Option<Settings>;
/// To do without.
pub(crate) const NO_WISH: Wish = None;
/// What came of it.
pub(crate) type Outcome = Option<Agreed>;

/// The wish of the engine, and what its connections agreed on.
#[derive(Debug, Default)]
pub(crate) struct Compression {
    pub(crate) wish: Wish,
    configs: Vec<Arc<Config>>,
}

impl Compression {
    pub(crate) fn new(wish: Wish) -> Self {
        Self {
            wish,
            configs: Vec::new(),
        }
    }

    /// As `plain`, with compression.
    fn config(&mut self, limits: &Limits, delivery: Delivery, settings: Settings) -> Arc<Config> {
        let known =
            |config: &&Arc<Config>| config.deflate == Some(settings) && config.delivery == delivery;
        if let Some(config) = self.configs.iter().find(known) {
            return Arc::clone(config);
        }
        if self.configs.len() >= SPARE_CONFIGS {
            self.configs.retain(|config| Arc::strong_count(config) > 1);
        }
        let mut config = Config::new(limits.clone(), delivery);
        config.deflate = Some(settings);
        let config = Arc::new(config);
        self.configs.push(Arc::clone(&config));
        config
    }
}

/// Agrees with a client, as far as the wish goes.
pub(crate) fn negotiate(
    accept: &mut Accept<'_>,
    wish: &Wish,
    limits: &Limits,
    shared: &Shared,
) -> Outcome {
    accept.deflate(wish.as_ref()?, limits, shared)
}

/// What the server's answer says about it.
pub(crate) fn outcome(answer: &mut Answer) -> Outcome {
    answer.deflate.take()
}

/// The machine of a connection that shares its settings with no other.
pub(crate) fn single(
    role: Role,
    config: Arc<Config>,
    outcome: Outcome,
    wire: Wire,
    now: Instant,
) -> WebSocket {
    let Some(agreed) = outcome else {
        return draft::machine(role, config, wire, now);
    };
    let config = Config {
        deflate: Some(agreed.settings),
        ..Arc::unwrap_or_clone(config)
    };
    let mut socket = WebSocket::new(role, Arc::new(config), now);
    if let Some(reservation) = agreed.reservation {
        socket.hold(reservation);
    }
    socket
}

impl Core {
    /// The machine of a connection whose handshake is over.
    pub(crate) fn websocket(
        &mut self,
        role: Role,
        delivery: Delivery,
        outcome: Outcome,
        wire: Wire,
        now: Instant,
    ) -> WebSocket {
        let Some(agreed) = outcome else {
            return draft::machine(role, self.config(delivery), wire, now);
        };
        let config = self
            .compression
            .config(&self.limits, delivery, agreed.settings);
        let mut socket = WebSocket::new(role, config, now);
        if let Some(reservation) = agreed.reservation {
            socket.hold(reservation);
        }
        socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shared_and_those_of_the_dead_are_forgotten() {
        let mut compression = Compression::default();
        let limits = Limits::default();
        let with = |min_len| Settings {
            min_len,
            ..Settings::default()
        };
        let mut config = |min_len| compression.config(&limits, Delivery::Whole, with(min_len));
        let held: Vec<_> = (0..100).map(&mut config).collect();
        assert!(Arc::ptr_eq(&held[7], &config(7)));
        drop(held);
        for min_len in 0..1000 {
            config(min_len);
        }
        assert!(compression.configs.len() <= SPARE_CONFIGS);
    }
}
