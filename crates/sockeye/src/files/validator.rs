//! What tells one version of a file from another (RFC 9110 §8.8).
//!
//! Knows how validators are made of a file's metadata and how they compare with those in a
//! request. Refuses to know what follows from a match.
//!
//! Invariants: an entity tag differs between the codings of a file; comparison never panics on
//! what a peer wrote.

use std::time::{Duration, SystemTime};

use ::http::HeaderValue;

use super::coding::Coding;
use super::node::RegularFile;

#[derive(Debug)]
pub(super) struct Validators {
    etag: HeaderValue,
    modified: Option<SystemTime>,
}

impl Validators {
    pub(super) fn new(file: &RegularFile, coding: Option<Coding>, now: SystemTime) -> Self {
        let (seconds, nanoseconds) = file.modified;
        let coding = coding.map_or("", Coding::suffix);
        let tag = format!(
            "\"{:x}-{:x}-{seconds:x}.{nanoseconds:x}{coding}\"",
            file.inode, file.len
        );
        Self {
            // Hexadecimal digits and a suffix of ours: always a header value.
            etag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
            modified: modified(seconds, now),
        }
    }

    /// The strong entity tag, quotes included.
    pub(super) fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// The value for `Last-Modified`; `None` for a time that HTTP cannot say.
    pub(super) fn last_modified(&self) -> Option<HeaderValue> {
        let date = httpdate::fmt_http_date(self.modified?);
        HeaderValue::from_str(&date).ok()
    }

    /// In whole seconds, as HTTP dates are.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Whether the list of an `If-None-Match` has the tag, weak or strong (RFC 9110 §8.8.3.2).
    pub(super) fn matches_weakly(&self, list: &str) -> bool {
        list.trim() == "*" || tags(list).any(|(_, tag)| self.is(tag))
    }

    /// Whether the list of an `If-Match` has the tag as a strong one.
    pub(super) fn matches_strongly(&self, list: &str) -> bool {
        list.trim() == "*" || tags(list).any(|(weak, tag)| !weak && self.is(tag))
    }

    /// Whether the validator of an `If-Range` is ours: a strong tag, or the very date
    /// (RFC 9110 §13.1.5: an exact match, not an order).
    pub(super) fn matches_range(&self, validator: &str) -> bool {
        let validator = validator.trim();
        if validator.starts_with('"') {
            return self.is(validator);
        }
        let date = httpdate::parse_http_date(validator).ok();
        date.is_some() && date == self.modified
    }

    fn is(&self, tag: &str) -> bool {
        self.etag.as_bytes() == tag.as_bytes()
    }
}

/// RFC 9110 §8.8.2.1: never later than the response itself, whatever the file system says.
fn modified(seconds: i64, now: SystemTime) -> Option<SystemTime> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let seconds = u64::try_from(seconds).ok()?.min(now.as_secs());
    (seconds < YEAR_10000).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Seconds from 1970 to where a four-digit year ends; `httpdate` panics from there on.
const YEAR_10000: u64 = 253_402_300_800;

/// The entity tags of a list, with their quotes, and whether each is weak. What follows a syntax
/// error is not looked at.
fn tags(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let strong = rest.strip_prefix("W/");
        let weak = strong.is_some();
        let tag = strong.unwrap_or(rest);
        let end = tag.strip_prefix('"')?.find('"')? + 2;
        let (tag, after) = tag.split_at_checked(end)?;
        rest = after;
        Some((weak, tag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn lists_of_tags() {
        for (list, expected) in [
            ("", vec![]),
            ("\"a\"", vec![(false, "\"a\"")]),
            ("W/\"a\"", vec![(true, "\"a\"")]),
            (
                "\"a\", W/\"b\"\t,,\"c\"",
                vec![(false, "\"a\""), (true, "\"b\""), (false, "\"c\"")],
            ),
            ("\"\"", vec![(false, "\"\"")]),
            ("\"a,b\"", vec![(false, "\"a,b\"")]),
            ("\"a\" x \"b\"", vec![(false, "\"a\"")]),
            ("a, \"b\"", vec![]),
            ("w/\"a\"", vec![]),
            ("\"a", vec![]),
            ("W/", vec![]),
            ("*", vec![]),
        ] {
            assert_eq!(tags(list).collect::<Vec<_>>(), expected, "{list}");
        }
    }

    #[test]
    fn dates_that_http_cannot_say_are_left_out() {
        let now = at(1_700_000_000);
        assert_eq!(modified(0, now), Some(at(0)));
        assert_eq!(modified(1_600_000_000, now), Some(at(1_600_000_000)));
        assert_eq!(modified(1_800_000_000, now), Some(now), "not in the future");
        assert_eq!(modified(i64::MAX, now), Some(now));
        assert_eq!(modified(-1, now), None);
        assert_eq!(modified(i64::MIN, now), None);
        assert_eq!(
            modified(0, SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            None
        );
        assert_eq!(modified(i64::MAX, at(YEAR_10000)), None);
        assert_eq!(modified(YEAR_10000.cast_signed(), at(YEAR_10000)), None);
        let last = modified(YEAR_10000.cast_signed() - 1, at(YEAR_10000)).unwrap();
        assert_eq!(
            httpdate::fmt_http_date(last),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    proptest! {
        #[test]
        fn any_list_ends(list in "(W/|\"|,| |a|\\PC){0,40}") {
            for (_, tag) in tags(&list) {
                prop_assert!(tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'));
            }
        }

        #[test]
        fn any_time_is_told_or_left_out(seconds in any::<i64>(), now in any::<u32>()) {
            if let Some(modified) = modified(seconds, at(now.into())) {
                prop_assert!(modified <= at(now.into()));
                httpdate::fmt_http_date(modified);
            }
        }
    }
}
