//! Siblings that are sent in place of a file (RFC 9110 §12.5.3).

use super::site::{MODIFIED_DATE, Site};

#[test]
fn the_best_sibling_that_is_there_and_accepted() {
    let site = Site::with(&[
        "both.js",
        "both.js.br",
        "both.js.gz",
        "gz.js",
        "gz.js.gz",
        "br.js",
        "br.js.br",
        "none.js",
    ]);
    for (name, accept, coding) in [
        ("both.js", None, ""),
        ("both.js", Some(""), ""),
        ("both.js", Some("gzip, deflate, br"), "br"),
        ("both.js", Some("gzip"), "gzip"),
        ("both.js", Some("br;q=0.5, gzip"), "gzip"),
        ("both.js", Some("br;q=0, gzip;q=0"), ""),
        ("both.js", Some("*"), "br"),
        ("both.js", Some("*;q=0"), ""),
        ("both.js", Some("*;q=0, gzip;q=0.1"), "gzip"),
        ("both.js", Some("identity, br;q=0.9"), ""),
        ("both.js", Some("identity;q=0, deflate"), ""),
        ("gz.js", Some("gzip, br"), "gzip"),
        ("gz.js", Some("br"), ""),
        ("gz.js", Some("br, gzip;q=0"), ""),
        ("br.js", Some("gzip, br"), "br"),
        ("br.js", Some("gzip"), ""),
        ("none.js", Some("gzip, br"), ""),
        ("none.js", None, ""),
    ] {
        let headers: Vec<_> = accept
            .iter()
            .map(|value| ("Accept-Encoding", *value))
            .collect();
        let path = format!("/{name}");
        let reply = site.get_with(&path, &headers);
        let suffix = match coding {
            "br" => ".br",
            "gzip" => ".gz",
            _ => "",
        };
        assert_eq!(reply.status, 200);
        assert_eq!(reply.text(), format!("{name}{suffix}"), "{accept:?}");
        assert_eq!(
            reply.header("content-encoding"),
            coding,
            "{name} {accept:?}"
        );
        assert_eq!(
            reply.header("content-type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(reply.header("last-modified"), MODIFIED_DATE);
        // A cache must know that the answer could be another, also when the plain file is sent.
        let vary = if name == "none.js" {
            ""
        } else {
            "Accept-Encoding"
        };
        assert_eq!(reply.header("vary"), vary, "{name} {accept:?}");

        let head = site.request("HEAD", &path, &headers);
        assert_eq!(head.headers, reply.headers);
    }
}

#[test]
fn a_header_in_two_lines_is_one_list() {
    let site = Site::with(&["a.js", "a.js.br", "a.js.gz"]);
    let headers = [("Accept-Encoding", "br;q=0"), ("accept-encoding", "gzip")];
    assert_eq!(
        site.get_with("/a.js", &headers).header("content-encoding"),
        "gzip"
    );
}

#[test]
fn each_representation_has_its_own_tag() {
    let site = Site::with(&["a.js", "a.js.br"]);
    std::fs::hard_link(site.path("a.js"), site.path("a.js.gz")).unwrap();
    let tag = |accept| {
        let reply = site.get_with("/a.js", &[("Accept-Encoding", accept)]);
        reply.header("etag").to_owned()
    };
    let tags = [tag("identity"), tag("gzip"), tag("br")];
    assert!(
        tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
        "{tags:?}"
    );

    let get = |accept, tag| {
        let headers = [("Accept-Encoding", accept), ("If-None-Match", tag)];
        site.get_with("/a.js", &headers).status
    };
    assert_eq!(get("br", &*tags[2]), 304);
    assert_eq!(get("br", &*tags[0]), 200);
    assert_eq!(get("identity", &*tags[2]), 200);
}

#[test]
fn ranges_are_of_the_representation() {
    let site = Site::new();
    site.write("a.txt", "the plain text");
    site.write("a.txt.br", "coded");
    let accept = ("Accept-Encoding", "br");
    let reply = site.get_with("/a.txt", &[accept, ("Range", "bytes=-3")]);
    assert_eq!((reply.status, reply.text()), (206, "ded"));
    assert_eq!(reply.header("content-range"), "bytes 2-4/5");
    assert_eq!(reply.header("content-encoding"), "br");
    assert_eq!(reply.header("vary"), "Accept-Encoding");

    let plain = site.etag("/a.txt");
    let headers = [accept, ("Range", "bytes=-3"), ("If-Range", &*plain)];
    assert_eq!(site.get_with("/a.txt", &headers).status, 200);

    // The multipart itself is not coded, its parts are.
    let reply = site.get_with("/a.txt", &[accept, ("Range", "bytes=0-0,-1")]);
    assert_eq!(reply.status, 206);
    assert_eq!(reply.header("content-encoding"), "");
    assert_eq!(
        reply.text().matches("\r\nContent-Encoding: br\r\n").count(),
        2
    );

    let reply = site.get_with("/a.txt", &[accept, ("Range", "bytes=9-")]);
    assert_eq!(reply.status, 416);
    assert_eq!(reply.header("content-range"), "bytes */5");
    assert_eq!(reply.header("content-encoding"), "");
}

#[test]
fn an_index_has_siblings_and_a_sibling_alone_is_no_file() {
    let site = Site::with(&["index.html", "index.html.gz", "lone.txt.gz"]);
    let accept = [("Accept-Encoding", "gzip")];
    assert_eq!(site.get_with("/", &accept).text(), "index.html.gz");
    assert_eq!(site.get_with("/lone.txt", &accept).status, 404);
    let reply = site.get_with("/lone.txt.gz", &accept);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-encoding"), "");
}

#[test]
fn siblings_can_be_left_alone() {
    let site = Site::with(&["a.js", "a.js.br"]).set(|files| files.precompressed(false));
    let reply = site.get_with("/a.js", &[("Accept-Encoding", "br")]);
    assert_eq!(reply.text(), "a.js");
    assert_eq!(reply.header("vary"), "");
}
