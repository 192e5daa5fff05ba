//! Certificates that are replaced while the server runs.

use sockeye::tls::ServerTls;

use crate::certificate::{Ca, Pair};
use crate::pairs;
use crate::rig::{Client, Server, client_tls, der, identity, server_options};

const CONNECTIONS: usize = 1000;

#[test]
fn thousand_connections_stay_and_new_ones_get_the_new_certificate() {
    let ca = Ca::new("root");
    let (old, new) = (ca.server(&["localhost"]), ca.server(&["localhost"]));
    for (client, backend) in pairs() {
        if client != backend {
            continue;
        }
        let tls = ServerTls::new(server_options(backend, &old)).unwrap();
        let server = Server::start(tls.clone());
        let url = server.url("localhost");
        let mut engine = Client::new();
        let trust = client_tls(client, &ca);
        let ids: Vec<_> = (0..CONNECTIONS)
            .map(|_| engine.connect(&url, &trust))
            .collect();
        engine.wait(|log| log.opened + log.failed.len() == CONNECTIONS);
        assert!(engine.log.borrow().failed.is_empty());

        let shown = |engine: &mut Client| {
            engine.open(&url, &trust);
            let tls = engine.log.borrow().tls.clone();
            tls.unwrap().peer_certificates.remove(0)
        };
        assert!(shown(&mut engine) == der(&old));

        let mixed = Pair {
            certificate: new.certificate.clone(),
            key: old.key.clone(),
        };
        let bad = server_options(backend, &new).identity(identity(&mixed));
        let error = tls.reload(bad).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TLS settings: the private key does not fit the certificate"
        );
        assert!(shown(&mut engine) == der(&old));

        // Traffic on all of them, with the change in the middle of it.
        for &id in &ids {
            engine.send(id, &b"before"[..]);
        }
        tls.reload(server_options(backend, &new)).unwrap();
        for &id in &ids {
            engine.send(id, &b"after"[..]);
        }
        assert!(shown(&mut engine) == der(&new));
        engine.wait(|log| log.messages.len() == 2 * CONNECTIONS);
        let log = engine.log.borrow();
        assert!(log.closed.is_empty() && log.failed.is_empty());
    }
}
