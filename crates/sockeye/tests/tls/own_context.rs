//! OpenSSL's contexts in the hands of the program, and clients that take what is self-signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::ssl::SslVerifyMode;
use openssl::x509::X509;
#[cfg(feature = "tls")]
use sockeye::tls::Roots;
use sockeye::tls::{Backend, ClientTls, ClientTlsOptions, ServerTls};

use crate::certificate::{Ca, self_signed};
use crate::rig::{Client, Server, client_tls, identity, roots, server_options};

#[test]
fn the_program_completes_both_contexts() {
    let (ca, clients) = (Ca::new("root"), Ca::new("root of clients"));
    let calls = Arc::new(AtomicUsize::new(0));
    let trusted = X509::from_pem(clients.pem().as_bytes()).unwrap();
    let counter = Arc::clone(&calls);
    let options = server_options(Backend::OpenSsl, &ca.server(&["localhost"]));
    let options = options.configure_openssl(move |context| {
        counter.fetch_add(1, Ordering::Relaxed);
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        context.cert_store_mut().add_cert(trusted.clone())
    });
    let server = Server::start(ServerTls::new(options).unwrap());
    // The roots come by the hook, besides none.
    let root = X509::from_pem(ca.pem().as_bytes()).unwrap();
    let other = Ca::new("other");
    let client = |shown| {
        let root = root.clone();
        let options = ClientTlsOptions::new(roots(&other)).identity(identity(&shown));
        let options = options
            .configure_openssl(move |context| context.cert_store_mut().add_cert(root.clone()));
        ClientTls::new(options).unwrap()
    };
    let url = server.url("localhost");
    let mut engine = Client::new();
    let id = engine.open(&url, &client(clients.client("alice")));
    engine.echo(id, b"hello");
    let refused = engine.refused(&url, &client(ca.client("mallory")));
    assert!(refused.contains("the peer refused: "), "{refused}");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn self_signed_certificates_are_taken_only_by_who_wants_them() {
    let ca = Ca::new("root");
    let strict = client_tls(Backend::OpenSsl, &ca);
    let lenient = strict.dangerous_accept_self_signed().unwrap();
    for (pair, taken) in [
        (self_signed(&["localhost"], false), true),
        (self_signed(&["somewhere.else"], false), true),
        (self_signed(&["localhost"], true), true),
        // What somebody else signed is judged as ever.
        (Ca::new("stranger").server(&["localhost"]), false),
        (ca.server(&["somewhere.else"]), false),
        (ca.expired_server(&["localhost"], 3), false),
    ] {
        let options = server_options(Backend::OpenSsl, &pair);
        let server = Server::start(ServerTls::new(options).unwrap());
        let mut engine = Client::new();
        for host in ["localhost", "127.0.0.1"] {
            let url = server.url(host);
            engine.refused(&url, &strict);
            match taken {
                true => {
                    let id = engine.open(&url, &lenient);
                    engine.echo(id, b"hello");
                }
                false => drop(engine.refused(&url, &lenient)),
            }
        }
    }
    // It trusts all else that it trusted before.
    let server = Server::start(
        ServerTls::new(server_options(Backend::OpenSsl, &ca.server(&["localhost"]))).unwrap(),
    );
    let mut engine = Client::new();
    let id = engine.open(&server.url("localhost"), &lenient);
    engine.echo(id, b"hello");
}

#[test]
#[cfg(feature = "tls")]
fn only_openssl_tells_them_apart() {
    let options = ClientTlsOptions::new(Roots::mozilla()).backend(Backend::Rustls);
    let tls = ClientTls::new(options).unwrap();
    assert!(tls.dangerous_accept_self_signed().is_err());
}
