//! TLS by OpenSSL, whose own structures the program is handed.

#[cfg(feature = "openssl")]
mod openssl;
#[cfg(not(feature = "openssl"))]
mod without;

#[cfg(feature = "openssl")]
pub(crate) use self::openssl::Tls;
#[cfg(not(feature = "openssl"))]
pub(crate) use self::without::Tls;

/// What a context is told about TLS.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Certificate and key of the server, in PEM.
    pub(crate) files: Option<(std::path::PathBuf, std::path::PathBuf)>,
    /// Clients must show a certificate.
    #[cfg_attr(
        not(feature = "openssl"),
        expect(dead_code, reason = "there is no server with TLS")
    )]
    pub(crate) verify_clients: bool,
}
