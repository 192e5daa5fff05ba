//! The alerts by which a TLS peer refuses, in words (RFC 8446 §6.2, RFC 5246 §7.2.2).

use std::borrow::Cow;

/// What an alert means.
pub(super) fn meaning(code: u8) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        10 => "unexpected message",
        20 => "bad record MAC",
        22 => "record too long",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "certificate of an unknown CA",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "no common protocol version",
        71 => "insufficient security",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "canceled by its user",
        100 => "no renegotiation",
        109 => "missing extension",
        110 => "unsupported extension",
        112 => "unrecognized server name",
        113 => "bad certificate status response",
        115 => "unknown PSK identity",
        116 => "certificate required",
        120 => "no common application protocol",
        other => return Cow::Owned(format!("alert {other}")),
    })
}
