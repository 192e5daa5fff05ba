//! Which content coding a client takes, and prefers (RFC 9110 §12.5.3).
//!
//! Knows `Accept-Encoding`. Refuses to know which siblings a file has.
//!
//! Invariant: a coding with weight 0 is never above the identity, so it is never chosen.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// The one that we would rather send comes first.
    pub(super) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// The name in `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What a sibling's name has more than the file's.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// Weights in thousandths; `None` where the client did not say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Acceptance {
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Acceptance {
    /// No header means no preference: the plain file then. An element with a bad weight is
    /// skipped.
    pub(super) fn parse(header: Option<&str>) -> Self {
        let mut acceptance = Self::default();
        for element in header.unwrap_or_default().split(',') {
            let mut parts = element.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = weight(parts.next()) else {
                continue;
            };
            let field = match name.to_ascii_lowercase().as_str() {
                "br" => &mut acceptance.brotli,
                // RFC 9110 §8.4.1.3: two names of the same.
                "gzip" | "x-gzip" => &mut acceptance.gzip,
                "identity" => &mut acceptance.identity,
                "*" => &mut acceptance.any,
                _ => continue,
            };
            *field = Some(weight);
        }
        acceptance
    }

    /// What a sibling of this coding is worth; 0 when it must not be sent.
    pub(super) fn weight(&self, coding: Coding) -> u16 {
        let own = match coding {
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        };
        // Doubled, and one up, to lose no tie against the plain file.
        match own.or(self.any).unwrap_or(0) {
            0 => 0,
            weight => 2 * weight + 1,
        }
    }

    /// What the plain file is worth. A client that refuses it and whatever else there is gets it
    /// nevertheless: 406 would help nobody.
    pub(super) fn identity(&self) -> u16 {
        2 * self.identity.or(self.any).unwrap_or(0)
    }
}

/// The weight of an element with this parameter: `q=` and 0 to 1 with at most three digits.
fn weight(parameter: Option<&str>) -> Option<u16> {
    let Some(parameter) = parameter else {
        return Some(1000);
    };
    let value = parameter
        .strip_prefix("q=")
        .or_else(|| parameter.strip_prefix("Q="))?;
    let (whole, digits) = value.split_once('.').unwrap_or((value, ""));
    if digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{digits:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is sent when both siblings exist.
    fn choice(header: Option<&str>) -> &'static str {
        let acceptance = Acceptance::parse(header);
        let mut best = ("identity", acceptance.identity());
        for coding in Coding::ALL {
            if acceptance.weight(coding) > best.1 {
                best = (coding.name(), acceptance.weight(coding));
            }
        }
        best.0
    }

    #[test]
    fn the_best_of_what_is_accepted() {
        assert_eq!(choice(None), "identity");
        for (header, expected) in [
            ("", "identity"),
            ("br", "br"),
            ("BR", "br"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("gzip, deflate, br, zstd", "br"),
            ("gzip,br", "br"),
            ("br;q=0.5, gzip", "gzip"),
            ("br;q=0.5, gzip;q=0.4", "br"),
            ("br;q=0.001", "br"),
            ("br;q=0", "identity"),
            ("br;q=0.000, gzip", "gzip"),
            ("br;q=0, gzip;Q=0.0", "identity"),
            ("*", "br"),
            ("*;q=0", "identity"),
            ("br;q=0, *", "gzip"),
            ("*, br;q=0", "gzip"),
            ("*;q=0, gzip", "gzip"),
            ("gzip;q=0.5, *;q=0.8", "br"),
            ("identity", "identity"),
            ("identity;q=0", "identity"),
            ("identity;q=0, br", "br"),
            ("identity, gzip;q=0.5", "identity"),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0.8, gzip;q=0.5, br;q=0.9", "br"),
            ("deflate", "identity"),
            (" br ; q=1.000 ,, gzip", "br"),
            ("br;q=1.001, gzip;q=0.1", "gzip"),
            ("br;q=2, gzip;q=0.1", "gzip"),
            ("br;q=-1", "identity"),
            ("br;q=0.1234", "identity"),
            ("br;q=", "identity"),
            ("br;q", "identity"),
            ("br;q=1.", "br"),
            ("br;q=.5", "identity"),
            ("brotli, gzipped, xbr", "identity"),
        ] {
            assert_eq!(choice(Some(header)), expected, "{header}");
        }
    }

    #[test]
    fn the_wildcard_speaks_for_the_plain_file_too() {
        let acceptance = Acceptance::parse(Some("gzip;q=0.5, *;q=0.8"));
        assert!(acceptance.weight(Coding::Gzip) < acceptance.identity());
        let acceptance = Acceptance::parse(Some("gzip;q=0.5, *;q=0.8, identity;q=0.1"));
        assert!(acceptance.weight(Coding::Gzip) > acceptance.identity());
    }

    proptest! {
        #[test]
        fn any_header_parses(header in any::<String>()) {
            let acceptance = Acceptance::parse(Some(&header));
            prop_assert!(acceptance.weight(Coding::Gzip) <= 2001);
        }
    }
}
