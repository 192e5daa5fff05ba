//! Nothing outside the directory is ever served.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::site::{SECRET, Site};

#[test]
fn no_encoding_climbs_out() {
    let site = Site::with(&["index.html", "sub/a.txt"]);
    let ups = [
        "..",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "..%00",
        "..;",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%uff0e%uff0e",
        "\u{ff0e}\u{ff0e}",
        "\u{2025}",
        ". .",
        ".. ",
        "..\t",
        "....",
        "%2e%2e%2e",
    ];
    let separators = [
        "/",
        "//",
        "\\",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "%252f",
        "%255c",
        "%c0%af",
        "%e2%88%95",
        "/./",
        "%2f%2f",
        "\u{2215}",
    ];
    for up in ups {
        for separator in separators {
            for start in ["/", "/sub/", "//", "/sub%2f", "/%2e/", "/sub\\"] {
                for count in [1, 2, 3] {
                    let climb = format!("{up}{separator}").repeat(count);
                    for name in ["secret.txt", "outside/secret.txt", "outside", "outside/"] {
                        let path = format!("{start}{climb}{name}");
                        let reply = site.get(&path);
                        assert!(
                            matches!(reply.status, 400 | 404),
                            "{path}: {}",
                            reply.status
                        );
                        assert!(!reply.text().contains(SECRET), "{path}");
                    }
                }
            }
        }
    }
}

#[test]
fn absolute_names_are_below_the_root() {
    let site = Site::new();
    let outside = site.path("../secret.txt");
    let outside = outside.to_str().unwrap();
    for path in [
        outside.to_owned(),
        format!("/{outside}"),
        format!("/{}", outside.replace('/', "%2f")),
        format!("/{}", outside.replace('/', "\\")),
        format!("/file:{outside}"),
        String::from("/etc/passwd"),
        String::from("//etc/passwd"),
        String::from("/%2fetc/passwd"),
        String::from("/%2fetc%2fpasswd"),
        String::from("/c:/windows/win.ini"),
        String::from("/c%3a%5cwindows%5cwin.ini"),
        String::from("/proc/self/environ"),
    ] {
        assert_eq!(site.get(&path).status, 404, "{path}");
    }
    for path in [
        "",
        "etc/passwd",
        "../secret.txt",
        "secret.txt",
        "http://h/secret.txt",
    ] {
        assert_eq!(site.get(path).status, 400, "{path}");
    }
}

#[test]
fn symlinks_lead_inside_but_not_out() {
    let site = Site::with(&["d/a.txt", "d/index.html"]);
    let outside = site.path("../outside").canonicalize().unwrap();
    let inside = site.path("d").canonicalize().unwrap();
    for (target, link) in [
        ("d/a.txt".into(), "in-file"),
        ("d".into(), "in-directory"),
        ("../d/a.txt".into(), "d/in-up"),
        ("in-file".into(), "in-twice"),
        ("d/../d/./a.txt".into(), "in-dots"),
        (outside.join("secret.txt"), "out-absolute"),
        (outside.clone(), "out-directory"),
        ("../secret.txt".into(), "out-relative"),
        ("d/../../secret.txt".into(), "out-dots"),
        ("out-relative".into(), "out-twice"),
        ("/".into(), "out-root"),
        ("/proc/self/root".into(), "out-proc"),
        ("../site/d/a.txt".into(), "out-and-in"),
        (inside.join("a.txt"), "in-absolute"),
        ("loop".into(), "loop"),
        ("none".into(), "dangling"),
    ] {
        symlink(&target, site.path(link)).unwrap();
    }
    for (path, status) in [
        ("/in-file", 200),
        ("/in-directory", 301),
        ("/in-directory/", 200),
        ("/in-directory/a.txt", 200),
        ("/d/in-up", 200),
        ("/in-twice", 200),
        ("/in-dots", 200),
        ("/out-absolute", 404),
        ("/out-directory", 404),
        ("/out-directory/", 404),
        ("/out-directory/secret.txt", 404),
        ("/out-relative", 404),
        ("/out-dots", 404),
        ("/out-twice", 404),
        ("/out-root", 404),
        ("/out-root/", 404),
        ("/out-root/etc/passwd", 404),
        ("/out-proc/etc/passwd", 404),
        ("/out-and-in", 404),
        ("/in-absolute", 404),
        ("/loop", 404),
        ("/loop/a", 404),
        ("/dangling", 404),
    ] {
        let reply = site.get(path);
        assert_eq!(reply.status, status, "{path}");
        assert!(!reply.text().contains(SECRET), "{path}");
    }
}

#[test]
fn an_index_or_a_sibling_that_links_out_is_not_sent() {
    let site = Site::with(&["a.txt", "d/x"]);
    symlink("../../secret.txt", site.path("d/index.html")).unwrap();
    symlink("../secret.txt", site.path("a.txt.br")).unwrap();
    assert_eq!(site.get("/d/").status, 404);
    let reply = site.get_with("/a.txt", &[("Accept-Encoding", "br")]);
    assert_eq!(reply.text(), "a.txt");
    assert_eq!(reply.header("content-encoding"), "");

    let site = site.set(|files| files.index("../secret.txt"));
    assert_eq!(site.get("/").status, 404);
    let site = site.set(|files| files.index("/etc/passwd"));
    assert_eq!(site.get("/").status, 404);
}

#[test]
fn a_component_swapped_between_calls_does_not_lead_out() {
    let site = Site::with(&["d/secret.txt"]);
    assert_eq!(site.get("/d/secret.txt").text(), "d/secret.txt");
    fs::rename(site.path("d"), site.path("kept")).unwrap();
    symlink("../outside", site.path("d")).unwrap();
    assert_eq!(site.get("/d/secret.txt").status, 404);
    fs::remove_file(site.path("d")).unwrap();
    symlink("kept", site.path("d")).unwrap();
    assert_eq!(site.get("/d/secret.txt").text(), "d/secret.txt");
}

#[test]
fn a_component_swapped_during_calls_does_not_lead_out() {
    let site = Site::with(&["d/secret.txt"]);
    let (real, link) = (site.path("d"), site.path("link"));
    symlink("../outside", &link).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &real, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..3000 {
            for path in ["/d/secret.txt", "/link/secret.txt"] {
                let reply = site.get(path);
                assert!(!reply.text().contains(SECRET));
                assert!(matches!(reply.status, 200 | 404), "{}", reply.status);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_root_stays_the_directory_that_was_opened() {
    let site = Site::with(&["a.txt"]);
    let root = site.path("");
    fs::rename(&root, root.with_file_name("moved")).unwrap();
    symlink("outside", root.with_file_name("site")).unwrap();
    assert_eq!(site.get("/a.txt").text(), "a.txt");
    assert_eq!(site.get("/secret.txt").status, 404);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_path_is_answered_from_inside(
        path in prop_oneof![
            any::<String>(),
            "(/|\\.|\\.\\.|%2e|%2f|%5c|\\\\|%00|%c0%af|%25|sub|up|outside|secret\\.txt|site){0,12}",
        ],
        method in "(GET|HEAD|POST|OPTIONS|[a-z]{0,3})",
        header in "\\PC{0,20}",
    ) {
        thread_local! {
            static SITE: Site = {
                let site = Site::with(&["index.html", "sub/a.txt"]);
                symlink("..", site.path("up")).unwrap();
                site
            };
        }
        SITE.with(|site| {
            let headers = ["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since"];
            let headers = headers.map(|name| (name, &*header));
            for headers in [&headers[..], &[]] {
                let reply = site.request(&method, &path, headers);
                let secret = reply.content.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
                prop_assert!(!secret, "{path}");
                prop_assert!(reply.status < 500, "{path}");
            }
            Ok(())
        })?;
    }
}
