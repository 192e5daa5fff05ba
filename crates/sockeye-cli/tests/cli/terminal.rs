//! Pastes and passwords: what comes from a terminal all at once, and what it must not show.

use crate::peer::{CLOSE, Host, TEXT, close, field};
use crate::prompt::Session;

#[test]
fn a_paste_arrives_whole() {
    let host = Host::new();
    let mut session = Session::start(&["connect", &host.url()], false);
    let mut peer = host.accept_socket();
    session.see("> ");
    session.press("hello terminal\n");
    peer.expect(TEXT, "hello terminal");
    // More than is read from a terminal at once.
    let long = "päste ".repeat(300);
    session.press(&format!("one\rtwo\r{long}\rthree"));
    for line in ["one", "two", &long] {
        peer.expect(TEXT, line);
    }
    session.press("\r");
    peer.expect(TEXT, "three");
    // As terminals mark it.
    let long = "päste ".repeat(800);
    session.press(&format!("\x1b[200~{long}\nfour\x1b[201~\r"));
    for line in [&*long, "four"] {
        peer.expect(TEXT, line);
    }
    session.press("\x04");
    assert_eq!(peer.receive_close(), 1000);
    peer.send(CLOSE, close(1000, ""));
    drop(peer);
    assert_eq!(session.end().0, Some(0));
}

#[test]
fn what_is_typed_before_there_is_a_prompt_counts() {
    let host = Host::new();
    let mut session = Session::start(&["connect", &host.url()], false);
    // It connects, and the terminal takes lines by itself until the server has answered.
    session.press("one\rtwo\rhal");
    session.see("two");
    let mut peer = host.accept_socket();
    for line in ["one", "two"] {
        peer.expect(TEXT, line);
    }
    session.see("> hal");
    session.press("f\n");
    peer.expect(TEXT, "half");
    peer.send(CLOSE, close(1000, ""));
    peer.receive_close();
    drop(peer);
    assert_eq!(session.end().0, Some(0));
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let host = Host::new();
    let url = host.url();
    let mut session = Session::start(&["connect", &url, "--user", "Aladdin"], false);
    session.see("Password of Aladdin for ws://");
    session.wait_for_discretion();
    session.press("open sesame\n");
    let (mut peer, head) = host.accept_with("");
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(field(&head, "authorization"), Some(basic));
    peer.send(CLOSE, close(1000, ""));
    peer.receive_close();
    drop(peer);
    let (code, seen) = session.end();
    assert_eq!(code, Some(0));
    assert!(!seen.contains("sesame"), "{seen:?}");
}

#[test]
fn ctrl_c_instead_of_a_password_gives_the_terminal_back() {
    let mut session = Session::start(&["ping", "ws://127.0.0.1:1/", "--user", "bob"], false);
    session.see("Password of bob for ");
    session.wait_for_discretion();
    session.press("half\x03");
    let (code, seen) = session.end();
    assert_eq!(code, Some(130));
    assert!(!seen.contains("half"), "{seen:?}");
}
