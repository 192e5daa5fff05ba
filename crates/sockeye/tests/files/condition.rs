//! Conditional requests (RFC 9110 §13).

use std::fs;

use super::site::{MODIFIED_DATE as SAME, Site};

const EARLIER: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
const LATER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

#[test]
fn every_condition_and_their_order() {
    let site = Site::with(&["a.txt"]);
    let etag = &*site.etag("/a.txt");
    let weak = &*format!("W/{etag}");
    let list = &*format!("\"x\", {etag} ,\"y\"");
    let weak_list = &*format!("W/\"x\",,\tW/{etag}");
    let unquoted = etag.trim_matches('"');
    let (matches, none) = ("If-Match", "If-None-Match");
    let (modified, unmodified) = ("If-Modified-Since", "If-Unmodified-Since");
    for (status, headers) in [
        (200, vec![]),
        // §13.1.2: weak comparison.
        (304, vec![(none, etag)]),
        (304, vec![(none, weak)]),
        (304, vec![(none, list)]),
        (304, vec![(none, weak_list)]),
        (304, vec![(none, "*")]),
        (304, vec![(none, " * ")]),
        (304, vec![(none, "\"x\""), (none, etag)]),
        (200, vec![(none, "\"x\"")]),
        (200, vec![(none, unquoted)]),
        (200, vec![(none, "")]),
        (200, vec![(none, "\"*\"")]),
        (200, vec![(none, "\"\u{fc}\"")]),
        // §13.1.3: a date, but not beside a tag.
        (304, vec![(modified, SAME)]),
        (304, vec![(modified, LATER)]),
        (200, vec![(modified, EARLIER)]),
        (304, vec![(modified, "Tuesday, 14-Nov-23 22:13:20 GMT")]),
        (304, vec![(modified, "Tue Nov 14 22:13:20 2023")]),
        (200, vec![(modified, "yesterday")]),
        (200, vec![(modified, "")]),
        (200, vec![(modified, "Tue, 99 Nov 2023 22:13:20 GMT")]),
        (200, vec![(modified, "Tue, 14 Nov 99999 22:13:20 GMT")]),
        (200, vec![(modified, SAME), (modified, SAME)]),
        (200, vec![(none, "\"x\""), (modified, LATER)]),
        (304, vec![(none, etag), (modified, EARLIER)]),
        // §13.1.1: strong comparison.
        (200, vec![(matches, etag)]),
        (200, vec![(matches, list)]),
        (200, vec![(matches, "*")]),
        (412, vec![(matches, weak)]),
        (412, vec![(matches, weak_list)]),
        (412, vec![(matches, "\"x\"")]),
        (412, vec![(matches, unquoted)]),
        (412, vec![(matches, "")]),
        // §13.1.4: a date, but not beside a tag.
        (200, vec![(unmodified, SAME)]),
        (200, vec![(unmodified, LATER)]),
        (412, vec![(unmodified, EARLIER)]),
        (200, vec![(unmodified, "tomorrow")]),
        (200, vec![(matches, etag), (unmodified, EARLIER)]),
        (412, vec![(matches, "\"x\""), (unmodified, LATER)]),
        // §13.2.2: 412 is decided before 304.
        (412, vec![(matches, "\"x\""), (none, etag)]),
        (304, vec![(matches, etag), (none, etag)]),
        (200, vec![(matches, etag), (none, "\"x\"")]),
        (412, vec![(unmodified, EARLIER), (none, etag)]),
        (304, vec![(unmodified, SAME), (modified, SAME)]),
        (412, vec![(unmodified, EARLIER), (modified, SAME)]),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = site.request(method, "/a.txt", &headers);
            assert_eq!(reply.status, status, "{method} {headers:?}");
        }
        // Conditions count where the answer were 200 only.
        assert_eq!(site.get_with("/none", &headers).status, 404, "{headers:?}");
    }
}

#[test]
fn not_modified_has_what_a_cache_needs_and_no_more() {
    let site = Site::with(&["a.txt", "a.txt.br"]);
    let site = site.set(|files| files.cache_control("no-cache").unwrap());
    let accept = ("Accept-Encoding", "br");
    let full = site.get_with("/a.txt", &[accept]);
    let etag = full.header("etag");
    let reply = site.get_with("/a.txt", &[accept, ("If-None-Match", etag)]);
    assert_eq!(reply.status, 304);
    assert!(reply.content.is_empty());
    assert_eq!(reply.header("etag"), etag);
    assert_eq!(reply.header("cache-control"), "no-cache");
    assert_eq!(reply.header("vary"), "Accept-Encoding");
    for absent in [
        "content-type",
        "content-length",
        "content-encoding",
        "content-range",
        "last-modified",
        "accept-ranges",
    ] {
        assert_eq!(reply.header(absent), "", "{absent}");
    }
}

#[test]
fn a_tag_changes_with_content_time_and_file() {
    let site = Site::with(&["a.txt", "b.txt"]);
    let first = site.etag("/a.txt");
    assert_eq!(first, site.etag("/a.txt"));
    assert_ne!(first, site.etag("/b.txt"), "another file");

    site.write("a.txt", "longer than before");
    let second = site.etag("/a.txt");
    assert_ne!(first, second, "another length");

    let file = fs::File::options()
        .write(true)
        .open(site.path("a.txt"))
        .unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified + std::time::Duration::from_nanos(1))
        .unwrap();
    let third = site.etag("/a.txt");
    assert_ne!(second, third, "another time within the same second");

    fs::copy(site.path("a.txt"), site.path("copy")).unwrap();
    let copy = fs::File::options()
        .write(true)
        .open(site.path("copy"))
        .unwrap();
    copy.set_modified(file.metadata().unwrap().modified().unwrap())
        .unwrap();
    fs::rename(site.path("copy"), site.path("a.txt")).unwrap();
    assert_ne!(
        third,
        site.etag("/a.txt"),
        "replaced by a file of that length and time"
    );
}

#[test]
fn if_range_wants_the_very_version() {
    let site = Site::with(&["a.txt"]);
    let etag = &*site.etag("/a.txt");
    let weak = &*format!("W/{etag}");
    for (status, validator) in [
        (206, etag),
        (200, weak),
        (200, "\"x\""),
        (200, "*"),
        (200, ""),
        (206, SAME),
        (206, "Tuesday, 14-Nov-23 22:13:20 GMT"),
        (200, EARLIER),
        (200, LATER),
        (200, "nonsense"),
    ] {
        let headers = [("Range", "bytes=1-2"), ("If-Range", validator)];
        let reply = site.get_with("/a.txt", &headers);
        assert_eq!(reply.status, status, "{validator}");
        let expected = if status == 206 { ".t" } else { "a.txt" };
        assert_eq!(reply.text(), expected);
        // A false condition also silences a range that could not be satisfied.
        let headers = [("Range", "bytes=100-"), ("If-Range", validator)];
        let expected = if status == 206 { 416 } else { 200 };
        assert_eq!(
            site.get_with("/a.txt", &headers).status,
            expected,
            "{validator}"
        );
        assert_eq!(site.get_with("/a.txt", &headers[1..]).status, 200);
    }
}

#[test]
fn conditions_come_before_ranges() {
    let site = Site::with(&["a.txt"]);
    let etag = &*site.etag("/a.txt");
    for (status, header) in [
        (304, ("If-None-Match", etag)),
        (206, ("If-None-Match", "\"x\"")),
        (412, ("If-Match", "\"x\"")),
        (206, ("If-Match", etag)),
    ] {
        let reply = site.get_with("/a.txt", &[header, ("Range", "bytes=0-0")]);
        assert_eq!(reply.status, status, "{header:?}");
    }
    let headers = [("If-None-Match", etag), ("Range", "bytes=100-")];
    assert_eq!(site.get_with("/a.txt", &headers).status, 304);
}
