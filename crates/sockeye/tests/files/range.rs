//! Ranges as they are sent (RFC 9110 §14); which header selects which is tested beside the code.

use super::site::{MODIFIED_DATE, Reply, Site};

const CONTENT: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

fn get(range: &str) -> Reply {
    let site = Site::new();
    site.write("a.txt", CONTENT);
    let reply = site.get_with("/a.txt", &[("Range", range)]);
    if reply.status != 416 {
        assert_eq!(reply.header("etag"), site.etag("/a.txt"));
        assert_eq!(reply.header("last-modified"), MODIFIED_DATE);
    }
    assert_eq!(reply.header("accept-ranges"), "bytes");
    reply
}

/// The parts of a multipart answer: the range each says, and its content.
fn parts(reply: &Reply) -> Vec<(String, String)> {
    let content_type = reply.header("content-type");
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let start = format!("--{boundary}\r\n");
    let content = reply.text().strip_prefix(&start).unwrap();
    let end = format!("\r\n--{boundary}--\r\n");
    let content = content.strip_suffix(&end).unwrap();
    let between = format!("\r\n{start}");
    let parts = content.split(&between).map(|part| {
        let (head, content) = part.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(
            lines.next(),
            Some("Content-Type: text/plain; charset=utf-8")
        );
        let range = lines
            .next()
            .unwrap()
            .strip_prefix("Content-Range: bytes ")
            .unwrap();
        assert_eq!(lines.next(), None);
        (range.to_owned(), content.to_owned())
    });
    parts.collect()
}

#[test]
fn a_single_range() {
    for (range, expected, content) in [
        ("bytes=0-0", "bytes 0-0/36", "0"),
        ("bytes=10-12", "bytes 10-12/36", "abc"),
        ("bytes=33-", "bytes 33-35/36", "xyz"),
        ("bytes=33-99", "bytes 33-35/36", "xyz"),
        ("bytes=-2", "bytes 34-35/36", "yz"),
        ("bytes=-100", "bytes 0-35/36", CONTENT),
        ("bytes=0-", "bytes 0-35/36", CONTENT),
        ("bytes=0-1,2-3", "bytes 0-3/36", "0123"),
        ("bytes=2-3,99-100", "bytes 2-3/36", "23"),
    ] {
        let reply = get(range);
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.header("content-range"), expected);
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(reply.text(), content, "{range}");
    }
}

#[test]
fn several_ranges_are_multipart() {
    for (range, expected) in [
        ("bytes=0-0,2-3", vec![("0-0/36", "0"), ("2-3/36", "23")]),
        ("bytes=-1, 0-1", vec![("35-35/36", "z"), ("0-1/36", "01")]),
        (
            "bytes=0-0,5-5,9-9",
            vec![("0-0/36", "0"), ("5-5/36", "5"), ("9-9/36", "9")],
        ),
        (
            "bytes=30-,0-4,2-9",
            vec![("0-9/36", "0123456789"), ("30-35/36", "uvwxyz")],
        ),
    ] {
        let reply = get(range);
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.header("content-range"), "");
        let parts = parts(&reply);
        let parts: Vec<_> = parts
            .iter()
            .map(|(range, content)| (&**range, &**content))
            .collect();
        assert_eq!(parts, expected, "{range}");
    }
}

#[test]
fn the_length_of_a_multipart_is_announced() {
    let site = Site::new();
    site.write("a.txt", CONTENT);
    let response = site.respond("GET", "/a.txt", &[("Range", "bytes=0-4,9-20,-3")]);
    let len = response.body.len();
    assert_eq!(len, Some(Reply::from(response).content.len() as u64));
}

#[test]
fn a_range_beyond_the_end_is_416() {
    for range in [
        "bytes=36-",
        "bytes=40-50,36-36",
        "bytes=-0",
        "bytes=99999999999999999999-",
    ] {
        let reply = get(range);
        assert_eq!(reply.status, 416, "{range}");
        assert_eq!(reply.header("content-range"), "bytes */36");
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
        assert!(!reply.text().contains(CONTENT));
    }
}

#[test]
fn an_ignored_range_is_the_whole_file() {
    let many = format!("bytes={}", "0-1,".repeat(17));
    for range in [
        "bytes=9-1",
        "lines=1-2",
        "bytes=x",
        "",
        "bytes=0-0\u{ff}",
        &many,
    ] {
        let reply = get(range);
        assert_eq!(reply.status, 200, "{range}");
        assert_eq!(reply.header("content-range"), "");
        assert_eq!(reply.text(), CONTENT);
    }
    let site = Site::with(&["a.txt"]);
    let twice = [("Range", "bytes=0-0"), ("Range", "bytes=1-1")];
    assert_eq!(site.get_with("/a.txt", &twice).status, 200);
}
