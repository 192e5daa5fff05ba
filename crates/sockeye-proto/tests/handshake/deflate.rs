//! What is agreed on about compression, from either side: RFC 7692 §5 and §7.1 as tables.

use http::HeaderMap;
use sockeye_proto::Limits;
use sockeye_proto::deflate::{Agreed, Settings, WindowBits};
use sockeye_proto::handshake::{Accept, ConnectRequest, HandshakeError, OriginPolicy};

use crate::rig::{Rig, parse, request};

const PMD: &str = "permessage-deflate";

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

fn wish(server: u8, client: u8, takeover: bool) -> Settings {
    Settings {
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: bits(server),
        client_max_window_bits: bits(client),
        ..Settings::default()
    }
}

/// What a server makes of these header lines: the value it answers, if any.
fn answer_in(rig: &mut Rig, lines: &[&str], wish: &Settings) -> (Option<String>, Option<Agreed>) {
    let mut head = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        .to_owned();
    for line in lines {
        head += &format!("Sec-WebSocket-Extensions: {line}\r\n");
    }
    head += "\r\n";
    let request = parse(head.as_bytes());
    let mut accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
    let limits = rig.limits.clone();
    rig.output.clear();
    let agreed = rig.with(|cx| {
        let agreed = accept.deflate(wish, &limits, cx.shared);
        accept.respond(None, &HeaderMap::new(), cx).unwrap();
        agreed
    });
    let output = String::from_utf8(rig.output.clone()).unwrap();
    let value = output.lines().find_map(|line| {
        line.strip_prefix("sec-websocket-extensions: ")
            .or_else(|| line.strip_prefix("Sec-WebSocket-Extensions: "))
    });
    assert_eq!(value.is_some(), agreed.is_some());
    (value.map(str::to_owned), agreed)
}

fn answer(lines: &[&str], wish: &Settings) -> Option<String> {
    answer_in(&mut Rig::new(), lines, wish).0
}

#[test]
fn a_server_without_takeover() {
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (offer, added) in [
        ("", ""),
        ("; client_max_window_bits", ""),
        ("; client_max_window_bits=15", ""),
        ("; client_max_window_bits=10", "; client_max_window_bits=10"),
        (
            "; client_max_window_bits=\"8\"",
            "; client_max_window_bits=8",
        ),
        ("; server_max_window_bits=9", "; server_max_window_bits=9"),
        ("; server_max_window_bits=8", "; server_max_window_bits=8"),
        ("; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("; server_no_context_takeover", ""),
        (
            "; client_no_context_takeover;server_no_context_takeover",
            "",
        ),
        (
            ";client_max_window_bits=9;server_max_window_bits=10",
            "; server_max_window_bits=10; client_max_window_bits=9",
        ),
    ] {
        let expected = format!("{both}{added}");
        let offer = format!("{PMD}{offer}");
        assert_eq!(
            answer(&[&offer], &Settings::default()),
            Some(expected),
            "{offer}"
        );
    }
}

#[test]
fn a_server_with_takeover_keeps_to_the_smaller_windows() {
    for (offer, server, client, expected) in [
        ("", 12, 12, "; server_max_window_bits=12"),
        ("", 15, 15, ""),
        (
            "; client_max_window_bits",
            12,
            11,
            "; server_max_window_bits=12; client_max_window_bits=11",
        ),
        (
            "; client_max_window_bits=10",
            15,
            12,
            "; client_max_window_bits=10",
        ),
        (
            "; server_max_window_bits=10",
            12,
            12,
            "; server_max_window_bits=10",
        ),
        (
            "; server_max_window_bits=13",
            12,
            12,
            "; server_max_window_bits=12",
        ),
        (
            "; server_no_context_takeover",
            15,
            15,
            "; server_no_context_takeover",
        ),
        (
            "; client_no_context_takeover",
            15,
            15,
            "; client_no_context_takeover",
        ),
    ] {
        let offer = format!("{PMD}{offer}");
        let expected = format!("{PMD}{expected}");
        assert_eq!(
            answer(&[&offer], &wish(server, client, true)),
            Some(expected),
            "{offer}"
        );
    }
}

#[test]
fn bad_offers_are_passed_over() {
    let good = format!("{PMD}; server_no_context_takeover; client_no_context_takeover");
    for params in [
        "unknown",
        "constructor",
        "__proto__=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"true\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=08",
        "server_max_window_bits=-15",
        "server_max_window_bits=+9",
        "server_max_window_bits=9x",
        "server_max_window_bits=0x9",
        "server_max_window_bits=99",
        "server_max_window_bits=4294967305",
        "server_max_window_bits=9; server_max_window_bits=9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=\"010\"",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=9; client_max_window_bits",
        "Server_no_context_takeover",
        "server_max_window_bits=10; foo",
    ] {
        let bad = format!("{PMD}; {params}");
        let settings = Settings::default();
        assert_eq!(answer(&[&bad], &settings), None, "{params}");
        let two = format!("{bad}, x-other; a=b, {PMD}");
        assert_eq!(answer(&[&two], &settings).as_ref(), Some(&good), "{params}");
        assert_eq!(
            answer(&["x", &bad, PMD], &settings).as_ref(),
            Some(&good),
            "{params}"
        );
    }
}

#[test]
fn the_first_good_offer_counts() {
    let settings = Settings::default();
    let two = format!("{PMD}; server_max_window_bits=9, {PMD}; server_max_window_bits=10");
    assert!(
        answer(&[&two], &settings)
            .unwrap()
            .ends_with("server_max_window_bits=9")
    );
    let many = vec![PMD; 150].join(", ");
    assert!(answer(&[&many], &settings).is_some_and(|value| value.matches(PMD).count() == 1));
}

#[test]
fn other_extensions_and_broken_headers_are_declined() {
    let broken = format!("{PMD}, x; a=\"");
    for line in [
        "",
        ",",
        "x-webkit-deflate-frame",
        "permessage-deflat",
        "Permessage-Deflate",
        "permessage-bzip2; level=9",
        "permessage-deflate;",
        "permessage-deflate; server_max_window_bits=\"10",
        "permessage-deflate server_no_context_takeover",
        &broken,
    ] {
        assert_eq!(answer(&[line], &Settings::default()), None, "{line}");
    }
    assert_eq!(answer(&[], &Settings::default()), None);
}

#[test]
fn a_server_that_is_out_of_budget_does_without_takeover() {
    let mut rig = Rig::new();
    rig.limits = Limits {
        takeover_count: 10,
        takeover_len: 3 * 4096,
        ..Limits::default()
    };
    let settings = wish(12, 12, true);
    let offer = format!("{PMD}; client_max_window_bits");
    let (_, first) = answer_in(&mut rig, &[&offer], &settings);
    let first = first.unwrap();
    assert!(first.reservation.is_some());
    assert_eq!(first.settings.kept_len(), 2 * 4096);
    let (value, second) = answer_in(&mut rig, &[&offer], &settings);
    let second = second.unwrap();
    assert!(second.reservation.is_none());
    assert_eq!(second.settings.kept_len(), 0);
    let value = value.unwrap();
    assert!(
        value.contains("server_no_context_takeover; client_no_context_takeover"),
        "{value}"
    );
    let one_way = format!("{offer}; server_no_context_takeover");
    let (_, third) = answer_in(&mut rig, &[&one_way], &settings);
    assert_eq!(third.unwrap().settings.kept_len(), 4096, "half fits");
    drop(first);
    let (_, again) = answer_in(&mut rig, &[&offer], &settings);
    assert!(again.unwrap().reservation.is_some());
}

/// What a client that offers `wish` makes of the value of the answer's header.
fn judge(wish: &Settings, lines: &[&str]) -> Result<Option<Settings>, HandshakeError> {
    let mut rig = Rig::new();
    let mut connect = rig
        .connect(ConnectRequest {
            deflate: Some(*wish),
            ..request()
        })
        .unwrap();
    let output = String::from_utf8(rig.output.clone()).unwrap();
    let key = output
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let request = parse(head.as_bytes());
    let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
    let mut server = Rig::new();
    server.with(|cx| accept.respond(None, &HeaderMap::new(), cx).unwrap());
    server.output.truncate(server.output.len() - 2);
    let mut bytes = server.output;
    for line in lines {
        bytes.extend(format!("Sec-WebSocket-Extensions: {line}\r\n").into_bytes());
    }
    bytes.extend(b"\r\n");
    let (result, _) = rig.feed(&mut connect, &bytes);
    result.map(|answer| answer.unwrap().deflate.map(|agreed| agreed.settings))
}

#[test]
fn offers() {
    for (settings, expected) in [
        (
            Settings::default(),
            "; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        ),
        (wish(15, 15, true), "; client_max_window_bits"),
        (
            wish(10, 9, true),
            "; server_max_window_bits=10; client_max_window_bits=9",
        ),
    ] {
        let mut rig = Rig::new();
        let deflate = Some(settings);
        rig.connect(ConnectRequest {
            deflate,
            ..request()
        })
        .unwrap();
        let output = String::from_utf8(rig.output).unwrap();
        let line = format!("Sec-WebSocket-Extensions: {PMD}{expected}");
        assert!(
            output
                .lines()
                .any(|found| found.eq_ignore_ascii_case(&line)),
            "{output}"
        );
    }
}

#[test]
fn a_client_without_takeover_judges_the_answer() {
    let settings = Settings::default();
    let no = "permessage-deflate; server_no_context_takeover";
    assert_eq!(judge(&settings, &[]), Ok(None));
    assert_eq!(judge(&settings, &[""]), Ok(None));
    let agreed = judge(&settings, &[no]).unwrap().unwrap();
    assert_eq!(agreed, settings);
    let narrow = format!(
        "{no};client_no_context_takeover;client_max_window_bits=9; server_max_window_bits=\"8\""
    );
    let agreed = judge(&settings, &[&narrow]).unwrap().unwrap();
    assert_eq!(
        (agreed.client_max_window_bits, agreed.server_max_window_bits),
        (bits(9), bits(8))
    );
    for (value, expected) in [
        (PMD.to_owned(), HandshakeError::AnswerDeflate),
        (
            format!("{no}; client_max_window_bits"),
            HandshakeError::AnswerDeflate,
        ),
        (
            format!("{no}; client_max_window_bits=16"),
            HandshakeError::AnswerDeflate,
        ),
        (
            format!("{no}; client_max_window_bits=99"),
            HandshakeError::AnswerDeflate,
        ),
        (
            format!("{no}; server_max_window_bits"),
            HandshakeError::AnswerDeflate,
        ),
        (
            format!("{no}; server_max_window_bits=010"),
            HandshakeError::AnswerDeflate,
        ),
        (
            format!("{no}; server_no_context_takeover"),
            HandshakeError::AnswerDeflate,
        ),
        (format!("{no}=1"), HandshakeError::AnswerDeflate),
        (format!("{no}; x"), HandshakeError::AnswerDeflate),
        (format!("{no}, {no}"), HandshakeError::AnswerExtension),
        (format!("{no}, x"), HandshakeError::AnswerExtension),
        ("x".to_owned(), HandshakeError::AnswerExtension),
        (
            "permessage-deflate;".to_owned(),
            HandshakeError::AnswerExtension,
        ),
        (
            "permessage-deflate; a=\"".to_owned(),
            HandshakeError::AnswerExtension,
        ),
    ] {
        assert_eq!(judge(&settings, &[&value]), Err(expected), "{value}");
    }
    assert_eq!(
        judge(&settings, &[no, no]),
        Err(HandshakeError::AnswerExtension)
    );
}

#[test]
fn a_client_with_takeover_judges_the_answer() {
    let settings = wish(12, 10, true);
    for (value, expected) in [
        (";server_max_window_bits=12", Some((12, 10, true, true))),
        (
            ";server_max_window_bits=9;client_max_window_bits=9",
            Some((9, 9, true, true)),
        ),
        (
            ";server_max_window_bits=12;server_no_context_takeover;client_no_context_takeover",
            Some((12, 10, false, false)),
        ),
        ("", None),
        (";server_max_window_bits=13", None),
        (";server_max_window_bits=12;client_max_window_bits=11", None),
    ] {
        let value = format!("{PMD}{value}");
        let result = judge(&settings, &[&value]).map(|agreed| {
            let agreed = agreed.unwrap();
            (
                agreed.server_max_window_bits.get(),
                agreed.client_max_window_bits.get(),
                !agreed.server_no_context_takeover,
                !agreed.client_no_context_takeover,
            )
        });
        assert_eq!(
            result,
            expected.ok_or(HandshakeError::AnswerDeflate),
            "{value}"
        );
    }
}
