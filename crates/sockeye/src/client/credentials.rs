//! A user name and its password, and how they are told to an HTTP server.
//!
//! Passwords stay out of logs: nothing here prints one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::Error;

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The userinfo of a URL, if there is any.
    pub(crate) fn from_url(url: &Url) -> Result<Option<Self>, Error> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(None);
        }
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| {
                    Error::invalid(without_password(url.as_str()), "its userinfo is no UTF-8")
                })
        };
        Ok(Some(Self {
            user: decode(url.username())?,
            password: decode(url.password().unwrap_or_default())?,
        }))
    }

    /// The value of `Authorization` or `Proxy-Authorization` (RFC 7617).
    pub(crate) fn basic(&self) -> Result<HeaderValue, Error> {
        let Self { user, password } = self;
        // RFC 7617 §2: the first colon ends the user's name, and controls are not allowed.
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            let problem = "a user name has no colon in it, and nothing here a control character";
            return Err(Error::invalid(user, problem));
        }
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        secret(&format!("Basic {encoded}"))
    }
}

/// The value of `Authorization` for a token (RFC 6750 §2.1).
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, Error> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "it is no token: only visible ASCII characters, and no blank";
        return Err(Error::invalid("the bearer token", problem));
    }
    secret(&format!("Bearer {token}"))
}

/// A header value that is not printed, and not sent to another origin.
pub(crate) fn secret(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::invalid("credentials", "they do not fit into a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A URL as it may be shown: with the userinfo cut out.
pub(crate) fn without_password(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(begin);
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn basic_is_the_example_of_the_rfc() {
        let value = credentials("Aladdin", "open sesame").basic().unwrap();
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
    }

    #[test]
    fn what_would_be_read_otherwise_is_refused() {
        for (user, password) in [("a:b", ""), ("a\n", ""), ("a", "\0"), ("a", "b\r\nX: y")] {
            assert!(
                credentials(user, password).basic().is_err(),
                "{user:?} {password:?}"
            );
        }
        assert!(credentials("a", "b:c").basic().is_ok());
        for token in ["", "a b", "a\r\nX: y", "ä"] {
            assert!(bearer(token).is_err(), "{token:?}");
        }
    }

    #[test]
    fn userinfo_is_decoded() {
        let url = Url::parse("ws://us%40er:p%3Aw%20%C3%A4@host/").unwrap();
        let found = Credentials::from_url(&url).unwrap().unwrap();
        assert_eq!(found, credentials("us@er", "p:w ä"));
        assert_eq!(
            Credentials::from_url(&Url::parse("ws://host/").unwrap()).unwrap(),
            None
        );
        assert!(Credentials::from_url(&Url::parse("ws://%ff@host/").unwrap()).is_err());
    }

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("ws://a:secret@host/x@y", "ws://host/x@y"),
            ("ws://a:sec@ret@host", "ws://host"),
            ("a:secret@host:1", "host:1"),
            ("ws://host/a@b", "ws://host/a@b"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        assert!(!format!("{:?}", credentials("a", "secret")).contains("secret"));
    }
}
