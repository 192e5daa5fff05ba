//! In the place of `openssl` where that is not built in: whoever asks for TLS is refused.

use std::sync::Weak;

use sockeye::ConnectOptions;
use sockeye::tls::ServerTls;

use super::Wanted;
use crate::context::Home;

#[derive(Debug, Default)]
pub(crate) struct Tls;

impl Tls {
    pub(crate) fn new(
        _: &Weak<Home>,
        wanted: &Wanted,
    ) -> Result<(Self, Option<ServerTls>), String> {
        match wanted.files {
            None => Ok((Self, None)),
            Some(_) => Err("built without TLS".to_owned()),
        }
    }

    pub(crate) fn secure(
        &self,
        options: ConnectOptions,
        tls: i32,
    ) -> Result<ConnectOptions, String> {
        match tls {
            0 => Ok(options),
            _ => Err("built without TLS".to_owned()),
        }
    }
}
