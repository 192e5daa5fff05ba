//! What two well-meaning sides do.

use sockeye::tls::{Roots, ServerTls, ServerTlsOptions};
use sockeye::{CloseCause, CloseCode, Message};

use crate::certificate::Ca;
use crate::rig::{Client, Server, client_tls, der, identity, server_options};
use crate::{backends, pairs};

#[test]
fn messages_of_all_sizes_come_back() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost", "127.0.0.1"]);
    for (client, server) in pairs() {
        let tls = ServerTls::new(server_options(server, &pair)).unwrap();
        let server = Server::start(tls);
        let mut client_engine = Client::new();
        for host in ["localhost", "127.0.0.1"] {
            let tls = client_tls(client, &ca);
            let id = client_engine.open(&server.url(host), &tls);
            for len in [
                0,
                1,
                125,
                126,
                4_000,
                16_370,
                16_384,
                16_390,
                65_536,
                300_000,
                1 << 20,
            ] {
                let message: Vec<u8> = (0..len).map(|at| (at * 7 % 251) as u8).collect();
                client_engine.echo(id, &message);
            }
            // Many at once, in one write and one read.
            client_engine.log.borrow_mut().messages.clear();
            for number in 0..1000 {
                client_engine.send(id, Message::Text(&format!("number {number}")));
            }
            client_engine.wait(|log| log.messages.len() == 1000);
            for (number, message) in client_engine.log.borrow().messages.iter().enumerate() {
                assert_eq!(message, format!("number {number}").as_bytes());
            }
            client_engine
                .engine
                .core()
                .close(id, CloseCode::NORMAL, "bye");
            client_engine.wait(|log| log.closed.len() == 1);
            let info = client_engine.log.borrow_mut().closed.pop().unwrap();
            assert!(info.clean, "{info}");
            server.accepted();
            assert_eq!(server.closed(), CloseCause::Handshake);
        }
    }
}

#[test]
fn both_sides_see_what_was_agreed_on() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for (client, server) in pairs() {
        let tls = ServerTls::new(server_options(server, &pair)).unwrap();
        let server = Server::start(tls);
        let mut client_engine = Client::new();
        client_engine.open(&server.url("localhost"), &client_tls(client, &ca));
        let there = server.accepted();
        let here = client_engine.log.borrow().tls.clone().unwrap();
        for info in [&here, &there] {
            assert_eq!(info.version, Some("TLSv1.3"));
            assert_eq!(info.alpn.as_deref(), Some(&b"http/1.1"[..]));
        }
        assert_eq!(here.cipher_suite, there.cipher_suite);
        assert_eq!(here.peer_certificates, [der(&pair)]);
        assert_eq!(there.server_name.as_deref(), Some("localhost"));
        assert!(there.peer_certificates.is_empty());
    }
}

#[test]
fn certificate_is_chosen_by_name() {
    let ca = Ca::new("root");
    let (first, second) = (ca.server(&["127.0.0.1"]), ca.server(&["localhost"]));
    for (client, server) in pairs() {
        let options = server_options(server, &first).identity(identity(&second));
        let server = Server::start(ServerTls::new(options).unwrap());
        let mut client_engine = Client::new();
        for (host, shown) in [("127.0.0.1", &first), ("localhost", &second)] {
            client_engine.open(&server.url(host), &client_tls(client, &ca));
            let info = client_engine.log.borrow().tls.clone().unwrap();
            assert_eq!(info.peer_certificates, [der(shown)]);
        }
    }
}

#[test]
fn client_names_the_step_and_the_cause() {
    let ca = Ca::new("root");
    for (client, server) in pairs() {
        let tls = client_tls(client, &ca);
        for (pair, cause) in [
            (
                ca.expired_server(&["localhost"], 3),
                "certificate expired 3 days ago",
            ),
            (
                Ca::new("other").server(&["localhost"]),
                "certificate is signed by nobody that is trusted here",
            ),
            (
                ca.server(&["example.test"]),
                "certificate is for another name: example.test, not localhost",
            ),
        ] {
            let server = ServerTls::new(server_options(server, &pair)).unwrap();
            let server = Server::start(server);
            assert_eq!(
                Client::new().refused(&server.url("localhost"), &tls),
                format!("TLS to localhost: {cause}")
            );
        }
    }
}

#[test]
fn broken_settings_are_refused_before_anything_listens() {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    for backend in backends() {
        let none = ServerTlsOptions::default().backend(backend);
        assert!(ServerTls::new(none).is_err());
    }
    let missing = sockeye::tls::Identity::from_pem_files("no-such.pem", "no-such.key");
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .starts_with("read no-such.pem: ")
    );
    let swapped = sockeye::tls::Identity::from_pem(pair.key.as_bytes(), pair.key.as_bytes());
    assert_eq!(
        swapped.unwrap_err().to_string(),
        "certificate chain: there is no certificate (BEGIN CERTIFICATE) in it"
    );
    assert!(Roots::none().with_pem(b"").is_err());
}
