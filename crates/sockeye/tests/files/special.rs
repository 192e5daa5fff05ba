//! What is in a directory and is no file, and files that are awkward.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use sockeye::Body;

use super::site::{NOW, Site, at};

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let site = Site::with(&["a.txt"]);
    let mode = Mode::RUSR | Mode::WUSR;
    for path in ["fifo", "index.html", "a.txt.br"] {
        mknodat(CWD, site.path(path), FileType::Fifo, mode, 0).unwrap();
    }
    let _listener = UnixListener::bind(site.path("socket")).unwrap();
    // Only root may make a device, so this one is best effort: the null device.
    let device = rustix::fs::makedev(1, 3);
    let null = mknodat(
        CWD,
        site.path("null"),
        FileType::CharacterDevice,
        mode,
        device,
    );

    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for path in ["/fifo", "/socket", "/null", "/", "/fifo/", "/socket/x"] {
            sender.send((path, site.get(path))).unwrap();
        }
        let reply = site.get_with("/a.txt", &[("Accept-Encoding", "br")]);
        sender.send(("/a.txt", reply)).unwrap();
    });
    let limit = Duration::from_secs(20);
    for _ in 0..6 {
        let (path, reply) = receiver.recv_timeout(limit).expect("opening blocks");
        assert_eq!(reply.status, 404, "{path} {null:?}");
    }
    let (_, reply) = receiver.recv_timeout(limit).expect("opening blocks");
    assert_eq!(reply.text(), "a.txt");
    assert_eq!(reply.header("content-encoding"), "");
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    let site = Site::with(&["a.txt"]);
    let path = site.path("a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    let expected = if fs::File::open(&path).is_ok() {
        200
    } else {
        403
    };
    assert_eq!(site.get("/a.txt").status, expected);
}

#[test]
fn sizes_zero_and_one() {
    let site = Site::new();
    site.write("zero", "");
    site.write("one", "1");
    for range in [None, Some("bytes=0-"), Some("bytes=-1"), Some("bytes=5-")] {
        let headers: Vec<_> = range.iter().map(|range| ("Range", *range)).collect();
        let response = site.respond("GET", "/zero", &headers);
        assert_eq!(response.status, 200, "{range:?}");
        assert_eq!(response.body.len(), Some(0));
        assert!(!response.headers.contains_key("content-range"));
    }
    assert_eq!(site.get("/one").text(), "1");
    let reply = site.get_with("/one", &[("Range", "bytes=-9")]);
    assert_eq!((reply.status, reply.text()), (206, "1"));
    assert_eq!(reply.header("content-range"), "bytes 0-0/1");
}

#[test]
fn five_gibibytes_are_not_read_to_send_the_last_four_bytes() {
    const LEN: u64 = 5 << 30;
    let site = Site::new();
    site.write("large.bin", "head");
    let file = fs::File::options()
        .write(true)
        .open(site.path("large.bin"))
        .unwrap();
    file.set_len(LEN).unwrap();
    file.write_at(b"tail", LEN - 4).unwrap();

    let response = site.respond("GET", "/large.bin", &[]);
    assert_eq!(response.body.len(), Some(LEN));
    let Body::File(mut body) = response.body else {
        panic!("not a file");
    };
    let mut piece = Vec::new();
    assert_eq!(body.read_piece(&mut piece, 4096).unwrap(), 4096);
    assert!(piece.starts_with(b"head\0") && piece.capacity() < 1 << 20);
    assert_eq!(body.remaining(), LEN - 4096);

    let start = LEN - 4;
    for range in [
        String::from("bytes=-4"),
        format!("bytes={start}-"),
        format!("bytes={start}-{LEN}"),
    ] {
        let reply = site.get_with("/large.bin", &[("Range", &range)]);
        assert_eq!((reply.status, reply.text()), (206, "tail"), "{range}");
        let expected = format!("bytes {start}-{}/{LEN}", LEN - 1);
        assert_eq!(reply.header("content-range"), expected);
    }
    let reply = site.get_with("/large.bin", &[("Range", "bytes=0-3,-4")]);
    assert!(reply.text().contains("\r\n\r\nhead\r\n") && reply.text().contains("\r\n\r\ntail\r\n"));
    let reply = site.get_with("/large.bin", &[("Range", &format!("bytes={LEN}-"))]);
    assert_eq!(reply.status, 416);
    assert_eq!(reply.header("content-range"), format!("bytes */{LEN}"));
}

#[test]
fn a_file_replaced_while_it_is_sent_goes_on_as_it_was() {
    let site = Site::with(&["a.txt"]);
    let response = site.respond("GET", "/a.txt", &[]);
    fs::remove_file(site.path("a.txt")).unwrap();
    site.write("a.txt", "another");
    let Body::File(mut body) = response.body else {
        panic!("not a file");
    };
    let mut content = Vec::new();
    while body.read_piece(&mut content, 2).unwrap() != 0 {}
    assert_eq!(content, b"a.txt");
}

#[test]
fn odd_times_are_left_out_or_held_back() {
    let site = Site::with(&["old", "future"]);
    let set = |path, time| {
        let file = fs::File::options()
            .write(true)
            .open(site.path(path))
            .unwrap();
        file.set_modified(time).unwrap();
    };
    set("old", at(0) - Duration::from_secs(86_400));
    let reply = site.get_with(
        "/old",
        &[("If-Modified-Since", "Fri, 01 Jan 2027 00:00:00 GMT")],
    );
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("last-modified"), "");
    assert_ne!(reply.header("etag"), "");

    set("future", at(NOW + 86_400));
    let reply = site.get("/future");
    assert_eq!(
        reply.header("last-modified"),
        "Fri, 15 Jan 2027 08:00:00 GMT"
    );
}
