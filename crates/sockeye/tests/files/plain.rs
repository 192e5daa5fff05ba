//! Files, directories, methods, and the fields of the answers.

use std::fs;

use sockeye::{FileRequest, Files, FilesError};

use super::site::{MODIFIED_DATE, NOW, Reply, Site, at};

#[test]
fn a_file_comes_with_all_that_describes_it() {
    let site = Site::with(&["a/b.css"]);
    let reply = site.get("/a/b.css");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text(), "a/b.css");
    assert_eq!(reply.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(reply.header("last-modified"), MODIFIED_DATE);
    assert_eq!(reply.header("accept-ranges"), "bytes");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    let etag = reply.header("etag");
    assert!(
        etag.len() > 4 && etag.starts_with('"') && etag.ends_with('"'),
        "{etag}"
    );
    for absent in [
        "cache-control",
        "vary",
        "content-encoding",
        "content-length",
    ] {
        assert_eq!(reply.header(absent), "", "{absent}");
    }
}

#[test]
fn media_types_by_name() {
    for (path, expected) in [
        ("/a.html", "text/html; charset=utf-8"),
        ("/a.HTM", "text/html; charset=utf-8"),
        ("/a.txt", "text/plain; charset=utf-8"),
        ("/a.js", "text/javascript; charset=utf-8"),
        ("/a.mjs", "text/javascript; charset=utf-8"),
        ("/a.json", "application/json"),
        ("/a.wasm", "application/wasm"),
        ("/a.svg", "image/svg+xml"),
        ("/a.png", "image/png"),
        ("/a.woff2", "font/woff2"),
        ("/a.mp4", "video/mp4"),
        ("/a.tar.gz", "application/gzip"),
        ("/a.unheard-of", "application/octet-stream"),
        ("/README", "application/octet-stream"),
        ("/%C3%BC%20.txt", "text/plain; charset=utf-8"),
    ] {
        let site = Site::with(&[&path[1..], "ü .txt"]);
        let reply = site.get(path);
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), expected, "{path}");
    }
}

#[test]
fn head_is_get_without_a_range() {
    let site = Site::with(&["a.txt", "d/index.html"]);
    for path in ["/a.txt", "/d/", "/d", "/none", "/%", "/.git"] {
        let get = site.respond("GET", path, &[]);
        let head = site.respond("HEAD", path, &[]);
        assert_eq!(get.status, head.status, "{path}");
        assert_eq!(get.headers, head.headers, "{path}");
        assert_eq!(get.body.len(), head.body.len(), "{path}");
    }
    let head = site.request("HEAD", "/a.txt", &[("Range", "bytes=0-1")]);
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-range"), "");
    assert_eq!(head.text(), "a.txt");
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    let site = Site::with(&["a.txt"]);
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "X", "",
    ] {
        for path in ["/a.txt", "/none", "*", "/%"] {
            let reply = site.request(method, path, &[]);
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
        }
    }
    for path in ["/a.txt", "*"] {
        let reply = site.request("OPTIONS", path, &[]);
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
        assert!(reply.content.is_empty());
    }
}

#[test]
fn a_directory_is_its_index_or_nothing() {
    let site = Site::with(&["index.html", "d/index.html", "bare/a.txt", "d/other.htm"]);
    assert_eq!(site.get("/").text(), "index.html");
    assert_eq!(site.get("//").text(), "index.html");
    let reply = site.get("/d/");
    assert_eq!(reply.text(), "d/index.html");
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(site.get("/bare/").status, 404);
    assert_eq!(site.get("/d/index.html").status, 200);
    assert_eq!(site.get("/d/index.html/").status, 404);
    assert_eq!(site.get("/d/other.htm/x").status, 404);

    let site = site.set(|files| files.index("other.htm"));
    assert_eq!(site.get("/d/").text(), "d/other.htm");
    assert_eq!(site.get("/").status, 404);
    fs::create_dir(site.path("other.htm")).unwrap();
    assert_eq!(site.get("/").status, 404, "an index that is a directory");
}

#[test]
fn a_directory_without_slash_redirects_here() {
    let site = Site::with(&["d/e/index.html", "host/a", "x y/a", "<b>/a", "ü/a"]);
    for (path, location) in [
        ("/d", "/d/"),
        ("/d/e", "/d/e/"),
        ("/d?a=b&c", "/d/?a=b&c"),
        ("/d?", "/d/?"),
        ("//host", "/host/"),
        ("///host", "/host/"),
        ("/d//e", "/d/e/"),
        ("/%64", "/d/"),
        ("/x%20y", "/x%20y/"),
        ("/<b>", "/%3Cb%3E/"),
        ("/%c3%bc", "/%C3%BC/"),
        ("/d?x=\r\nSet-Cookie: a=b", "/d/?x=%0D%0ASet-Cookie:%20a=b"),
    ] {
        let reply = site.get(path);
        assert_eq!(reply.status, 301, "{path}");
        assert_eq!(reply.header("location"), location, "{path}");
        assert!(!reply.text().contains("<b>"));
    }
    for path in [
        "//example.org/..",
        "/\\example.org",
        "//example.org/%2f..",
        "/d\\",
    ] {
        let reply = site.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.header("location"), "");
    }
}

#[test]
fn a_mount_is_taken_off_and_kept_in_redirects() {
    let site = Site::with(&["index.html", "d/index.html"]);
    let get = |path| {
        let request = FileRequest::new("GET", path, at(NOW)).below("/static");
        Reply::from(site.files.respond(request))
    };
    assert_eq!(get("/static/").text(), "index.html");
    assert_eq!(get("/static/d/").text(), "d/index.html");
    assert_eq!(get("/static").header("location"), "/static/");
    assert_eq!(get("/static/d").header("location"), "/static/d/");
    assert_eq!(get("/d/").status, 404);
    assert_eq!(get("/staticd/").status, 404);
}

#[test]
fn dotfiles_do_not_exist_unless_wanted() {
    let site = Site::with(&[
        ".env",
        ".git/config",
        "d/.x/a",
        ".well-known/a",
        ".well-known/.b",
    ]);
    for (path, hidden, shown) in [
        ("/.env", 404, 200),
        ("/%2eenv", 404, 200),
        ("/.git/config", 404, 200),
        ("/.git", 404, 301),
        ("/d/.x/a", 404, 200),
        ("/.well-known/a", 200, 200),
        ("/.well-known", 301, 301),
        ("/.well-known/.b", 404, 200),
        ("/d/.well-known", 404, 404),
        ("/.none", 404, 404),
        ("/./.env", 404, 404),
    ] {
        assert_eq!(site.get(path).status, hidden, "{path}");
        let files = Files::new(site.path("")).unwrap().dotfiles(true);
        let response = files.respond(FileRequest::new("GET", path, at(NOW)));
        assert_eq!(response.status, shown, "{path}");
    }
}

#[test]
fn cache_control_goes_with_files_only() {
    let site = Site::with(&["a.txt", "d/x"]);
    let etag = site.etag("/a.txt");
    let site = site.set(|files| files.cache_control("public, max-age=60").unwrap());
    for (path, headers, status, expected) in [
        ("/a.txt", vec![], 200, "public, max-age=60"),
        (
            "/a.txt",
            vec![("Range", "bytes=0-0")],
            206,
            "public, max-age=60",
        ),
        (
            "/a.txt",
            vec![("If-None-Match", &*etag)],
            304,
            "public, max-age=60",
        ),
        ("/a.txt", vec![("Range", "bytes=9-")], 416, ""),
        ("/d", vec![], 301, ""),
        ("/none", vec![], 404, ""),
    ] {
        let reply = site.get_with(path, &headers);
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("cache-control"), expected, "{path} {status}");
    }
    let bad = Files::new(site.path(""))
        .unwrap()
        .cache_control("a\r\nb: c");
    assert!(matches!(bad, Err(FilesError::CacheControl)));
}

#[test]
fn error_pages_say_nothing_of_the_request() {
    let site = Site::with(&["a"]);
    for path in [
        "/<script>alert(1)</script>",
        "/%3Cscript%3E",
        "/%",
        "/a\r\nb",
    ] {
        let reply = site.get(path);
        assert!(matches!(reply.status, 400 | 404));
        assert!(!reply.text().contains("script"), "{}", reply.text());
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
    let long = format!("/{}", "a".repeat(5000));
    assert_eq!(site.get(&long).status, 404);
    let deep = "/a".repeat(3000);
    assert_eq!(site.get(&deep).status, 404);
}

#[test]
fn a_root_must_be_a_directory() {
    let site = Site::with(&["a"]);
    for path in ["a", "none"] {
        let error = Files::new(site.path(path)).unwrap_err();
        assert!(matches!(error, FilesError::Open { .. }));
        assert!(error.to_string().contains(path), "{error}");
    }
}
