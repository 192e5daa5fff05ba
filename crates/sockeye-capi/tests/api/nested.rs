//! Calls from within callbacks: on the same connection, on others, on the context.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use websockets::abi::*;
use websockets::export::*;

use super::program::*;
use super::wire::Peer;

#[test]
fn a_connection_may_close_itself_in_any_callback() {
    for reason in [
        LWS_CALLBACK_ADD_POLL_FD,
        LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION,
        LWS_CALLBACK_ESTABLISHED,
        LWS_CALLBACK_RECEIVE,
        LWS_CALLBACK_CLIENT_WRITEABLE,
        LWS_CALLBACK_BROADCAST,
        LWS_CALLBACK_SET_MODE_POLL_FD,
        LWS_CALLBACK_DEL_POLL_FD,
        LWS_CALLBACK_CLOSED,
    ] {
        let program = Program::new();
        let fixtures: Vec<Wsi> = told_of(&[LWS_CALLBACK_ADD_POLL_FD])
            .iter()
            .map(|told| told.wsi)
            .collect();
        let protocol = program.protocol(1);
        on_callback(move |told| {
            if fixtures.contains(&told.wsi) {
                return 0;
            }
            match told.reason {
                _ if told.reason == reason => {
                    close(told.wsi, LWS_CLOSE_STATUS_NORMAL);
                    // It is gone: nothing of this does anything.
                    close(told.wsi, LWS_CLOSE_STATUS_NORMAL);
                    assert_eq!(write(told.wsi, b"x", LWS_WRITE_TEXT), -1);
                    assert_eq!(want_room(told.wsi), 1);
                }
                LWS_CALLBACK_ESTABLISHED => {
                    want_room(told.wsi);
                }
                LWS_CALLBACK_CLIENT_WRITEABLE => {
                    // SAFETY: the program's protocol and a byte.
                    unsafe { libwebsockets_broadcast(protocol, [0_u8].as_mut_ptr(), 1) };
                }
                _ => {}
            }
            0
        });
        let mut peer = Peer::new(&program);
        peer.send(super::wire::upgrade(Some("one")).as_bytes());
        peer.frame(0x81, b"one");
        peer.frame(0x81, b"two");
        if [LWS_CALLBACK_DEL_POLL_FD, LWS_CALLBACK_CLOSED].contains(&reason) {
            peer.frame(0x88, b"");
        }
        peer.rest();
        let about = |reason| told_of(&[reason]).len();
        let established = about(LWS_CALLBACK_ESTABLISHED);
        assert_eq!(about(LWS_CALLBACK_CLOSED), established, "{}", word(reason));
        assert_eq!(about(LWS_CALLBACK_DEL_POLL_FD), 1, "{}", word(reason));
        let after = told();
        let end = after
            .iter()
            .position(|told| told.reason == LWS_CALLBACK_DEL_POLL_FD)
            .unwrap();
        let rest = &after[end + 1..];
        assert!(
            rest.iter().all(|told| told.reason == LWS_CALLBACK_CLOSED),
            "{}",
            word(reason)
        );
    }
}

#[test]
fn a_session_lives_until_the_callback_that_ended_it_returns() {
    let program = Program::with(Plan {
        session_len: 4096,
        ..Plan::default()
    });
    on_callback(|told| {
        if told.reason == LWS_CALLBACK_RECEIVE {
            close(told.wsi, 0);
            // SAFETY: the session's memory, which lives as long as this callback.
            unsafe { std::slice::from_raw_parts_mut(told.user.cast::<u8>(), 4096) }.fill(1);
        }
        0
    });
    let mut peer = Peer::open(&program, Some("one"));
    peer.frame(0x82, &[0; 9000]);
    peer.rest();
    assert_eq!(
        told_of(&[LWS_CALLBACK_RECEIVE]).len(),
        1,
        "the rest of it is dropped"
    );
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED]).len(), 1);
}

#[test]
fn a_callback_may_write_to_and_close_others() {
    let program = Program::new();
    let others: Rc<RefCell<Vec<Wsi>>> = Rc::default();
    let known = Rc::clone(&others);
    on_callback(move |told| {
        match told.reason {
            LWS_CALLBACK_ESTABLISHED => known.borrow_mut().push(told.wsi),
            LWS_CALLBACK_RECEIVE => {
                for (index, other) in known.borrow().iter().enumerate() {
                    assert_eq!(write(*other, b"all", LWS_WRITE_TEXT), 0);
                    if index == 1 {
                        close(*other, LWS_CLOSE_STATUS_GOINGAWAY);
                        assert_eq!(write(*other, b"more", LWS_WRITE_TEXT), -1);
                    }
                }
            }
            _ => {}
        }
        0
    });
    let mut peers: Vec<Peer<'_>> = (0..3).map(|_| Peer::open(&program, Some("one"))).collect();
    peers[0].frame(0x81, b"go");
    for peer in &mut peers {
        assert_eq!(peer.take(5), b"\x81\x03all");
    }
    assert_eq!(peers[1].rest(), b"\x88\x02\x03\xe9");
    let closed = told_of(&[LWS_CALLBACK_CLOSED]);
    assert_eq!(
        closed[0].wsi,
        others.borrow()[1],
        "told within the callback that closed it"
    );
    assert_eq!(closed.len(), 1);
}

#[test]
fn a_callback_may_connect() {
    let program = Program::new();
    let port = i32::from(program.port);
    let client = Rc::new(Cell::new(std::ptr::null_mut()));
    let made = Rc::clone(&client);
    on_callback(move |told| {
        if told.reason == LWS_CALLBACK_RECEIVE && told.protocol == 1 {
            // SAFETY: strings of C.
            let wsi = unsafe {
                libwebsocket_client_connect(
                    told.context,
                    c"127.0.0.1".as_ptr(),
                    port,
                    0,
                    c"/".as_ptr(),
                    c"localhost".as_ptr(),
                    std::ptr::null(),
                    c"two".as_ptr(),
                    -1,
                )
            };
            assert!(!wsi.is_null());
            assert!(protocol_of(wsi).is_null(), "none before its handshake");
            assert!(fd_of(wsi) > 2);
            want_room(wsi);
            made.set(wsi);
        }
        0
    });
    let mut peer = Peer::open(&program, Some("one"));
    peer.frame(0x81, b"connect");
    program.until_told(LWS_CALLBACK_CLIENT_WRITEABLE);
    assert_eq!(
        story(client.get()),
        [
            "add",
            "set",
            "clear",
            "client established",
            "set",
            "clear",
            "writeable"
        ]
        .into_iter()
        .collect::<Vec<_>>()
    );
    assert_eq!(protocol_of(client.get()), program.protocol(2).cast_const());
}

#[test]
fn broadcasts_may_nest_and_close() {
    let program = Program::new();
    let protocol = program.protocol(1);
    let depth = Rc::new(Cell::new(0));
    on_callback(move |told| {
        if told.reason == LWS_CALLBACK_BROADCAST {
            depth.set(depth.get() + 1);
            if depth.get() == 1 {
                // SAFETY: the program's protocol and the data at hand.
                let result =
                    unsafe { libwebsockets_broadcast(protocol, told.input.cast(), told.len) };
                assert_eq!(result, 0);
                close(told.wsi, 0);
            }
        }
        0
    });
    let _peers: Vec<Peer<'_>> = (0..3).map(|_| Peer::open(&program, Some("one"))).collect();
    let _other = Peer::open(&program, Some("two"));
    let (_client, _server) = program.pair(c"one");
    let mut data = *b"news";
    // SAFETY: the program's protocol and data.
    let result = unsafe { libwebsockets_broadcast(protocol, data.as_mut_ptr(), 4) };
    assert_eq!(result, 0);
    let told = told_of(&[LWS_CALLBACK_BROADCAST]);
    // Four by the outer one, and four by the inner, which came first for three of them.
    assert_eq!(told.len(), 8);
    assert!(
        told.iter()
            .all(|told| told.protocol == 1 && told.data == b"news")
    );
    assert!(
        told.iter()
            .all(|told| told.input == data.as_mut_ptr().cast())
    );
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED]).len(), 1);
}

#[test]
fn a_callback_may_end_the_context() {
    for reason in [
        LWS_CALLBACK_FILTER_NETWORK_CONNECTION,
        LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION,
        LWS_CALLBACK_ESTABLISHED,
        LWS_CALLBACK_RECEIVE,
        LWS_CALLBACK_CLIENT_WRITEABLE,
        LWS_CALLBACK_CLOSED,
    ] {
        let program = Program::new();
        on_callback(move |told| {
            if told.reason == LWS_CALLBACK_ESTABLISHED {
                want_room(told.wsi);
            }
            if told.reason == reason {
                // SAFETY: handles, live or not.
                unsafe {
                    libwebsocket_context_destroy(told.context);
                    assert_eq!(libwebsocket_service(told.context, 0), 1);
                }
            }
            0
        });
        let bystander = (reason == LWS_CALLBACK_RECEIVE).then(|| Peer::open(&program, Some("two")));
        let mut peer = Peer::new(&program);
        peer.send(super::wire::upgrade(Some("one")).as_bytes());
        peer.frame(0x81, b"x");
        let is_over = || program.service(20) == 1;
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut closing = false;
        while !is_over() {
            assert!(std::time::Instant::now() < deadline, "{}", word(reason));
            if reason == LWS_CALLBACK_CLOSED && !closing {
                peer.frame(0x88, b"");
                closing = true;
            }
        }
        let count = |reason| told_of(&[reason]).len();
        assert_eq!(
            count(LWS_CALLBACK_ADD_POLL_FD),
            count(LWS_CALLBACK_DEL_POLL_FD),
            "{}",
            word(reason)
        );
        assert_eq!(
            count(LWS_CALLBACK_ESTABLISHED),
            count(LWS_CALLBACK_CLOSED),
            "{}",
            word(reason)
        );
        drop(bystander);
    }
}

#[test]
fn serving_within_a_turn_of_the_engine_serves_nothing() {
    let program = Program::new();
    on_callback(|told| {
        if told.reason == LWS_CALLBACK_RECEIVE {
            // SAFETY: a live context.
            assert_eq!(unsafe { libwebsocket_service(told.context, 1000) }, 1);
        }
        0
    });
    let mut peer = Peer::open(&program, Some("one"));
    peer.frame(0x81, b"x");
    program.until_told(LWS_CALLBACK_RECEIVE);
    peer.frame(0x81, b"y");
    program.until("the next", || told_of(&[LWS_CALLBACK_RECEIVE]).len() == 2);
}

#[test]
fn handles_of_the_past_and_foreign_ones_do_nothing() {
    let program = Program::new();
    let (client, server) = program.pair(c"one");
    close(server, LWS_CLOSE_STATUS_NORMAL);
    program.until("the client's end", || {
        told_of(&[LWS_CALLBACK_CLOSED]).len() == 2
    });
    let (new_client, new_server) = program.pair(c"one");
    let local = 0_u64;
    let foreign = std::ptr::from_ref(&local).cast_mut();
    for wsi in [
        client,
        server,
        std::ptr::null_mut(),
        foreign.cast(),
        program.context.cast(),
    ] {
        assert_eq!(write(wsi, b"x", LWS_WRITE_TEXT), -1);
        assert_eq!(write(wsi, b"x", LWS_WRITE_HTTP), -1);
        assert_eq!(fd_of(wsi), -1);
        assert!(protocol_of(wsi).is_null());
        assert_eq!(want_room(wsi), 1);
        assert_eq!(flow(wsi, false), 0);
        assert_eq!(remaining(wsi), 0);
        set_timeout(wsi, PENDING_TIMEOUT_AWAITING_PING, 0);
        close(wsi, LWS_CLOSE_STATUS_NORMAL);
        // SAFETY: strings of C.
        unsafe {
            assert_eq!(
                libwebsockets_serve_http_file(wsi, c"/".as_ptr(), c"x".as_ptr()),
                -1
            );
        }
    }
    for context in [std::ptr::null_mut(), foreign.cast(), new_client.cast()] {
        // SAFETY: what is no context is not looked into.
        unsafe {
            assert_eq!(libwebsocket_service(context, 0), 1);
            assert_eq!(libwebsocket_service_fd(context, std::ptr::null_mut()), 1);
            libwebsockets_hangup_on_client(context, 0);
            libwebsocket_context_destroy(context);
            assert_eq!(libwebsockets_fork_service_loop(context), -1);
            assert_eq!(text(libwebsocket_canonical_hostname(context)), "");
        }
    }
    let before = told_of(&[LWS_CALLBACK_CLOSED]).len();
    program.service(0);
    assert_eq!(told_of(&[LWS_CALLBACK_CLOSED]).len(), before);
    assert_eq!(write(new_server, b"fine", LWS_WRITE_TEXT), 0);
    program.until_told(LWS_CALLBACK_CLIENT_RECEIVE);
}
