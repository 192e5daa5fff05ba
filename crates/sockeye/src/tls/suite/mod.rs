//! One suite for all backends: two sessions over a wire in memory that passes bytes on in pieces of
//! any size, each backend as client against each as server.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

#[path = "../../../tests/tls/certificate.rs"]
mod certificate;
mod trust;
mod wire;

use std::io::{self, ErrorKind, IoSlice};

use self::certificate::{Ca, Pair};
use self::trust::{
    addresses_are_verified, bad_servers_are_refused_with_reason, certificate_is_chosen_by_name,
    clients_are_verified, der, self_signed_certificate_can_be_a_root, shown_for,
};
use self::wire::{End, pair};
use super::session::{Session, TlsInfo};
use super::{
    Backend, ClientCertificates, ClientTls, ClientTlsOptions, Identity, Roots, ServerTls,
    ServerTlsOptions, TlsError,
};

/// The engine's, and one that is smaller than a record.
const BUFFERS: [usize; 3] = [256 * 1024, 64 * 1024, 1000];

fn identity(pair: &Pair) -> Identity {
    Identity::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes()).unwrap()
}

fn roots(ca: &Ca) -> Roots {
    Roots::none().with_pem(ca.pem().as_bytes()).unwrap()
}

/// A session and its end of the wire.
struct Side {
    session: Box<dyn Session>,
    end: End,
    received: Vec<u8>,
    buffer: Vec<u8>,
    /// How its reading ended.
    ended: Option<Result<(), TlsError>>,
}

impl Side {
    fn new(session: Box<dyn Session>, end: End, buffer_len: usize) -> Self {
        Self {
            session,
            end,
            received: Vec::new(),
            buffer: vec![0; buffer_len],
            ended: None,
        }
    }

    /// Reads as the engine does: what is reported, and what nothing will report. Returns whether
    /// anything came.
    fn read(&mut self) -> bool {
        if self.ended.is_some() || !(self.end.is_readable() || self.session.has_plaintext()) {
            return false;
        }
        match self.session.read(&mut self.end, &mut self.buffer) {
            Ok(0) => self.ended = Some(Ok(())),
            Ok(len) => self.received.extend_from_slice(&self.buffer[..len]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => self.ended = Some(Err(TlsError::from_io(error).unwrap())),
        }
        true
    }

    fn flush(&mut self) {
        match self.session.flush(&mut self.end) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            _ => {}
        }
    }

    fn write(&mut self, slices: &[&[u8]]) -> usize {
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        match self.session.write_vectored(&mut self.end, &slices) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    fn shutdown(&mut self) {
        match self.session.shutdown_write(&mut self.end) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            _ => {}
        }
    }
}

/// A client and a server.
struct Talk {
    client: Side,
    server: Side,
}

impl Talk {
    fn new(client: &ClientTls, server: &ServerTls, name: &str) -> Self {
        Self::over(client, server, name, usize::MAX, BUFFERS[0])
    }

    fn over(
        client: &ClientTls,
        server: &ServerTls,
        name: &str,
        step: usize,
        buffer_len: usize,
    ) -> Self {
        let (here, there) = pair(step);
        Self {
            client: Side::new(client.connect(name).unwrap(), here, buffer_len),
            server: Side::new(server.accept().unwrap(), there, buffer_len),
        }
    }

    /// Passes everything on, till nothing moves any more.
    fn settle(&mut self) {
        loop {
            self.client.flush();
            self.server.flush();
            let moved = self.client.read() | self.server.read();
            let waits = self.client.session.wants_write() || self.server.session.wants_write();
            if !moved && !waits {
                return;
            }
        }
    }

    fn shake_hands(mut self) -> Self {
        self.settle();
        assert!(self.client.ended.is_none(), "{:?}", self.client.ended);
        assert!(self.server.ended.is_none(), "{:?}", self.server.ended);
        assert!(!self.client.session.is_handshaking());
        assert!(!self.server.session.is_handshaking());
        self
    }

    /// What each side says of a handshake that is to fail.
    fn refusal(mut self) -> (Option<String>, Option<String>) {
        self.settle();
        let text = |ended: Option<Result<(), TlsError>>| match ended {
            None => None,
            Some(Ok(())) => Some("end".to_owned()),
            Some(Err(error)) => Some(error.to_string()),
        };
        // Whoever gives up hangs up.
        if self.client.ended.is_some() {
            self.client.end.hang_up();
        }
        if self.server.ended.is_some() {
            self.server.end.hang_up();
        }
        self.settle();
        (text(self.client.ended), text(self.server.ended))
    }

    /// Sends from one side to the other in slices of these lengths.
    fn carry(&mut self, from_client: bool, lens: &[usize]) {
        let data: Vec<Vec<u8>> = lens
            .iter()
            .enumerate()
            .map(|(index, &len)| (0..len).map(|at| (index * 31 + at * 7) as u8).collect())
            .collect();
        let all: Vec<u8> = data.concat();
        let mut written = 0;
        while written < all.len() {
            // The slices behind what was taken, as an outbox offers them.
            let mut skip = written;
            let mut slices: Vec<&[u8]> = Vec::new();
            for slice in &data {
                let skipped = skip.min(slice.len());
                skip -= skipped;
                slices.push(&slice[skipped..]);
            }
            let from = if from_client {
                &mut self.client
            } else {
                &mut self.server
            };
            written += from.write(&slices);
            self.settle();
        }
        let to = if from_client {
            &mut self.server
        } else {
            &mut self.client
        };
        assert!(to.ended.is_none(), "{:?}", to.ended);
        assert_eq!(to.received.len(), all.len());
        assert!(std::mem::take(&mut to.received) == all, "not what was sent");
    }
}

/// What a test begins with: two backends, and a CA that the client trusts.
struct Setting {
    client: Backend,
    server: Backend,
    ca: Ca,
}

impl Setting {
    fn new(client: Backend, server: Backend) -> Self {
        Self {
            client,
            server,
            ca: Ca::new("test root"),
        }
    }

    fn client_options(&self) -> ClientTlsOptions {
        ClientTlsOptions::new(roots(&self.ca)).backend(self.client)
    }

    fn client(&self) -> ClientTls {
        ClientTls::new(self.client_options()).unwrap()
    }

    fn server_options(&self, pair: &Pair) -> ServerTlsOptions {
        ServerTlsOptions::new(identity(pair)).backend(self.server)
    }

    fn server(&self, pair: &Pair) -> ServerTls {
        ServerTls::new(self.server_options(pair)).unwrap()
    }

    fn localhost(&self) -> ServerTls {
        self.server(&self.ca.server(&["localhost", "127.0.0.1", "::1"]))
    }
}

fn carries_data(setting: &Setting) {
    let (client, server) = (setting.client(), setting.localhost());
    for step in [1, 7, 1000, 20_000, usize::MAX] {
        for buffer_len in BUFFERS {
            let mut talk = Talk::over(&client, &server, "localhost", step, buffer_len);
            // Said before the handshake is over.
            talk.carry(true, &[3, 500]);
            let large = if step < 1000 { 20_000 } else { 700_000 };
            for lens in [
                &[1][..],
                &[0, 4, 125, 0, 4, 16_384],
                &[16_384, 16_385, 1],
                &[large],
                &[10, large, 10, large],
                &[2; 100],
            ] {
                talk.carry(true, lens);
                talk.carry(false, lens);
            }
        }
    }
}

fn end_is_announced_or_cut_off(setting: &Setting) {
    let (client, server) = (setting.client(), setting.localhost());
    for buffer_len in BUFFERS {
        let talk =
            || Talk::over(&client, &server, "localhost", usize::MAX, buffer_len).shake_hands();
        let mut announced = talk();
        announced.client.write(&[b"last words"]);
        announced.client.shutdown();
        announced.settle();
        assert_eq!(announced.server.received, b"last words");
        assert!(matches!(announced.server.ended, Some(Ok(()))));
        // The other direction is still open.
        announced.carry(false, &[5, 20_000]);
        announced.server.shutdown();
        announced.settle();
        assert!(matches!(announced.client.ended, Some(Ok(()))));

        let mut cut = talk();
        cut.server.write(&[b"half a sent"]);
        cut.server.end.hang_up();
        cut.settle();
        assert_eq!(cut.client.received, b"half a sent");
        assert!(matches!(cut.client.ended, Some(Err(TlsError::Truncated))));

        let mut early = Talk::over(&client, &server, "localhost", usize::MAX, buffer_len);
        early.client.flush();
        early.client.end.hang_up();
        early.settle();
        assert!(matches!(early.server.ended, Some(Err(TlsError::Truncated))));
    }
}

fn what_came_before_garbage_is_delivered(setting: &Setting) {
    let (client, server) = (setting.client(), setting.localhost());
    for buffer_len in BUFFERS {
        let mut talk =
            Talk::over(&client, &server, "localhost", usize::MAX, buffer_len).shake_hands();
        talk.client.write(&[&[b'x'; 30_000]]);
        talk.client.end.write_raw(&[0x17, 3, 3, 0, 32]);
        talk.client.end.write_raw(&[0xaa; 32]);
        talk.settle();
        assert_eq!(talk.server.received, vec![b'x'; 30_000]);
        assert!(matches!(
            talk.server.ended,
            Some(Err(TlsError::Protocol(_)))
        ));
        // The client is told by an alert.
        assert!(matches!(talk.client.ended, Some(Err(TlsError::Alert(_)))));
    }
}

fn tells_what_was_agreed_on(setting: &Setting) {
    let pair = setting.ca.server(&["localhost"]);
    let talk = Talk::new(&setting.client(), &setting.server(&pair), "localhost").shake_hands();
    let (client, server) = (talk.client.session.info(), talk.server.session.info());
    for info in [&client, &server] {
        assert_eq!(info.version, Some("TLSv1.3"));
        let suite = info.cipher_suite.as_deref().unwrap();
        assert!(
            suite.starts_with("TLS_AES_") || suite.starts_with("TLS_CHACHA20_"),
            "{suite}"
        );
        assert_eq!(info.alpn.as_deref(), Some(&b"http/1.1"[..]));
    }
    assert_eq!(server.server_name.as_deref(), Some("localhost"));
    assert_eq!(client.server_name, None);
    assert_eq!(client.peer_certificates, [der(&pair)]);
    assert!(server.peer_certificates.is_empty());
}

fn strangers_to_tls_are_told_apart(setting: &Setting) {
    let (client, server) = (setting.client(), setting.localhost());
    for plain in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "220 mail.test ESMTP\r\n",
    ] {
        let mut talk = Talk::new(&client, &server, "localhost");
        talk.client.end.write_raw(plain.as_bytes());
        talk.server.read();
        assert!(
            matches!(talk.server.ended, Some(Err(TlsError::NotTls))),
            "{plain:?}: {:?}",
            talk.server.ended
        );
        let mut talk = Talk::new(&client, &server, "localhost");
        talk.server.end.write_raw(plain.as_bytes());
        talk.client.read();
        assert!(
            matches!(talk.client.ended, Some(Err(TlsError::NotTls))),
            "{plain:?}: {:?}",
            talk.client.ended
        );
    }
}

fn application_protocols_must_meet(setting: &Setting) {
    let pair = setting.ca.server(&["localhost"]);
    let server = |protocols: &[&str]| {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes());
        ServerTls::new(setting.server_options(&pair).alpn(protocols)).unwrap()
    };
    let client = setting.client();
    let talk = Talk::new(&client, &server(&["h2", "http/1.1"]), "localhost").shake_hands();
    let alpn = talk.client.session.info().alpn;
    assert_eq!(alpn.as_deref(), Some(&b"http/1.1"[..]));
    let talk = Talk::new(&client, &server(&[]), "localhost").shake_hands();
    assert_eq!(talk.client.session.info().alpn, None);
    let (told, said) = Talk::new(&client, &server(&["h2"]), "localhost").refusal();
    assert!(said.is_some());
    assert_eq!(
        told.as_deref(),
        Some("the peer refused: no common application protocol")
    );
}

fn settings_are_checked(setting: &Setting) {
    let pair = setting.ca.server(&["localhost"]);
    let other = setting.ca.server(&["localhost"]);
    let text = |error: Option<TlsError>| error.map(|error| error.to_string());
    let mixed = Pair {
        certificate: pair.certificate.clone(),
        key: other.key.clone(),
    };
    let unfit = Some("TLS settings: the private key does not fit the certificate".to_owned());
    assert_eq!(
        text(ServerTls::new(setting.server_options(&mixed)).err()),
        unfit
    );
    let options = setting.client_options().identity(identity(&mixed));
    assert_eq!(text(ClientTls::new(options).err()), unfit);

    let none = ServerTlsOptions::default().backend(setting.server);
    assert!(matches!(ServerTls::new(none), Err(TlsError::NoIdentity)));
    let none = ClientTlsOptions::new(Roots::none()).backend(setting.client);
    assert!(matches!(ClientTls::new(none), Err(TlsError::NoRoots)));
    let asked = ClientCertificates::Required(Roots::none());
    let none = setting.server_options(&pair).client_certificates(asked);
    assert!(matches!(ServerTls::new(none), Err(TlsError::NoRoots)));
    for roots in [Roots::system(), Roots::mozilla()] {
        let options = ClientTlsOptions::new(roots).backend(setting.client);
        match ClientTls::new(options) {
            // A machine may have none.
            Ok(_) | Err(TlsError::NoRoots) => {}
            Err(error) => panic!("{error}"),
        }
    }

    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = Pair {
        certificate: broken.to_owned(),
        key: pair.key.clone(),
    };
    assert_eq!(
        text(ServerTls::new(setting.server_options(&broken)).err()).as_deref(),
        Some("TLS settings: the certificate is damaged")
    );
}

fn reload_is_for_the_next_connection(setting: &Setting) {
    let (old, new) = (
        setting.ca.server(&["localhost"]),
        setting.ca.server(&["localhost"]),
    );
    let server = setting.server(&old);
    let mut open = Talk::new(&setting.client(), &server, "localhost").shake_hands();
    let begun = Talk::new(&setting.client(), &server, "localhost");
    let mixed = Pair {
        certificate: new.certificate.clone(),
        key: old.key.clone(),
    };
    assert!(server.reload(setting.server_options(&mixed)).is_err());
    assert!(shown_for(setting, &server, "localhost") == der(&old));
    server.reload(setting.server_options(&new)).unwrap();
    assert!(shown_for(setting, &server, "localhost") == der(&new));
    open.carry(true, &[100]);
    open.carry(false, &[100]);
    let begun = begun.shake_hands();
    assert_eq!(begun.client.session.info().peer_certificates, [der(&old)]);
}

/// A peer that sends on and on without saying anything does not keep a thread.
fn endless_handshakes_are_interrupted(setting: &Setting) {
    struct Endless;
    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // A handshake message of 64 KB, in records of one byte.
            const RECORD: [u8; 6] = [22, 3, 1, 0, 1, 0];
            let len = buffer.len().min(RECORD.len());
            buffer[..len].copy_from_slice(&RECORD[..len]);
            Ok(len)
        }
    }
    impl io::Write for Endless {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for buffer_len in BUFFERS {
        let mut session = setting.localhost().accept().unwrap();
        let mut buffer = vec![0; buffer_len];
        let error = session.read(&mut Endless, &mut buffer).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Interrupted || error.kind() == ErrorKind::InvalidData,
            "{error}"
        );
    }
}

macro_rules! suite {
    ($($module:ident: $client:ident $server:ident, if $feature:meta;)*) => {$(
        #[cfg($feature)]
        mod $module {
            use super::{Backend, Setting};

            fn setting() -> Setting {
                Setting::new(Backend::$client, Backend::$server)
            }

            suite!(@tests
                carries_data
                end_is_announced_or_cut_off
                what_came_before_garbage_is_delivered
                tells_what_was_agreed_on
                certificate_is_chosen_by_name
                addresses_are_verified
                bad_servers_are_refused_with_reason
                self_signed_certificate_can_be_a_root
                clients_are_verified
                strangers_to_tls_are_told_apart
                application_protocols_must_meet
                settings_are_checked
                reload_is_for_the_next_connection
                endless_handshakes_are_interrupted
            );
        }
    )*};
    (@tests $($test:ident)*) => {$(
        #[test]
        fn $test() {
            super::$test(&setting());
        }
    )*};
}

suite! {
    rustls_rustls: Rustls Rustls, if feature = "tls";
    openssl_openssl: OpenSsl OpenSsl, if feature = "openssl";
    rustls_openssl: Rustls OpenSsl, if all(feature = "tls", feature = "openssl");
    openssl_rustls: OpenSsl Rustls, if all(feature = "tls", feature = "openssl");
}
