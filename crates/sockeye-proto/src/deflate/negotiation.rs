//! Offers and answers of permessage-deflate (RFC 7692 §5 and §7.1).
//!
//! Knows header values and settings. A server takes the first offer that it can honour and
//! declines the others without a word; a client takes nothing that it did not offer.

use std::fmt::Write;

use super::{Budget, Reservation, Settings, WindowBits};
use crate::extension::{Extension, Extensions, Param};
use crate::limits::Limits;
use std::sync::Arc;

pub(super) const NAME: &str = "permessage-deflate";

/// That messages may be compressed, and how.
#[derive(Debug, Clone)]
pub struct Agreed {
    /// The four parameters are those that both sides keep to; the rest is this side's own.
    pub settings: Settings,
    /// The right to keep windows between messages, if that was agreed on: for
    /// [`WebSocket::hold`](crate::ws::WebSocket::hold).
    pub reservation: Option<Reservation>,
}

impl PartialEq for Agreed {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Agreed {}

/// What is wrong with a server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It names an extension that was not offered, or one twice, or is no list.
    Extension,
    /// Its parameters do not fit the offer, or nothing at all.
    Parameter,
}

/// The parameters of an offer or an answer, each at most once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<WindowBits>,
    /// An offer may have it without a value (RFC 7692 §7.1.2.2).
    client_max_window_bits: Option<Option<WindowBits>>,
}

impl Params {
    /// `None` if a parameter is unknown, given twice, or has an illegal value.
    fn read(extension: &Extension<'_>) -> Option<Self> {
        let mut params = Self::default();
        for Param { name, value } in &extension.params {
            let value = value.as_deref();
            let repeated = match *name {
                b"server_no_context_takeover" if value.is_none() => {
                    std::mem::replace(&mut params.server_no_context_takeover, true)
                }
                b"client_no_context_takeover" if value.is_none() => {
                    std::mem::replace(&mut params.client_no_context_takeover, true)
                }
                b"server_max_window_bits" => {
                    let bits = read_bits(value?)?;
                    params.server_max_window_bits.replace(bits).is_some()
                }
                b"client_max_window_bits" => {
                    let bits = match value {
                        Some(value) => Some(read_bits(value)?),
                        None => None,
                    };
                    params.client_max_window_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if repeated {
                return None;
            }
        }
        Some(params)
    }
}

/// RFC 7692 §7.1.2: a decimal integer between 8 and 15, without leading zeros.
fn read_bits(value: &[u8]) -> Option<WindowBits> {
    let bits = match value {
        [digit @ b'8'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'5'] => 10 + (digit - b'0'),
        _ => return None,
    };
    WindowBits::new(bits)
}

/// The server's side: the first offer in these headers that can be honoured, and the value of the
/// header that says so. Takeover is agreed on if there is room for it in the budget.
pub(crate) fn respond<'h>(
    values: impl Iterator<Item = &'h [u8]>,
    wish: &Settings,
    limits: &Limits,
    budget: &Arc<Budget>,
) -> Option<(Agreed, String)> {
    let mut first = None;
    for value in values {
        for extension in Extensions::new(value) {
            // RFC 6455 §9.1: a header that breaks the grammar means nothing.
            let extension = extension.ok()?;
            if first.is_none() && extension.name == NAME.as_bytes() {
                first = Params::read(&extension);
            }
        }
    }
    let offer = first?;
    let mut settings = meet(wish, &offer);
    let reservation = match settings.kept_len() {
        0 => None,
        len => budget.reserve(len, limits),
    };
    if reservation.is_none() {
        settings = settings.without_takeover();
    }
    let mut value = settings.to_string();
    // An offer with the parameter is accepted by an answer with it (RFC 7692 §7.1.2.1).
    if offer.server_max_window_bits.is_some() && settings.server_max_window_bits == WindowBits::MAX
    {
        let _ = write!(value, "; server_max_window_bits={}", WindowBits::MAX);
    }
    let agreed = Agreed {
        settings,
        reservation,
    };
    Some((agreed, value))
}

/// What suits both. RFC 7692 lets a server add everything but a window for a client that did not
/// offer to keep to one.
fn meet(wish: &Settings, offer: &Params) -> Settings {
    let most = WindowBits::MAX;
    Settings {
        server_no_context_takeover: wish.server_no_context_takeover
            || offer.server_no_context_takeover,
        client_no_context_takeover: wish.client_no_context_takeover
            || offer.client_no_context_takeover,
        server_max_window_bits: wish
            .server_max_window_bits
            .min(offer.server_max_window_bits.unwrap_or(most)),
        client_max_window_bits: match offer.client_max_window_bits {
            None => most,
            Some(bits) => wish.client_max_window_bits.min(bits.unwrap_or(most)),
        },
        ..*wish
    }
}

/// The client's side: what to offer, and the value of the header that does.
pub(crate) fn offer(wish: &Settings, limits: &Limits, budget: &Arc<Budget>) -> (Agreed, String) {
    let reservation = match wish.kept_len() {
        0 => None,
        len => budget.reserve(len, limits),
    };
    let settings = match reservation {
        Some(_) => *wish,
        None => wish.without_takeover(),
    };
    let mut value = settings.to_string();
    if settings.client_max_window_bits == WindowBits::MAX {
        value.push_str("; client_max_window_bits");
    }
    let offered = Agreed {
        settings,
        reservation,
    };
    (offered, value)
}

/// The client's side: what the server made of the offer (RFC 7692 §5.1 and §7.1).
pub(crate) fn judge<'h>(
    values: impl Iterator<Item = &'h [u8]>,
    offered: &Agreed,
) -> Result<Option<Agreed>, Wrong> {
    let mut answer = None;
    for value in values {
        for extension in Extensions::new(value) {
            let extension = extension.map_err(|_| Wrong::Extension)?;
            if extension.name != NAME.as_bytes() || answer.is_some() {
                return Err(Wrong::Extension);
            }
            answer = Some(Params::read(&extension).ok_or(Wrong::Parameter)?);
        }
    }
    let Some(answer) = answer else {
        return Ok(None);
    };
    let wish = &offered.settings;
    if wish.server_no_context_takeover && !answer.server_no_context_takeover {
        return Err(Wrong::Parameter);
    }
    let server_max_window_bits = answer.server_max_window_bits.unwrap_or(WindowBits::MAX);
    if server_max_window_bits > wish.server_max_window_bits {
        return Err(Wrong::Parameter);
    }
    let client_max_window_bits = match answer.client_max_window_bits {
        // Ours to choose, then: what the server was told is kept to.
        None => wish.client_max_window_bits,
        Some(Some(bits)) if bits <= wish.client_max_window_bits => bits,
        Some(_) => return Err(Wrong::Parameter),
    };
    let settings = Settings {
        server_no_context_takeover: answer.server_no_context_takeover,
        client_no_context_takeover: wish.client_no_context_takeover
            || answer.client_no_context_takeover,
        server_max_window_bits,
        client_max_window_bits,
        ..*wish
    };
    let reservation = match settings.kept_len() {
        0 => None,
        _ => offered.reservation.clone(),
    };
    Ok(Some(Agreed {
        settings,
        reservation,
    }))
}
