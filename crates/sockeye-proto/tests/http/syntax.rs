//! What is a request and what is not (RFC 9112 §2, §3, §5), each at every cut.

use sockeye_proto::ws::Fate;

use crate::rig::{Plan, every_cut};

/// A request that must fail: nothing behind it is run, and the connection ends.
fn refuse(bytes: impl AsRef<[u8]>, status: u16, error: &str) {
    let next = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    let name = bytes.as_ref().escape_ascii().to_string();
    let outcome = every_cut(Plan::AtOnce, [bytes.as_ref(), next].concat());
    assert_eq!(outcome.seen(), [format!("error {error}")], "{name}");
    assert_eq!(outcome.statuses(), [status], "{name}");
    assert!(
        outcome.output.contains("\r\nConnection: close\r\n"),
        "{name}"
    );
    assert_eq!(outcome.fate, Fate::HalfClose, "{name}");
}

fn serve(bytes: impl AsRef<[u8]>, seen: &str) {
    let name = bytes.as_ref().escape_ascii().to_string();
    let outcome = every_cut(Plan::AtOnce, bytes.as_ref());
    assert_eq!(outcome.seen(), [seen], "{name}");
    assert_eq!(outcome.statuses(), [200], "{name}");
}

#[test]
fn request_lines() {
    for line in [
        "GET / HTTP/1.1",
        "GET /%00%zz\\|^\"<>{}` HTTP/1.1",
        "GET / HTTP/1.9",
    ] {
        let target = line.split(' ').nth(1).unwrap();
        serve(
            format!("{line}\r\nHost: x\r\n\r\n"),
            &format!("GET {target}"),
        );
        serve(
            format!("\r\n{line}\r\nHost: x\r\n\r\n"),
            &format!("GET {target}"),
        );
    }
    for (line, status, error) in [
        ("", 400, "RequestLine"),
        (" GET / HTTP/1.1\r\n", 400, "RequestLine"),
        ("GET  / HTTP/1.1\r\n", 400, "RequestLine"),
        ("GET /  HTTP/1.1\r\n", 400, "RequestLine"),
        ("GET / HTTP/1.1 \r\n", 400, "RequestLine"),
        ("GET\t/ HTTP/1.1\r\n", 400, "RequestLine"),
        ("GET /\tHTTP/1.1\r\n", 400, "Target"),
        ("GET /\r\n", 400, "RequestLine"),
        ("GET\r\n", 400, "RequestLine"),
        ("GET / \r\n", 400, "RequestLine"),
        ("GET / HTTP/1.1 x\r\n", 400, "RequestLine"),
        ("GET /a b HTTP/1.1\r\n", 400, "RequestLine"),
        ("GET / http/1.1\r\n", 400, "RequestLine"),
        ("GET / HTTP/1\r\n", 400, "RequestLine"),
        ("GET / HTTP/1.\r\n", 400, "RequestLine"),
        ("GET / HTTP/11\r\n", 400, "RequestLine"),
        ("GET / HTTP/1.10\r\n", 400, "RequestLine"),
        ("GET / HTTP/01.1\r\n", 400, "RequestLine"),
        ("GET / HTTP/+1.1\r\n", 400, "RequestLine"),
        ("GET / HTTPS/1.1\r\n", 400, "RequestLine"),
        ("GET / XTTP/1.1\r\n", 400, "RequestLine"),
        ("GET / HTTP/2.0\r\n", 505, "Version"),
        ("GET / HTTP/0.9\r\n", 505, "Version"),
        ("GET / HTTP/9.1\r\n", 505, "Version"),
        ("PRI * HTTP/2.0\r\n", 505, "Version"),
        ("G(T / HTTP/1.1\r\n", 400, "RequestLine"),
        ("G\u{e9}T / HTTP/1.1\r\n", 400, "RequestLine"),
        ("GET /\u{e9} HTTP/1.1\r\n", 400, "Target"),
        ("GET /#a HTTP/1.1\r\n", 400, "Target"),
        ("GET /\0 HTTP/1.1\r\n", 400, "Target"),
        ("GET /\x7f HTTP/1.1\r\n", 400, "Target"),
        ("get / HTTP/1.1\r\n", 501, "Method"),
        ("FOO / HTTP/1.1\r\n", 501, "Method"),
        ("GETX / HTTP/1.1\r\n", 501, "Method"),
        ("CONNECT x:443 HTTP/1.1\r\n", 501, "Method"),
        ("GET / HTTP/1.1\n", 400, "BareLf"),
        ("GET / HTTP/1.1\rX: y\r\n", 400, "BareCr"),
        ("\nGET / HTTP/1.1\r\n", 400, "RequestLine"),
        ("\r\n\r\nGET / HTTP/1.1\r\n", 400, "RequestLine"),
        ("\r\rGET / HTTP/1.1\r\n", 400, "RequestLine"),
        ("\x16\x03\x01\x02\0\x01", 400, "RequestLine"),
        ("\0", 400, "RequestLine"),
    ] {
        refuse(format!("{line}Host: x\r\n\r\n"), status, error);
    }
}

#[test]
fn methods_of_the_registry_are_handed_on() {
    for method in [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND",
    ] {
        serve(
            format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"),
            &format!("{method} /"),
        );
    }
}

#[test]
fn header_lines() {
    for line in [
        "A:b",
        "A: b",
        "A:\t b \t",
        "A:",
        "A: ",
        "!#$%&'*+-.^_`|~9z: \"b\\",
        "A: \u{e9}\u{fc}",
        "A: a:b:c",
    ] {
        serve(
            format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n"),
            "GET /",
        );
    }
    for (line, error) in [
        ("A : b\r\n", "BlankBeforeColon"),
        ("A\t: b\r\n", "BlankBeforeColon"),
        ("A b: c\r\n", "BlankBeforeColon"),
        (" A: b\r\n", "Fold"),
        ("\tb\r\n", "Fold"),
        ("A: b\r\n c\r\n", "Fold"),
        ("A: b\r\n \r\n", "Fold"),
        (": b\r\n", "FieldName"),
        ("A\r\n", "FieldName"),
        ("(A): b\r\n", "FieldName"),
        ("A\0: b\r\n", "FieldName"),
        ("\u{e9}: b\r\n", "FieldName"),
        ("A: b\n", "BareLf"),
        ("A: b\n\r\n", "BareLf"),
        ("\n", "BareLf"),
        ("A\n: b\r\n", "FieldName"),
        ("A: b\rB: c\r\n", "BareCr"),
        ("A: \rb\r\n", "BareCr"),
        ("A: b\r\r\n", "BareCr"),
        ("\rA: b\r\n", "BareCr"),
        ("A: \0\r\n", "Control"),
        ("A: a\x01b\r\n", "Control"),
        ("A: a\x0bb\r\n", "Control"),
        ("A: \x7f\r\n", "Control"),
        ("A: \x1b[31m\r\n", "Control"),
    ] {
        // Before the first header, between headers, behind the last.
        refuse(
            format!("GET / HTTP/1.1\r\n{line}Host: x\r\n\r\n"),
            400,
            error,
        );
        refuse(
            format!("GET / HTTP/1.1\r\nHost: x\r\n{line}B: c\r\n\r\n"),
            400,
            error,
        );
        refuse(
            format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n"),
            400,
            error,
        );
    }
}

#[test]
fn hosts() {
    for host in [
        "x",
        "x:80",
        "X.example",
        "127.0.0.1:1",
        "[::1]:80",
        "[2001:db8::1]",
        "a_b",
        "x:",
    ] {
        serve(format!("GET / HTTP/1.1\r\nhOsT:{host}\r\n\r\n"), "GET /");
    }
    for (headers, error) in [
        ("", "HostMissing"),
        ("X-Host: x\r\n", "HostMissing"),
        ("Host: x\r\nHost: x\r\n", "HostRepeated"),
        ("Host: x\r\nHost: y\r\n", "HostRepeated"),
        ("Host: x\r\nhost:\r\n", "HostRepeated"),
        ("Host:\r\n", "HostInvalid"),
        ("Host: \r\n", "HostInvalid"),
        ("Host: x y\r\n", "HostInvalid"),
        ("Host: x, y\r\n", "HostInvalid"),
        ("Host: x/y\r\n", "HostInvalid"),
        ("Host: u@x\r\n", "HostInvalid"),
        ("Host: x:80:81\r\n", "HostInvalid"),
        ("Host: x:65536\r\n", "HostInvalid"),
        ("Host: x:-1\r\n", "HostInvalid"),
        ("Host: ::1\r\n", "HostInvalid"),
        ("Host: [::1\r\n", "HostInvalid"),
        ("Host: http://x\r\n", "HostInvalid"),
        ("Host: x\u{e9}\r\n", "HostInvalid"),
    ] {
        refuse(format!("GET / HTTP/1.1\r\n{headers}\r\n"), 400, error);
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        refuse(
            format!("GET / HTTP/1.1\r\n{headers}{upgrade}\r\n"),
            400,
            error,
        );
    }
    serve("GET / HTTP/1.0\r\n\r\n", "GET /");
    let twice = every_cut(Plan::AtOnce, "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n");
    assert_eq!(twice.statuses(), [400]);
}

#[test]
fn target_forms() {
    use sockeye_proto::{Limits, http::Request};
    for (line, path, query, host) in [
        ("GET /p?q", "/p", Some("q"), "x"),
        ("GET http://y:81/p?q", "/p", Some("q"), "y:81"),
        ("GET HTTPS://y", "/", None, "y"),
        ("GET ws://[::1]:9?q", "/", Some("q"), "[::1]:9"),
        ("OPTIONS *", "*", None, "x"),
    ] {
        let bytes = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (request, len) = Request::parse(bytes.as_bytes(), &Limits::default())
            .unwrap()
            .unwrap();
        assert_eq!(
            (request.path(), request.query(), request.host()),
            (path, query, host)
        );
        assert_eq!(len, bytes.len());
        serve(&bytes, line);
    }
    for target in [
        "*",
        "x:80",
        "example.org",
        "p",
        "?q",
        "http://",
        "http:///p",
        "http://u@y/",
        "ftp://y/",
        "://y/",
    ] {
        refuse(
            format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"),
            400,
            "Target",
        );
    }
    refuse("GET http://y/ HTTP/1.1\r\n\r\n", 400, "HostMissing");
    refuse(
        "GET http://y/ HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
        "HostInvalid",
    );
}

#[test]
fn a_broken_head_request_gets_no_body() {
    for bytes in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\nA : b\r\n",
        "HEAD /# ",
    ] {
        let outcome = every_cut(Plan::AtOnce, bytes);
        assert_eq!(outcome.statuses(), [400], "{bytes}");
        assert!(outcome.output.ends_with("\r\n\r\n"), "{bytes}");
    }
    // These never got so far as to be one.
    for bytes in [
        "HEADX / \r\n",
        "HEA / \r\n",
        "XHEAD / \r\n",
        "\r\n\r\nHEAD / HTTP/1.1\r\n",
        "HEAD(",
    ] {
        let outcome = every_cut(Plan::AtOnce, bytes);
        assert_eq!(outcome.statuses(), [400], "{bytes}");
        assert!(!outcome.output.ends_with("\r\n\r\n"), "{bytes}");
    }
}
