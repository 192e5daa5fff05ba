//! Which bytes of a file a `Range` header asks for (RFC 9110 §14).
//!
//! Knows the syntax and what to do about floods of ranges. Refuses to know files: a length is
//! all it gets.
//!
//! Invariants: a [`Span`] is not empty and lies within the length it was selected for; the spans
//! of a selection neither overlap nor adjoin, so that no header makes an answer longer than the
//! file plus the heads of [`MAX_COUNT`] parts (CVE-2011-3192).

use crate::http::FilePart;

/// Beyond this many ranges the header is ignored. Players and download managers ask for a
/// handful; RFC 9110 §14.2 lets a server refuse the others.
const MAX_COUNT: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    first: u64,
    /// Inclusive, as in the header.
    last: u64,
}

#[derive(Debug, PartialEq)]
pub(super) enum Selection {
    One(Span),
    /// At least two.
    Several(Vec<Span>),
    Unsatisfiable,
    Whole,
}

impl Span {
    pub(super) fn part(self) -> FilePart {
        FilePart::Range {
            offset: self.first,
            len: self.last - self.first + 1,
        }
    }

    /// The value for `Content-Range`.
    pub(super) fn content_range(self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.first, self.last)
    }
}

/// Of an empty file no range can be named in an answer, so it is sent whole; clients that ask
/// for `bytes=0-` always are content with that.
pub(super) fn select(header: &str, total: u64) -> Selection {
    let Some(mut spans) = parse(header, total).filter(|_| total != 0) else {
        return Selection::Whole;
    };
    if adjoins(&spans) {
        merge(&mut spans);
    }
    match spans[..] {
        [] => Selection::Unsatisfiable,
        [span] => Selection::One(span),
        _ => Selection::Several(spans),
    }
}

/// The ranges within `total` in the order of the header; `None` when the header is to be
/// ignored.
fn parse(header: &str, total: u64) -> Option<Vec<Span>> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim_start().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut spans = Vec::new();
    let mut count = 0;
    for element in set.split(',') {
        let element = element.trim_matches([' ', '\t']);
        // RFC 9110 §5.6.1.2: empty elements of a list are not counted.
        if element.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_COUNT {
            return None;
        }
        spans.extend(span(element, total)?);
    }
    (count != 0).then_some(spans)
}

/// `Some(None)` is a range beyond the end; `None` is no range.
fn span(element: &str, total: u64) -> Option<Option<Span>> {
    let (first, last) = element.split_once('-')?;
    let end = total.saturating_sub(1);
    if first.is_empty() {
        let len = number(last)?.min(total);
        let first = total - len;
        return Some((len != 0).then_some(Span { first, last: end }));
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    let last = last.min(end);
    Some((first < total).then_some(Span { first, last }))
}

/// A number too large for 64 bits is as good as the largest: no file is longer.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

fn adjoins(spans: &[Span]) -> bool {
    let pairs = spans
        .iter()
        .enumerate()
        .flat_map(|(index, a)| spans.iter().skip(index + 1).map(move |b| (a, b)));
    pairs
        .into_iter()
        .any(|(a, b)| a.first <= b.last.saturating_add(1) && b.first <= a.last.saturating_add(1))
}

/// RFC 9110 §15.3.7.2: ranges that were merged need not keep the order they were asked for in.
fn merge(spans: &mut Vec<Span>) {
    spans.sort_unstable_by_key(|span| span.first);
    spans.dedup_by(|next, span| {
        let joined = next.first <= span.last.saturating_add(1);
        if joined {
            span.last = span.last.max(next.last);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spans(header: &str, total: u64) -> Vec<(u64, u64)> {
        match select(header, total) {
            Selection::One(span) => vec![(span.first, span.last)],
            Selection::Several(spans) => {
                assert!(spans.len() > 1);
                spans.iter().map(|span| (span.first, span.last)).collect()
            }
            other => panic!("{header}: {other:?}"),
        }
    }

    #[test]
    fn ranges_of_a_hundred_bytes() {
        for (header, expected) in [
            ("bytes=0-0", vec![(0, 0)]),
            ("bytes=0-99", vec![(0, 99)]),
            ("bytes=0-100", vec![(0, 99)]),
            ("bytes=0-", vec![(0, 99)]),
            ("bytes=99-", vec![(99, 99)]),
            ("bytes=99-99", vec![(99, 99)]),
            ("bytes=10-18446744073709551615", vec![(10, 99)]),
            ("bytes=10-99999999999999999999999", vec![(10, 99)]),
            ("bytes=-1", vec![(99, 99)]),
            ("bytes=-100", vec![(0, 99)]),
            ("bytes=-101", vec![(0, 99)]),
            ("bytes=-18446744073709551616", vec![(0, 99)]),
            ("bytes=00010-0000011", vec![(10, 11)]),
            ("Bytes=1-2", vec![(1, 2)]),
            ("bytes= 1-2 ", vec![(1, 2)]),
            ("bytes=,1-2,,", vec![(1, 2)]),
            ("bytes=0-0,2-2", vec![(0, 0), (2, 2)]),
            ("bytes=0-0 ,\t-1", vec![(0, 0), (99, 99)]),
            ("bytes=50-60,0-9", vec![(50, 60), (0, 9)]),
            ("bytes=0-9,200-300", vec![(0, 9)]),
            ("bytes=200-,0-9", vec![(0, 9)]),
            ("bytes=0-9,10-19", vec![(0, 19)]),
            ("bytes=10-19,0-9", vec![(0, 19)]),
            ("bytes=0-9,5-14", vec![(0, 14)]),
            ("bytes=0-99,0-99,0-99", vec![(0, 99)]),
            ("bytes=90-,0-9,5-7", vec![(0, 9), (90, 99)]),
            ("bytes=0-50,10-20", vec![(0, 50)]),
        ] {
            assert_eq!(spans(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn beyond_the_end_is_unsatisfiable() {
        for header in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=18446744073709551615-",
            "bytes=18446744073709551616-99999999999999999999",
            "bytes=100-,200-300,-0",
        ] {
            assert_eq!(select(header, 100), Selection::Unsatisfiable, "{header}");
        }
    }

    #[test]
    fn what_breaks_the_syntax_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=2-1",
            "bytes=0-1,2-1",
            "bytes=0-1,x",
            "bytes=+1-2",
            "bytes=1-+2",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=1 - 2",
            "bytes =0-1",
            "bytes=0x1-2",
            "bytes=\u{0661}-2",
            "bytes: 0-1",
            "items=0-1",
            "0-1",
            "bytes=0-1, bytes=2-3",
        ] {
            assert_eq!(select(header, 100), Selection::Whole, "{header}");
        }
    }

    #[test]
    fn sixteen_ranges_are_taken_and_seventeen_are_not() {
        let ranges = |count: u64| {
            let ranges: Vec<_> = (0..count).map(|n| format!("{0}-{0}", 2 * n)).collect();
            format!("bytes={}", ranges.join(","))
        };
        assert_eq!(spans(&ranges(16), 100).len(), 16);
        assert_eq!(select(&ranges(17), 100), Selection::Whole);
        let flood = format!("bytes={}0-", "0-,".repeat(5000));
        assert_eq!(select(&flood, 100), Selection::Whole);
    }

    #[test]
    fn the_empty_and_the_longest_file() {
        for header in ["bytes=0-", "bytes=-5", "bytes=7-9", "bytes=-0"] {
            assert_eq!(select(header, 0), Selection::Whole, "{header}");
        }
        assert_eq!(spans("bytes=-1", u64::MAX), [(u64::MAX - 1, u64::MAX - 1)]);
        assert_eq!(spans("bytes=0-,5-", u64::MAX), [(0, u64::MAX - 1)]);
    }

    proptest! {
        #[test]
        fn any_header_selects_bytes_of_the_file(
            header in prop_oneof![
                any::<String>(),
                "bytes=(([0-9]{0,3}|[0-9]{18,22})-([0-9]{0,3}|[0-9]{18,22}),?){0,20}",
            ],
            total in prop_oneof![0..1000_u64, any::<u64>()],
        ) {
            let spans = match select(&header, total) {
                Selection::One(span) => vec![span],
                Selection::Several(spans) => spans,
                Selection::Unsatisfiable | Selection::Whole => vec![],
            };
            prop_assert!(spans.len() <= MAX_COUNT);
            prop_assert!(!adjoins(&spans));
            for span in spans {
                prop_assert!(span.first <= span.last && span.last < total);
            }
        }

        #[test]
        fn merging_loses_no_byte_and_adds_none(
            ranges in proptest::collection::vec((0..60_u64, 0..12_u64), 1..16)
        ) {
            let header: Vec<_> = ranges.iter().map(|(a, n)| format!("{a}-{}", a + n)).collect();
            let header = format!("bytes={}", header.join(","));
            let asked = |byte: u64| ranges.iter().any(|(a, n)| (*a..=a + n).contains(&byte));
            let mut sent = [0; 50];
            match select(&header, 50) {
                Selection::One(span) => (span.first..=span.last).for_each(|b| sent[b as usize] += 1),
                Selection::Several(spans) => {
                    for span in spans {
                        (span.first..=span.last).for_each(|b| sent[b as usize] += 1);
                    }
                }
                other => prop_assert_eq!(other, Selection::Unsatisfiable),
            }
            for byte in 0..50 {
                prop_assert_eq!(sent[byte as usize], i32::from(asked(byte)), "byte {}", byte);
            }
        }
    }
}
