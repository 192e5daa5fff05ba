//! Redirects: whether a refusal leads on, and what may go along (RFC 9110 §15.4).
//!
//! Off unless asked for. Invariants: never from TLS to none, never out of `ws` and `wss`, no more
//! than [`MOST`] in a row, and no credentials to another origin.

use std::fmt;

use http::header;
use sockeye_proto::handshake::Refusal;

use super::options::ConnectOptions;

/// More redirects in a row are not followed, whatever the options say: as browsers and curl see
/// it, whoever needs more is lost in a loop.
const MOST: u8 = 10;

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// It leads from `wss://` to `ws://`.
    Downgrade,
    /// Its Location makes no sense.
    Location(String),
    /// It leads to something that is no WebSocket.
    Scheme(String),
    /// There were as many as the options allow.
    TooMany(u8),
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Downgrade => f.write_str("it leads from wss:// to unprotected ws://"),
            Self::Location(problem) => write!(f, "its Location makes no sense: {problem}"),
            Self::Scheme(scheme) => write!(f, "it leads to {scheme}:, which is no WebSocket"),
            Self::TooMany(count) => write!(f, "it is one more than the {count} that are followed"),
        }
    }
}

impl std::error::Error for RedirectError {}

impl ConnectOptions {
    /// Follows a redirect: from now on the options are for where it leads to. `Ok(false)`: the
    /// refusal is none, or redirects are not to be followed. `taken` counts them.
    pub(crate) fn follow(
        &mut self,
        refusal: &Refusal,
        taken: &mut u8,
    ) -> Result<bool, RedirectError> {
        let limit = self.max_redirects.min(MOST);
        if limit == 0 || !matches!(refusal.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        let Some(location) = refusal.headers.get(header::LOCATION) else {
            return Ok(false);
        };
        let location = location
            .to_str()
            .map_err(|_| RedirectError::Location("it is no ASCII".to_owned()))?;
        if *taken >= limit {
            return Err(RedirectError::TooMany(limit));
        }
        let address = self.address.join(location)?;
        if !address.is_same_origin(&self.address) {
            self.drop_credentials();
        }
        self.target = None;
        self.address = address;
        *taken += 1;
        Ok(true)
    }

    /// Drops what is meant for one origin only.
    pub(super) fn drop_credentials(&mut self) {
        self.host = None;
        let secret: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, value)| {
                value.is_sensitive()
                    || [
                        header::AUTHORIZATION,
                        header::COOKIE,
                        header::PROXY_AUTHORIZATION,
                    ]
                    .contains(name)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in secret {
            self.headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn refusal(status: u16, location: &[u8]) -> Refusal {
        let mut headers = HeaderMap::new();
        if !location.is_empty() {
            headers.insert(header::LOCATION, HeaderValue::from_bytes(location).unwrap());
        }
        Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Vec::new(),
            truncated: false,
        }
    }

    fn options(url: &str) -> ConnectOptions {
        ConnectOptions::new(url).unwrap().max_redirects(3)
    }

    #[test]
    fn only_redirects_lead_on_and_only_if_asked_for() {
        for status in [301, 302, 303, 307, 308] {
            let mut options = options("ws://a/b");
            assert_eq!(options.follow(&refusal(status, b"/c"), &mut 0), Ok(true));
            assert_eq!(options.address.to_string(), "ws://a/c");
        }
        for status in [200, 300, 304, 305, 306, 401, 500] {
            let mut options = options("ws://a/b");
            assert_eq!(
                options.follow(&refusal(status, b"/c"), &mut 0),
                Ok(false),
                "{status}"
            );
        }
        let off = ConnectOptions::new("ws://a/b").unwrap();
        assert_eq!(off.clone().follow(&refusal(302, b"/c"), &mut 0), Ok(false));
        assert_eq!(
            options("ws://a/b").follow(&refusal(302, b""), &mut 0),
            Ok(false)
        );
    }

    #[test]
    fn a_loop_ends() {
        let mut options = options("ws://a/b");
        let mut taken = 0;
        for _ in 0..3 {
            assert_eq!(options.follow(&refusal(302, b"/b"), &mut taken), Ok(true));
        }
        let over = options.follow(&refusal(302, b"/b"), &mut taken);
        assert_eq!(over, Err(RedirectError::TooMany(3)));
        let mut wild = options.max_redirects(u8::MAX);
        let over = wild.follow(&refusal(302, b"/b"), &mut 10);
        assert_eq!(over, Err(RedirectError::TooMany(10)));
    }

    #[test]
    fn nonsense_and_downgrades_are_errors() {
        let mut options = options("wss://a/b");
        let mut follow = |location: &[u8]| options.follow(&refusal(302, location), &mut 0);
        assert_eq!(follow(b"http://a/b"), Err(RedirectError::Downgrade));
        assert_eq!(
            follow(b"ftp://a/b"),
            Err(RedirectError::Scheme("ftp".to_owned()))
        );
        assert!(matches!(follow(b"/\xff"), Err(RedirectError::Location(_))));
        assert!(matches!(
            follow(b"https://"),
            Err(RedirectError::Location(_))
        ));
    }

    #[test]
    fn credentials_stay_on_their_origin() {
        let full = |url: &str| {
            let mut key = HeaderValue::from_static("k");
            key.set_sensitive(true);
            options(url)
                .basic_auth("user", "secret")
                .and_then(|options| options.cookie("id", "1"))
                .unwrap()
                .header("x-key".parse().unwrap(), key)
                .header(header::USER_AGENT, HeaderValue::from_static("me"))
        };
        let count = |base: &str, location: &[u8]| {
            let mut options = full(base);
            assert_eq!(options.follow(&refusal(307, location), &mut 0), Ok(true));
            options.headers.len()
        };
        assert_eq!(count("ws://a/b", b"/c"), 4);
        assert_eq!(count("ws://a/b", b"ws://a:80/c"), 4);
        for location in ["ws://b/", "ws://a:81/", "wss://a/", "ws://sub.a/"] {
            assert_eq!(count("ws://a/b", location.as_bytes()), 1, "{location}");
        }
    }
}
