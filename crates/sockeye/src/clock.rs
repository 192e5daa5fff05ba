//! The engine's clock: the one place that reads the time.
//!
//! One reading a turn, so that all callbacks of a turn see the same instant. In a simulation nobody
//! reads it: the instant comes with [`Engine::service`](crate::Engine::service).

use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;

/// The turn's instant, and the wall time as HTTP writes it.
#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
    date: Option<(Instant, HeaderValue)>,
}

impl Clock {
    pub(crate) fn new(now: Instant) -> Self {
        Self { now, date: None }
    }

    pub(crate) fn read() -> Instant {
        Instant::now()
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Begins a turn. A clock that runs backwards stands still.
    pub(crate) fn set(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// The wall time.
    pub(crate) fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The value of a Date header (RFC 9110 §6.6.1), read anew at most once a second.
    pub(crate) fn date(&mut self) -> HeaderValue {
        match &self.date {
            Some((read, value)) if self.now - *read < Duration::from_secs(1) => value.clone(),
            _ => {
                let text = httpdate::fmt_http_date(SystemTime::now());
                let value =
                    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
                self.date = Some((self.now, value.clone()));
                value
            }
        }
    }
}
