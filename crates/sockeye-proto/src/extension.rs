//! The grammar of Sec-WebSocket-Extensions (RFC 6455 §9.1).
//!
//! Knows no extension. Invariants: each byte is looked at once, and what does not fit the grammar
//! ends the list with an error; quoted values come out without their quoting.
#![warn(clippy::indexing_slicing)]

use std::borrow::Cow;

use crate::http::is_tchar;

/// The value of a header is not a list of extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One element of the list: a name, and its parameters in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Extension<'h> {
    pub(crate) name: &'h [u8],
    pub(crate) params: Vec<Param<'h>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Param<'h> {
    pub(crate) name: &'h [u8],
    pub(crate) value: Option<Cow<'h, [u8]>>,
}

/// Goes through the value of one header line; several lines are one list (RFC 9110 §5.3).
#[derive(Debug)]
pub(crate) struct Extensions<'h> {
    rest: &'h [u8],
}

impl<'h> Extensions<'h> {
    pub(crate) fn new(value: &'h [u8]) -> Self {
        Self { rest: value }
    }

    fn extension(&mut self) -> Result<Extension<'h>, Malformed> {
        let name = self.token()?;
        let mut params = Vec::new();
        loop {
            self.skip_blanks();
            match self.rest.first() {
                None | Some(b',') => return Ok(Extension { name, params }),
                Some(b';') => self.skip(1),
                Some(_) => return Err(Malformed),
            }
            self.skip_blanks();
            let name = self.token()?;
            self.skip_blanks();
            let value = match self.rest.first() {
                Some(b'=') => {
                    self.skip(1);
                    self.skip_blanks();
                    Some(self.value()?)
                }
                _ => None,
            };
            params.push(Param { name, value });
        }
    }

    fn token(&mut self) -> Result<&'h [u8], Malformed> {
        let end = self.rest.iter().position(|&byte| !is_tchar(byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match token {
            [] => Err(Malformed),
            token => Ok(token),
        }
    }

    /// A token, or one within quotes (RFC 6455 §9.1: what is quoted must be a token as well).
    fn value(&mut self) -> Result<Cow<'h, [u8]>, Malformed> {
        let Some((b'"', quoted)) = self.rest.split_first() else {
            return self.token().map(Cow::Borrowed);
        };
        let mut value = Vec::new();
        let mut bytes = quoted.iter();
        loop {
            match bytes.next().ok_or(Malformed)? {
                b'"' => break,
                b'\\' => value.push(*bytes.next().ok_or(Malformed)?),
                &byte => value.push(byte),
            }
        }
        self.rest = bytes.as_slice();
        match !value.is_empty() && value.iter().all(|&byte| is_tchar(byte)) {
            true => Ok(Cow::Owned(value)),
            false => Err(Malformed),
        }
    }

    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }
}

impl<'h> Iterator for Extensions<'h> {
    type Item = Result<Extension<'h>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // RFC 9110 §5.6.1.2: empty elements are passed over.
        while let [b' ' | b'\t' | b',', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let extension = self.extension();
        if extension.is_err() {
            self.rest = &[];
        }
        Some(extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list in a plain form: `name;param=value;param`.
    fn read(value: &str) -> Result<Vec<String>, Malformed> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Extensions::new(value.as_bytes())
            .map(|extension| {
                let extension = extension?;
                let mut plain = text(extension.name);
                for param in extension.params {
                    plain += &format!(";{}", text(param.name));
                    if let Some(value) = param.value {
                        plain += &format!("={}", text(&value));
                    }
                }
                Ok(plain)
            })
            .collect()
    }

    #[test]
    fn lists() {
        for (value, expected) in [
            ("", &[][..]),
            (" ,\t, ", &[]),
            ("a", &["a"]),
            (" a ,, b;c ,", &["a", "b;c"]),
            ("a; b=1 ;c = \"2\"\t, d", &["a;b=1;c=2", "d"]),
            (r#"a;b="\1\2",c"#, &["a;b=12", "c"]),
            ("a;b;b=1;b=2", &["a;b;b=1;b=2"]),
            ("a;b=\"x\";c", &["a;b=x;c"]),
        ] {
            let expected = expected.iter().map(ToString::to_string).collect();
            assert_eq!(read(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_list() {
        for value in [
            ";",
            "a;",
            "a;;b",
            "a b",
            "a;b=",
            "a;b=,c",
            "a;=1",
            "a;b=1=2",
            "a=1",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"1",
            "a;b=\"\\",
            "a;b=\"1 2\"",
            "a;b=\"1,2\"",
            "a;b=\"1\"2",
            "a;b=\"\u{e4}\"",
            "\"a\"",
            "a/b",
            "a;b@",
            "a, b;",
            "ä",
        ] {
            assert!(read(value).is_err(), "{value}");
        }
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut list = Extensions::new(b"a b, c");
        assert_eq!(list.next(), Some(Err(Malformed)));
        assert_eq!(list.next(), None);
    }
}
