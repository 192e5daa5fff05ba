//! Where a request ends: the tables against request smuggling (RFC 9112 §6, §7, §11.2).

use sockeye_proto::ws::Fate;

use crate::rig::{Plan, every_cut};

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn bodies_that_have_one_end() {
    for (headers, body, read) in [
        ("", "", ""),
        ("Content-Length: 0\r\n", "", ""),
        ("Content-Length: 3\r\n", "abc", "abc"),
        ("Content-Length: 003\r\n", "abc", "abc"),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", "abc", "abc"),
        ("Content-Length: 3, 3\r\n", "abc", "abc"),
        (
            "Content-Length: 41\r\n",
            "GET /smuggled HTTP/1.1\r\nHost: example\r\n\r\n",
            "GET /smuggled HTTP/1.1\\r\\nHost: example\\r\\n\\r\\n",
        ),
        ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", ""),
        (
            "Transfer-Encoding: CHUNKED\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        (
            "Transfer-Encoding: , chunked,\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
        (
            "transfer-encoding:\tchunked \r\n",
            "1\r\na\r\n02\r\nbc\r\n000\r\n\r\n",
            "abc",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "1;a\r\na\r\n1 ; b=c\r\nb\r\n1\t;c=\"\t\u{e9}\"\r\nc\r\n0;z\r\n\r\n",
            "abc",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "3\r\n\r\n0\r\n0\r\n\r\n",
            "\\r\\n0",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "1\r\na\r\n0\r\nA: b\r\nHost: y\r\nContent-Length: 9\r\n\r\n",
            "a",
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            "0000000000000001\r\na\r\n0\r\n\r\n",
            "a",
        ),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}{NEXT}");
        let echoed = every_cut(Plan::Echo(100), &bytes);
        let body = format!("body {read}");
        assert_eq!(
            echoed.seen(),
            ["POST /", &body, "GET /next", "body "],
            "{bytes}"
        );
        let dropped = every_cut(Plan::AtOnce, &bytes);
        assert_eq!(dropped.seen(), ["POST /", "GET /next"], "{bytes}");
        assert_eq!(dropped.fate, Fate::Keep);
        let get = bytes.replace("POST", "GET");
        assert_eq!(
            every_cut(Plan::AtOnce, &get).seen(),
            ["GET /", "GET /next"],
            "{get}"
        );
    }
}

#[test]
fn heads_whose_body_has_two_ends_or_none() {
    for (headers, status, error) in [
        (
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            400,
            "LengthAndCoding",
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            400,
            "LengthAndCoding",
        ),
        (
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            400,
            "ContentLength",
        ),
        (
            "Content-Length: 3\r\nContent-Length: 03\r\n",
            400,
            "ContentLength",
        ),
        ("Content-Length: 3, 4\r\n", 400, "ContentLength"),
        ("Content-Length: 3,\r\n", 400, "ContentLength"),
        ("Content-Length:\r\n", 400, "ContentLength"),
        ("Content-Length: +3\r\n", 400, "ContentLength"),
        ("Content-Length: -3\r\n", 400, "ContentLength"),
        ("Content-Length: 0x3\r\n", 400, "ContentLength"),
        ("Content-Length: 3 0\r\n", 400, "ContentLength"),
        ("Content-Length: 3.0\r\n", 400, "ContentLength"),
        ("Content-Length: 3e0\r\n", 400, "ContentLength"),
        ("Content-Length: 1_0\r\n", 400, "ContentLength"),
        ("Content-Length: \u{663}\r\n", 400, "ContentLength"),
        (
            "Content-Length: 18446744073709551616\r\n",
            400,
            "ContentLength",
        ),
        (
            "Content-Length: 99999999999999999999999\r\n",
            400,
            "ContentLength",
        ),
        ("Content-Length : 3\r\n", 400, "BlankBeforeColon"),
        (
            "Content-Length: 3\r\nTransfer-Encoding: identity\r\n",
            400,
            "TransferCoding",
        ),
        ("Transfer-Encoding:\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: gzip\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: identity\r\n", 400, "TransferCoding"),
        (
            "Transfer-Encoding: chunked, gzip\r\n",
            400,
            "TransferCoding",
        ),
        (
            "Transfer-Encoding: chunked, identity\r\n",
            400,
            "TransferCoding",
        ),
        (
            "Transfer-Encoding: chunked, chunked\r\n",
            400,
            "TransferCoding",
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            400,
            "TransferCoding",
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
            400,
            "TransferCoding",
        ),
        ("Transfer-Encoding: xchunked\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: chunkedx\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: \"chunked\"\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: chunked;a=b\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: chunked foo\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: ch\u{fc}nked\r\n", 400, "TransferCoding"),
        ("Transfer-Encoding: \x0bchunked\r\n", 400, "Control"),
        ("Transfer-Encoding: \x00chunked\r\n", 400, "Control"),
        ("Transfer-Encoding\r\n : chunked\r\n", 400, "FieldName"),
        ("Transfer-Encoding:\r\n chunked\r\n", 400, "Fold"),
        ("Transfer-Encoding : chunked\r\n", 400, "BlankBeforeColon"),
        ("A: b\nTransfer-Encoding: chunked\r\n", 400, "BareLf"),
        ("A: b\rTransfer-Encoding: chunked\r\n", 400, "BareCr"),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, "UnknownCoding"),
        (
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            501,
            "UnknownCoding",
        ),
    ] {
        for method in ["POST", "GET"] {
            let bytes = format!("{method} / HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n{NEXT}");
            let outcome = every_cut(Plan::Echo(100), &bytes);
            assert_eq!(outcome.seen(), [format!("error {error}")], "{headers}");
            assert_eq!(outcome.statuses(), [status], "{headers}");
            assert_eq!(outcome.fate, Fate::HalfClose, "{headers}");
        }
    }
    let old = format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{NEXT}");
    assert_eq!(
        every_cut(Plan::AtOnce, old).seen(),
        ["error TransferCoding"]
    );
}

#[test]
fn chunks_that_are_none() {
    for (body, part, error) in [
        ("\r\n", "", "ChunkSize"),
        ("g\r\n", "", "ChunkSize"),
        ("0x1\r\na\r\n", "", "ChunkSize"),
        ("+1\r\na\r\n", "", "ChunkSize"),
        ("-1\r\na\r\n", "", "ChunkSize"),
        (" 1\r\na\r\n", "", "ChunkSize"),
        ("1 \r\na\r\n", "", "ChunkSize"),
        ("1 2\r\na\r\n", "", "ChunkSize"),
        (";a\r\n", "", "ChunkSize"),
        ("1\na\r\n", "", "ChunkSize"),
        ("1\0\r\na\r\n", "", "ChunkSize"),
        ("1\ra\r\n", "", "BareCr"),
        ("1;a\n\r\n", "", "ChunkExtension"),
        ("1;\0\r\na\r\n", "", "ChunkExtension"),
        ("1;a\rb\r\na\r\n", "", "BareCr"),
        ("00000000000000001\r\na\r\n", "", "ChunkSize"),
        ("10000000000000000\r\n", "", "ChunkSize"),
        ("fffffffffffffffff\r\n", "", "ChunkSize"),
        ("ffffffffffffffff\r\n", "", "BodyTooLong"),
        ("3\r\nabcd\r\n", "abc", "ChunkEnd"),
        ("3\r\nabc0\r\n", "abc", "ChunkEnd"),
        ("3\r\nabc\n0\r\n", "abc", "ChunkEnd"),
        ("3\r\nabc\rX", "abc", "ChunkEnd"),
        ("3\r\nabc\r\r\n", "abc", "ChunkEnd"),
        ("3\r\nab\r\n0\r\n", "ab\\r", "ChunkEnd"),
        ("3\r\nabc\r\n\r\n", "abc", "ChunkSize"),
        ("0\r\nGET / HTTP/1.1\r\n", "", "BlankBeforeColon"),
        ("0\r\nA : b\r\n", "", "BlankBeforeColon"),
        ("0\r\n A: b\r\n", "", "Fold"),
        ("0\r\nA: b\n\r\n", "", "BareLf"),
        ("0\r\nA: b\r\r\n", "", "BareCr"),
        ("0\r\n\n", "", "BareLf"),
        ("0\r\n\rX", "", "BareCr"),
        ("0\r\nA: \0\r\n", "", "Control"),
    ] {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = format!("{head}{body}{NEXT}");
        let outcome = every_cut(Plan::Echo(100), &bytes);
        let part = format!("part {part}");
        let error = format!("error {error}");
        let mut expected = vec!["POST /", &part, &error];
        expected.retain(|line| *line != "part ");
        assert_eq!(outcome.seen(), expected, "{body:?}");
        assert!(matches!(outcome.statuses()[..], [400 | 413]), "{body:?}");
        assert_eq!(outcome.fate, Fate::HalfClose);
        if error.ends_with("BodyTooLong") {
            continue;
        }
        // When the answer was already given, the connection ends all the same.
        let outcome = every_cut(Plan::AtOnce, &bytes);
        assert_eq!(outcome.seen(), ["POST /"], "{body:?}");
        assert_eq!(outcome.statuses(), [200]);
        assert_eq!(outcome.fate, Fate::HalfClose);
    }
}

#[test]
fn wanted_bodies_up_to_their_bound() {
    for (headers, body, fits) in [
        ("Content-Length: 5", "abcde", true),
        ("Content-Length: 6", "abcdef", false),
        (
            "Transfer-Encoding: chunked",
            "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
            true,
        ),
        (
            "Transfer-Encoding: chunked",
            "2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n",
            false,
        ),
        (
            "Transfer-Encoding: chunked",
            "6\r\nabcdef\r\n0\r\n\r\n",
            false,
        ),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}{NEXT}");
        let outcome = every_cut(Plan::Echo(5), &bytes);
        if fits {
            assert_eq!(
                outcome.seen(),
                ["POST /", "body abcde", "GET /next", "body "]
            );
        } else {
            assert_eq!(outcome.seen.last().unwrap(), "error BodyTooLong");
            assert_eq!(outcome.statuses(), [413]);
            assert_eq!(outcome.fate, Fate::HalfClose);
        }
    }
}
