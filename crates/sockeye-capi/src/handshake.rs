//! The server's side of a handshake as the program sees it: which of its protocols is asked for,
//! what the request said, and whether the program wants it.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;

use sockeye::proto::Version;
use sockeye::{ConnId, Request};

use crate::abi::{
    LWS_CALLBACK_CLIENT_ESTABLISHED, LWS_CALLBACK_ESTABLISHED,
    LWS_CALLBACK_FILTER_NETWORK_CONNECTION, LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION, lws_tokens,
    token,
};
use crate::context::Context;
use crate::record::{Record, Side, State};
use crate::watch::Kind;

/// A handshake that the program wants.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) record: Arc<Record>,
    /// The name to answer with, if the client offered any.
    pub(crate) subprotocol: Option<String>,
}

/// Which header is at which place of the array.
const HEADERS: [(usize, &str); 14] = [
    (token::HOST, "host"),
    (token::CONNECTION, "connection"),
    (token::KEY1, "sec-websocket-key1"),
    (token::KEY2, "sec-websocket-key2"),
    (token::PROTOCOL, "sec-websocket-protocol"),
    (token::UPGRADE, "upgrade"),
    (token::ORIGIN, "origin"),
    (token::DRAFT, "sec-websocket-draft"),
    (token::KEY, "sec-websocket-key"),
    (token::VERSION, "sec-websocket-version"),
    (token::SWORIGIN, "sec-websocket-origin"),
    (token::EXTENSIONS, "sec-websocket-extensions"),
    (token::ACCEPT, "sec-websocket-accept"),
    (token::NONCE, "sec-websocket-nonce"),
];

/// The request in the form that programs look at. The values are ours, and are gone when this is.
#[derive(Debug)]
struct Tokens {
    /// The memory of the values. What points to it was taken when it was in place already.
    _values: Vec<Vec<u8>>,
    array: Vec<lws_tokens>,
}

impl Tokens {
    fn new(request: &Request<'_>) -> Self {
        let absent = || lws_tokens {
            token: ptr::null_mut(),
            token_len: 0,
        };
        let mut array: Vec<lws_tokens> =
            std::iter::repeat_with(absent).take(token::COUNT).collect();
        let mut values = Vec::new();
        let mut put = |place: usize, value: &[u8]| {
            let mut value = value.to_vec();
            value.push(0);
            if let Some(entry) = array.get_mut(place) {
                entry.token = value.as_mut_ptr().cast::<c_char>();
                entry.token_len = c_int::try_from(value.len() - 1).unwrap_or(c_int::MAX);
            }
            values.push(value);
        };
        put(token::GET_URI, request.target().as_bytes());
        for (place, name) in HEADERS {
            let sent: Vec<&[u8]> = request.values(name).collect();
            if !sent.is_empty() {
                put(place, &sent.join(&b", "[..]));
            }
        }
        if let Some(challenge) = request.challenge() {
            put(token::CHALLENGE, challenge);
        }
        Self {
            _values: values,
            array,
        }
    }
}

impl Context {
    /// Whether the program takes a connection that was just accepted.
    pub(crate) fn filter_network(&self, fd: Option<BorrowedFd<'_>>) -> bool {
        let number = fd.map_or(-1, |fd| fd.as_raw_fd());
        let user = ptr::without_provenance_mut(usize::try_from(number).unwrap_or_default());
        let listener = self.listener();
        let reason = LWS_CALLBACK_FILTER_NETWORK_CONNECTION;
        self.call(0, listener.as_deref(), reason, user, ptr::null_mut(), 0) == 0
    }

    fn listener(&self) -> Option<Arc<Record>> {
        let watch = self.watch.borrow();
        let fixtures = self.fixtures.borrow();
        let is_listener = |record: &Record| {
            let shown = watch.shown(record.fd.get());
            shown.is_some_and(|(_, kind)| kind == Kind::Listener)
        };
        let found = fixtures.iter().find(|(_, record)| is_listener(record));
        found.map(|(_, record)| Arc::clone(record))
    }

    /// Chooses a protocol for a request to upgrade, and asks the program. `None`: not wanted.
    pub(crate) fn filter_protocol(&self, id: ConnId, request: &Request<'_>) -> Option<Choice> {
        self.tell_news();
        let record = self.record_of(id)?;
        let Some((protocol, subprotocol)) = self.choose(request) else {
            self.drop_connection(&record);
            return None;
        };
        record.protocol.set(Some(protocol));
        let mut tokens = Tokens::new(request);
        let user = tokens.array.as_mut_ptr().cast();
        let reason = LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION;
        let verdict = self.call(protocol, Some(&record), reason, user, ptr::null_mut(), 0);
        if verdict != 0 || record.is_over() {
            self.drop_connection(&record);
            return None;
        }
        Some(Choice {
            record,
            subprotocol,
        })
    }

    /// The first protocol offered that the program has; for clients that offer none, the first
    /// without a name.
    fn choose(&self, request: &Request<'_>) -> Option<(usize, Option<String>)> {
        let offers_any = request.values("sec-websocket-protocol").next().is_some();
        if !offers_any {
            let nameless = self.protocols.iter().position(|entry| entry.name.is_none());
            return nameless.map(|index| (index, None));
        }
        request.subprotocols().find_map(|offer| {
            let index = self.protocol_named(offer)?;
            Some((index, Some(offer.to_owned())))
        })
    }

    /// Which of the program's protocols has this name.
    pub(crate) fn protocol_named(&self, name: &str) -> Option<usize> {
        let is_it = |own: &CString| own.as_bytes() == name.as_bytes();
        self.protocols
            .iter()
            .position(|entry| entry.name.as_ref().is_some_and(is_it))
    }

    /// Gives a connection its session's memory. Returns whether that was possible.
    pub(crate) fn begin_session(&self, record: &Record) -> bool {
        let protocol = record
            .protocol
            .get()
            .and_then(|index| self.protocols.get(index));
        protocol.is_some_and(|protocol| record.begin_session(protocol.session_len))
    }

    /// The handshake is over, on either side.
    pub(crate) fn opened(&self, record: &Arc<Record>, subprotocol: Option<&str>) {
        self.tell_news();
        if record.is_over() {
            return;
        }
        let reason = match record.side {
            Side::Client => {
                // The engine lets only those through that were offered.
                let protocol = match subprotocol {
                    Some(name) => self.protocol_named(name),
                    None if record.asked.get() => None,
                    None => Some(0),
                };
                record.protocol.set(protocol);
                if protocol.is_none() || !self.begin_session(record) {
                    return self.drop_connection(record);
                }
                if self.unmasked.get()
                    && let Some(id) = record.conn.get()
                {
                    self.with_core(|core| core.dangerously_unmask(id, true));
                }
                LWS_CALLBACK_CLIENT_ESTABLISHED
            }
            _ => LWS_CALLBACK_ESTABLISHED,
        };
        let version = record
            .conn
            .get()
            .map(|id| self.with_core(|core| core.version(id)));
        let version = version.flatten().flatten();
        record
            .is_hixie
            .set(version.is_some_and(Version::is_text_only));
        record.state.set(State::Established);
        self.tell(record, reason, ptr::null_mut(), 0);
        if record.wants_room.get() && record.is_established() {
            self.want_room(record);
        }
    }
}
