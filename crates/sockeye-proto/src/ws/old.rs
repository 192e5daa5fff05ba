//! Versions before RFC 6455: how a machine comes to speak one, and the ways that part there.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::framing::Framing;
use super::hixie::frame_hixie;
use super::{Config, Event, Kind, Message, Prepared, Role, WebSocket};
use crate::cx::Cx;
use crate::drafts::frame::encode;
use crate::drafts::hybi04::Hybi04;
use crate::drafts::{Version, Wire};
use crate::frame::{FrameHeader, Opcode};
use crate::violation::{Misuse, Violation};

impl WebSocket {
    /// A connection whose handshake is complete, and agreed on this version. Those before RFC 6455
    /// do not compress, whatever the settings say.
    pub fn with_wire(role: Role, config: Arc<Config>, wire: Wire, now: Instant) -> Self {
        #[cfg(feature = "deflate")]
        let config = match (config.deflate, wire.version()) {
            (None, _) | (_, Version::Rfc6455) => config,
            _ => Arc::new(Config::new(config.limits.clone(), config.delivery)),
        };
        let mut socket = Self::new(role, config, now);
        socket.framing = Framing::new(wire.version());
        if let Some(key) = wire.key() {
            socket.parts.get_or_insert_default().hybi04 = Some(Hybi04::new(key));
        }
        socket
    }

    /// The version that is spoken.
    #[inline]
    pub fn version(&self) -> Version {
        self.framing.version()
    }

    /// Masks nothing from here on that a client sends: the key of each frame is zeros (before
    /// hybi-07 its nonce). A server does not mask anyway.
    ///
    /// Dangerous: masking keeps what one party chooses from looking like HTTP to proxies on the way,
    /// and so from poisoning their caches (RFC 6455 §10.3). For tests, and for peers on the same
    /// machine.
    pub fn dangerously_unmask(&mut self, on: bool) {
        self.framing.set_clear(on);
    }

    /// Whether the version has messages of this kind. Who queues the frame of a [`Prepared`] by
    /// itself asks this besides [`may_send`](Self::may_send).
    ///
    /// # Errors
    /// [`Misuse::NotInVersion`] for what is not text, in hixie-76.
    pub fn may_carry(&self, kind: Kind) -> Result<(), Misuse> {
        self.must_have(kind.opcode(), true)
    }

    /// Consumes what has another layout than RFC 6455. `None`: a payload is to be read, and then
    /// there is no difference any more.
    #[cold]
    pub(super) fn prepare_old<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Option<Result<Option<Event<'b>>, Violation>> {
        match self.version() {
            Version::Hixie76 => Some(self.advance_hixie(input, cx)),
            _ => match self.prepare_hybi(input) {
                Ok(true) => None,
                Ok(false) => Some(Ok(None)),
                Err(violation) => Some(Err(violation)),
            },
        }
    }

    #[cold]
    pub(super) fn send_old(&self, message: Message<'_>, cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.may_carry(message.kind())?;
        self.frame_old(message.kind().opcode(), true, message.data(), cx);
        Ok(())
    }

    #[cold]
    pub(super) fn frame_old(&self, opcode: Opcode, fin: bool, data: &[u8], cx: &mut Cx<'_>) {
        match self.version() {
            Version::Hixie76 => frame_hixie(opcode, data, cx.output),
            _ => self.frame_hybi(opcode, fin, data, cx),
        }
    }
}

/// The frames of one message as servers of old versions send them, each made once.
#[derive(Default)]
pub(super) struct Cache {
    hixie: OnceLock<Arc<[u8]>>,
    hybi: OnceLock<Arc<[u8]>>,
}

impl Prepared {
    /// The frame of a server that speaks this version, of those before hybi-07.
    pub(super) fn frame_as(&self, version: Version) -> Arc<[u8]> {
        let (opcode, data) = (self.kind().opcode(), self.data());
        let frame = match version {
            Version::Hixie76 => self.old().hixie.get_or_init(|| {
                let mut frame = Vec::new();
                frame_hixie(opcode, data, &mut frame);
                frame.into()
            }),
            _ => self.old().hybi.get_or_init(|| {
                let mut frame = Vec::with_capacity(FrameHeader::MAX_LEN + data.len());
                encode(opcode, true, data.len(), &mut frame);
                frame.extend_from_slice(data);
                frame.into()
            }),
        };
        Arc::clone(frame)
    }
}
