//! What `serve` tells on standard error, and the decorator that makes an endpoint tell of its
//! connections. It passes on what the endpoints here listen to.

use std::fmt;

use sockeye::{
    Accepted, Bytes, CloseInfo, Conn, Exchange, Peer, Prepared, Protocol, Reject, Request, Text,
};

use crate::terminal;

/// How much is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    quiet: bool,
    verbose: bool,
}

impl Log {
    pub(super) fn new(quiet: bool, verbose: bool) -> Self {
        Self { quiet, verbose }
    }

    /// Tells something unless all is quiet.
    pub(super) fn say(self, text: impl fmt::Display) {
        if !self.quiet {
            terminal::note(terminal::STATE, format_args!("sockeye: {text}"));
        }
    }

    /// Tells of a connection that came in, of whatever kind.
    pub(super) fn connection(self, peer: &Peer) {
        self.detail(format_args!("connection from {}", peer.addr()));
    }

    fn detail(self, text: impl fmt::Display) {
        if self.verbose {
            terminal::note(terminal::PULSE, format_args!("sockeye: {text}"));
        }
    }
}

/// A protocol whose connections are logged when they open and close.
#[derive(Debug)]
pub(super) struct Logged<P> {
    name: &'static str,
    protocol: P,
    log: Log,
}

impl<P> Logged<P> {
    pub(super) fn new(name: &'static str, protocol: P, log: Log) -> Self {
        Self {
            name,
            protocol,
            log,
        }
    }

    pub(super) fn inner(&mut self) -> &mut P {
        &mut self.protocol
    }
}

impl<P: Protocol> Protocol for Logged<P> {
    type Session = P::Session;

    fn accept(
        &mut self,
        request: &Request<'_>,
        peer: &Peer,
    ) -> Result<Accepted<P::Session>, Reject> {
        self.protocol.accept(request, peer)
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, session: &mut P::Session) {
        if self.log.verbose {
            let (name, id) = (self.name, conn.id());
            match conn.peer() {
                Some(peer) => self
                    .log
                    .detail(format_args!("{name} {id} open, from {}", peer.addr())),
                None => self.log.detail(format_args!("{name} {id} open")),
            }
        }
        self.protocol.on_open(conn, session);
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, session: &mut P::Session, text: Text<'_>) {
        self.protocol.on_text(conn, session, text);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, session: &mut P::Session, data: Bytes<'_>) {
        self.protocol.on_binary(conn, session, data);
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, session: &mut P::Session) {
        self.protocol.on_writable(conn, session);
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, session: &mut P::Session) {
        self.protocol.on_timeout(conn, session);
    }

    fn on_broadcast(&mut self, conn: &mut Conn<'_>, session: &mut P::Session, message: &Prepared) {
        self.protocol.on_broadcast(conn, session, message);
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, session: P::Session, info: &CloseInfo) {
        let (name, id) = (self.name, conn.id());
        self.log.detail(format_args!("{name} {id} {info}"));
        self.protocol.on_close(conn, session, info);
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, body: &[u8]) {
        self.protocol.on_request(http, request, body);
    }
}
