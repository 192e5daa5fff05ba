//! The order of things, from the first descriptor to the last.

use websockets::abi::*;
use websockets::export::*;

use super::program::*;
use super::wire::Peer;

const POLL: [Reason; 2] = [LWS_CALLBACK_ADD_POLL_FD, LWS_CALLBACK_DEL_POLL_FD];

#[test]
fn a_context_begins_with_its_descriptors_and_fills_the_array_in() {
    let program = Program::new();
    let added = told_of(&POLL);
    assert!(
        added
            .iter()
            .all(|told| told.reason == LWS_CALLBACK_ADD_POLL_FD)
    );
    assert_eq!(added.len(), 2, "the listener, and what is hidden");
    for told in &added {
        assert!(!told.wsi.is_null());
        assert_eq!(told.context, program.context);
        assert_eq!((told.protocol, told.len), (0, 1));
    }
    for index in 0..3 {
        // SAFETY: within the array.
        let entry = unsafe { &*program.protocol(index) };
        assert_eq!(entry.owning_server, program.context);
        assert_eq!(entry.protocol_index, index as i32);
        assert_eq!(entry.broadcast_socket_user_fd, 0);
    }
    // SAFETY: the context is a handle.
    let name = unsafe { libwebsocket_canonical_hostname(program.context) };
    assert!(!text(name).is_empty());
}

#[test]
fn a_server_connection_from_accept_to_close() {
    let program = Program::new();
    let listener = told_of(&POLL)[0].wsi;
    let mut peer = Peer::open(&program, Some("one"));
    peer.frame(0x81, b"Hello");
    let received = program.until_told(LWS_CALLBACK_RECEIVE);
    assert_eq!(received.data, b"Hello");
    peer.frame(0x88, b"\x03\xe8");
    program.until_told(LWS_CALLBACK_CLOSED);
    assert_eq!(peer.rest(), b"\x88\x02\x03\xe8");

    let filter = &told_of(&[LWS_CALLBACK_FILTER_NETWORK_CONNECTION])[0];
    let added = told_of(&[LWS_CALLBACK_ADD_POLL_FD]).pop().unwrap();
    assert_eq!(filter.wsi, listener);
    assert_eq!(filter.fd(), added.fd());
    let wsi = added.wsi;
    assert_eq!(
        story(wsi),
        [
            "add",
            "filter protocol",
            "established",
            "receive",
            "del",
            "closed"
        ]
    );
    let position = |told_one: &Told| told().iter().position(|told| told == told_one);
    assert!(
        position(filter) < position(&added),
        "asked before it is taken in"
    );
    for told in told().iter().filter(|told| told.wsi == wsi) {
        let of_the_protocol = ["filter protocol", "established", "receive", "closed"];
        let expected = usize::from(of_the_protocol.contains(&word(told.reason)));
        assert_eq!(told.protocol, expected, "{}", word(told.reason));
    }
    // One session, the same all the time.
    let users: Vec<_> = told_of(&[
        LWS_CALLBACK_ESTABLISHED,
        LWS_CALLBACK_RECEIVE,
        LWS_CALLBACK_CLOSED,
    ])
    .iter()
    .map(|told| told.user)
    .collect();
    assert!(!users[0].is_null() && users.iter().all(|user| *user == users[0]));
    assert_eq!(users[0].addr() % 16, 0);
    // What is over has no name.
    assert_eq!(fd_of(wsi), -1);
    assert_eq!(write(wsi, b"x", LWS_WRITE_TEXT), -1);
    close(wsi, 0);
}

#[test]
fn the_memory_of_a_session_is_zero_and_the_programs() {
    let program = Program::with(Plan {
        session_len: 100,
        ..Plan::default()
    });
    on_callback(|told| {
        // SAFETY: the session's memory, which belongs to the program.
        let session = unsafe { std::slice::from_raw_parts_mut(told.user.cast::<u8>(), 100) };
        match told.reason {
            LWS_CALLBACK_ESTABLISHED => {
                assert!(session.iter().all(|byte| *byte == 0));
                session.fill(7);
            }
            LWS_CALLBACK_RECEIVE | LWS_CALLBACK_CLOSED => {
                assert!(session.iter().all(|byte| *byte == 7));
            }
            _ => {}
        }
        0
    });
    for _ in 0..3 {
        let mut peer = Peer::open(&program, Some("one"));
        peer.frame(0x81, b"x");
        peer.frame(0x88, b"");
        peer.rest();
    }
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED]).len(), 3);
}

#[test]
fn without_session_data_there_is_no_user() {
    let program = Program::with(Plan {
        session_len: 0,
        ..Plan::default()
    });
    let _peer = Peer::open(&program, Some("one"));
    assert!(told_of(&[LWS_CALLBACK_ESTABLISHED])[0].user.is_null());
}

#[test]
fn a_refused_connection_is_closed_without_a_word() {
    let program = Program::new();
    on_callback(|told| i32::from(told.reason == LWS_CALLBACK_FILTER_NETWORK_CONNECTION));
    let mut peer = Peer::new(&program);
    assert_eq!(peer.rest(), b"");
    let fd = told_of(&[LWS_CALLBACK_FILTER_NETWORK_CONNECTION])[0].fd();
    assert!(fd > 2);
    assert_eq!(told_of(&POLL).len(), 2, "only those of the context");
}

#[test]
fn a_refused_protocol_gets_no_answer() {
    let program = Program::new();
    on_callback(|told| i32::from(told.reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION));
    let mut peer = Peer::new(&program);
    peer.send(super::wire::upgrade(Some("one")).as_bytes());
    assert_eq!(peer.rest(), b"");
    let filter = &told_of(&[LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION])[0];
    assert_eq!(story(filter.wsi), ["add", "filter protocol", "del"]);
}

#[test]
fn the_filter_sees_the_headers() {
    let program = Program::new();
    on_callback(|told| {
        if told.reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION {
            // SAFETY: the array that is promised.
            let tokens =
                unsafe { std::slice::from_raw_parts(told.user.cast::<lws_tokens>(), token::COUNT) };
            let value = |place: usize| {
                let entry = &tokens[place];
                (!entry.token.is_null()).then(|| {
                    let value = text(entry.token);
                    assert_eq!(value.len(), entry.token_len as usize);
                    value
                })
            };
            assert_eq!(value(token::GET_URI).as_deref(), Some("/chat?a=b"));
            assert_eq!(value(token::HOST).as_deref(), Some("localhost"));
            assert_eq!(
                value(token::CONNECTION).as_deref(),
                Some("keep-alive, Upgrade")
            );
            assert_eq!(value(token::UPGRADE).as_deref(), Some("websocket"));
            assert_eq!(value(token::PROTOCOL).as_deref(), Some("none, two, one"));
            assert_eq!(value(token::VERSION).as_deref(), Some("13"));
            assert_eq!(value(token::KEY).map(|key| key.len()), Some(24));
            for absent in [
                token::KEY1,
                token::KEY2,
                token::ORIGIN,
                token::DRAFT,
                token::CHALLENGE,
                token::SWORIGIN,
                token::EXTENSIONS,
                token::ACCEPT,
                token::NONCE,
                token::HTTP,
            ] {
                assert_eq!(value(absent), None, "{absent}");
            }
        }
        0
    });
    let mut peer = Peer::new(&program);
    peer.send(super::wire::upgrade(Some("none, two, one")).as_bytes());
    let head = peer.head();
    assert!(
        head.to_ascii_lowercase()
            .contains("sec-websocket-protocol: two\r\n"),
        "{head}"
    );
    assert_eq!(told_of(&[LWS_CALLBACK_ESTABLISHED])[0].protocol, 2);
}

#[test]
fn protocols_are_chosen_by_name_or_for_having_none() {
    let nameless = Program::with(Plan {
        names: vec![Some(c"zero"), None, Some(c"two")],
        ..Plan::default()
    });
    for (offer, expected) in [(None, 1), (Some("two"), 2), (Some("zero"), 0)] {
        let _peer = Peer::open(&nameless, offer);
        let chosen = told_of(&[LWS_CALLBACK_ESTABLISHED]).pop().unwrap();
        assert_eq!(chosen.protocol, expected);
        let protocol = protocol_of(chosen.wsi);
        assert_eq!(protocol, nameless.protocol(expected).cast_const());
    }
    let mut stranger = Peer::new(&nameless);
    stranger.send(super::wire::upgrade(Some("three")).as_bytes());
    assert_eq!(stranger.rest(), b"");
    drop(nameless);
    let named = Program::new();
    let mut shy = Peer::new(&named);
    shy.send(super::wire::upgrade(None).as_bytes());
    assert_eq!(shy.rest(), b"", "nobody serves who names nothing");
}

#[test]
fn every_descriptor_is_taken_back_once() {
    let program = Program::new();
    let (_client, _server) = program.pair(c"one");
    let idle = Peer::new(&program);
    program.until("the idle one", || {
        told_of(&[LWS_CALLBACK_ADD_POLL_FD]).len() == 5
    });
    let mut open = Peer::open(&program, Some("two"));
    program.destroy();
    let end = open.take(4);
    assert_eq!(end, b"\x88\x02\x03\xe9", "1001");
    let mut live = Vec::new();
    for told in told_of(&POLL) {
        if told.reason == LWS_CALLBACK_ADD_POLL_FD {
            assert!(!live.contains(&told.fd()));
            live.push(told.fd());
        } else {
            let before = live.len();
            live.retain(|fd| *fd != told.fd());
            assert_eq!(live.len(), before - 1, "deleted what was there");
        }
    }
    assert!(live.is_empty(), "{live:?}");
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED]).len(), 3);
    drop(idle);
    program.destroy();
    assert_eq!(program.service(0), 1, "a context that is over");
}

#[test]
fn a_context_that_cannot_be_made_is_null() {
    let refused = |plan: Plan| Program::try_with(&plan, 1).is_none();
    assert!(refused(Plan {
        names: Vec::new(),
        ..Plan::default()
    }));
    assert!(refused(Plan {
        interface: Some(c"no-such-if"),
        ..Plan::default()
    }));
    assert!(refused(Plan {
        files: Some((c"/nonexistent/cert".into(), c"/nonexistent/key".into())),
        ..Plan::default()
    }));
    let occupied = Program::new();
    // SAFETY: as in `Program`.
    let second = unsafe {
        libwebsocket_create_context(
            i32::from(occupied.port),
            c"lo".as_ptr(),
            occupied.protocols,
            std::ptr::null(),
            std::ptr::null(),
            -1,
            -1,
            0,
        )
    };
    assert!(second.is_null());
    let live = |reason| told_of(&[reason]).len();
    assert_eq!(
        live(LWS_CALLBACK_ADD_POLL_FD),
        live(LWS_CALLBACK_DEL_POLL_FD) + 2
    );
}
