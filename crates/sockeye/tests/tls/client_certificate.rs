//! Clients that show who they are.

use sockeye::tls::{Backend, ClientCertificates, ClientTls, ClientTlsOptions, ServerTls};

use crate::certificate::{Ca, Pair};
use crate::pairs;
use crate::rig::{Client, Server, der, identity, roots, server_options};

fn tls(backend: Backend, ca: &Ca, shown: Option<&Pair>) -> ClientTls {
    let options = ClientTlsOptions::new(roots(ca)).backend(backend);
    ClientTls::new(match shown {
        None => options,
        Some(pair) => options.identity(identity(pair)),
    })
    .unwrap()
}

#[test]
fn required() {
    let (ca, clients) = (Ca::new("root"), Ca::new("root of clients"));
    let pair = ca.server(&["localhost"]);
    let good = clients.client("alice");
    for (client, server) in pairs() {
        let asked = ClientCertificates::Required(roots(&clients));
        let options = server_options(server, &pair).client_certificates(asked);
        let server = Server::start(ServerTls::new(options).unwrap());
        let url = server.url("localhost");
        let mut engine = Client::new();
        let id = engine.open(&url, &tls(client, &ca, Some(&good)));
        assert_eq!(server.accepted().peer_certificates, [der(&good)]);
        engine.echo(id, b"hello");

        for shown in [
            None,
            Some(ca.client("mallory")),
            Some(clients.expired_client("bob", 3)),
        ] {
            let refused = engine.refused(&url, &tls(client, &ca, shown.as_ref()));
            assert!(
                refused.starts_with("TLS to localhost: the peer refused: "),
                "{refused}"
            );
        }
        // Nobody else came in, and whoever was there still is.
        assert!(server.seen.try_recv().is_err());
        engine.echo(id, b"still there");
    }
}

#[test]
fn optional() {
    let (ca, clients) = (Ca::new("root"), Ca::new("root of clients"));
    let pair = ca.server(&["localhost"]);
    let good = clients.client("alice");
    for (client, server) in pairs() {
        let asked = ClientCertificates::Optional(roots(&clients));
        let options = server_options(server, &pair).client_certificates(asked);
        let server = Server::start(ServerTls::new(options).unwrap());
        let url = server.url("localhost");
        let mut engine = Client::new();
        engine.open(&url, &tls(client, &ca, Some(&good)));
        assert_eq!(server.accepted().peer_certificates, [der(&good)]);
        engine.open(&url, &tls(client, &ca, None));
        assert!(server.accepted().peer_certificates.is_empty());
        // What is shown must be good, though nothing had to be.
        let expired = clients.expired_client("bob", 3);
        let refused = engine.refused(&url, &tls(client, &ca, Some(&expired)));
        assert!(refused.contains("the peer refused: "), "{refused}");
    }
}

#[test]
fn program_has_the_last_word() {
    let (ca, clients) = (Ca::new("root"), Ca::new("root of clients"));
    let pair = ca.server(&["localhost"]);
    let (alice, bob) = (clients.client("alice"), clients.client("bob"));
    for (client, server) in pairs() {
        let asked = ClientCertificates::Required(roots(&clients));
        let welcome = der(&alice);
        let options = server_options(server, &pair)
            .client_certificates(asked)
            .verifier(move |shown| shown == welcome);
        let server = Server::start(ServerTls::new(options).unwrap());
        let url = server.url("localhost");
        let mut engine = Client::new();
        engine.open(&url, &tls(client, &ca, Some(&alice)));
        let refused = engine.refused(&url, &tls(client, &ca, Some(&bob)));
        assert!(refused.contains("the peer refused: "), "{refused}");
    }
}
