//! The libraries themselves as clients: versions, resumption, and what our own client never does.

use sockeye::tls::ServerTls;

use crate::backends;
use crate::certificate::Ca;
use crate::rig::{Server, server_options};

#[cfg(feature = "tls")]
mod by_rustls {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

    use super::*;

    fn config(ca: &Ca, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn request(server: &Server, config: &Arc<ClientConfig>) -> (String, HandshakeKind) {
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut tls = StreamOwned::new(connection, server.tcp());
        tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        // It fails if the end is not announced.
        tls.read_to_string(&mut answer).unwrap();
        (answer, tls.conn.handshake_kind().unwrap())
    }

    #[test]
    fn both_versions_and_resumption() {
        let ca = Ca::new("root");
        let pair = ca.server(&["localhost"]);
        for backend in backends() {
            let server = Server::start(ServerTls::new(server_options(backend, &pair)).unwrap());
            for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
                let config = Arc::new(config(&ca, version));
                let (answer, kind) = request(&server, &config);
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
                assert_eq!(kind, HandshakeKind::Full);
                for _ in 0..3 {
                    let (answer, kind) = request(&server, &config);
                    assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
                    assert_eq!(kind, HandshakeKind::Resumed, "{backend:?} {version:?}");
                }
            }
        }
    }
}

#[cfg(feature = "openssl")]
mod by_openssl {
    use std::io::{Read, Write};

    use openssl::ssl::{SslConnector, SslMethod, SslVersion};
    use openssl::x509::X509;

    use super::*;

    fn versions(ca: &Ca, from: SslVersion, to: SslVersion) -> SslConnector {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        let root = X509::from_pem(ca.pem().as_bytes()).unwrap();
        connector.cert_store_mut().add_cert(root).unwrap();
        connector.set_security_level(0);
        connector.set_min_proto_version(Some(from)).unwrap();
        connector.set_max_proto_version(Some(to)).unwrap();
        connector.set_cipher_list("ALL").unwrap();
        connector.build()
    }

    #[test]
    fn old_versions_are_refused() {
        let ca = Ca::new("root");
        let pair = ca.server(&["localhost"]);
        for backend in backends() {
            let server = Server::start(ServerTls::new(server_options(backend, &pair)).unwrap());
            for (from, to, accepted) in [
                (SslVersion::TLS1, SslVersion::TLS1_1, false),
                (SslVersion::TLS1_2, SslVersion::TLS1_2, true),
                (SslVersion::TLS1_3, SslVersion::TLS1_3, true),
                (SslVersion::TLS1, SslVersion::TLS1_3, true),
            ] {
                let connector = versions(&ca, from, to);
                let connected = connector.connect("localhost", server.tcp());
                assert_eq!(connected.is_ok(), accepted, "{backend:?} {from:?} {to:?}");
                let Ok(mut tls) = connected else { continue };
                tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .unwrap();
                let mut answer = String::new();
                tls.read_to_string(&mut answer).unwrap();
                assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
            }
        }
    }
}
