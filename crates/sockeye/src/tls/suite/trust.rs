//! Who is believed: certificates chosen by name, and verified, on both sides.

use super::certificate::Ca;
use super::*;

pub(super) fn der(pair: &Pair) -> Vec<u8> {
    identity(pair).chain[0].to_vec()
}

pub(super) fn shown_for(setting: &Setting, server: &ServerTls, name: &str) -> Vec<u8> {
    let client = setting.client_options().dangerous_without_verification();
    let client = ClientTls::new(client).unwrap();
    let talk = Talk::new(&client, server, name).shake_hands();
    let TlsInfo {
        peer_certificates, ..
    } = talk.client.session.info();
    peer_certificates[0].clone()
}

pub(super) fn certificate_is_chosen_by_name(setting: &Setting) {
    let first = setting.ca.server(&["localhost"]);
    let second = setting.ca.server(&["example.test", "*.example.test"]);
    let third = setting.ca.server(&["special.example.test", "other.test"]);
    let options = setting
        .server_options(&first)
        .identity(identity(&second))
        .identity(identity(&third));
    let server = ServerTls::new(options).unwrap();
    for (name, expected) in [
        ("localhost", &first),
        ("example.test", &second),
        ("a.example.test", &second),
        ("special.example.test", &second),
        ("OTHER.test", &third),
        ("a.b.example.test", &first),
        ("unknown.test", &first),
        ("127.0.0.1", &first),
    ] {
        assert!(shown_for(setting, &server, name) == der(expected), "{name}");
    }
    // With verification, too.
    for name in ["localhost", "example.test", "a.example.test", "other.test"] {
        let talk = Talk::new(&setting.client(), &server, name).shake_hands();
        assert_eq!(
            talk.server.session.info().server_name.as_deref(),
            Some(name)
        );
    }
}

pub(super) fn addresses_are_verified(setting: &Setting) {
    let server = setting.localhost();
    for name in ["127.0.0.1", "::1", "[::1]", "localhost"] {
        Talk::new(&setting.client(), &server, name).shake_hands();
    }
    let (client, _) = Talk::new(&setting.client(), &server, "127.0.0.2").refusal();
    assert_eq!(
        client.as_deref(),
        Some("certificate is for another name: localhost, 127.0.0.1, ::1, not 127.0.0.2")
    );
}

pub(super) fn bad_servers_are_refused_with_reason(setting: &Setting) {
    let ca = &setting.ca;
    let stranger = Ca::new("nobody's root");
    let names = &["localhost"];
    for (pair, said, alert) in [
        (
            ca.expired_server(names, 3),
            "certificate expired 3 days ago",
            "the peer refused: certificate expired",
        ),
        (
            ca.future_server(names, 2),
            "certificate becomes valid only in 2 days",
            "",
        ),
        (
            ca.server(&["a.test", "b.test"]),
            "certificate is for another name: a.test, b.test, not localhost",
            "the peer refused: bad certificate",
        ),
        (
            stranger.server(names),
            "certificate is signed by nobody that is trusted here",
            "the peer refused: certificate of an unknown CA",
        ),
        (
            ca.client("localhost"),
            "certificate is for another purpose",
            "",
        ),
    ] {
        let server = setting.server(&pair);
        let (client, told) = Talk::new(&setting.client(), &server, "localhost").refusal();
        assert_eq!(client.as_deref(), Some(said));
        let told = told.unwrap();
        assert!(told.starts_with("the peer refused: "), "{told}");
        // Which alert it is differs where the RFC leaves a choice.
        assert!(
            alert.is_empty() || told == alert || told.contains("certificate"),
            "{told}"
        );

        let trusting = setting.client_options().dangerous_without_verification();
        let trusting = ClientTls::new(trusting).unwrap();
        Talk::new(&trusting, &server, "localhost").shake_hands();
    }
}

pub(super) fn self_signed_certificate_can_be_a_root(setting: &Setting) {
    for is_ca in [false, true] {
        let pair = certificate::self_signed(&["localhost"], is_ca);
        let trusted = Roots::none().with_pem(pair.certificate.as_bytes()).unwrap();
        let client = ClientTlsOptions::new(trusted).backend(setting.client);
        let client = ClientTls::new(client).unwrap();
        let server = setting.server(&pair);
        Talk::new(&client, &server, "localhost").shake_hands();
        let (said, _) = Talk::new(&client, &server, "example.test").refusal();
        assert_eq!(
            said.as_deref(),
            Some("certificate is for another name: localhost, not example.test")
        );
        let (said, _) = Talk::new(&setting.client(), &server, "localhost").refusal();
        assert!(said.is_some_and(|said| said.starts_with("certificate")));
    }
}

pub(super) fn clients_are_verified(setting: &Setting) {
    let clients = Ca::new("root of clients");
    let pair = setting.ca.server(&["localhost"]);
    let client = |shown: Option<&Pair>| {
        let options = setting.client_options();
        ClientTls::new(match shown {
            None => options,
            Some(pair) => options.identity(identity(pair)),
        })
        .unwrap()
    };
    let good = clients.client("alice");
    let expired = clients.expired_client("bob", 5);
    let strange = setting.ca.client("mallory");
    let wrong = clients.server(&["carol"]);

    for required in [false, true] {
        let asked = match required {
            false => ClientCertificates::Optional(roots(&clients)),
            true => ClientCertificates::Required(roots(&clients)),
        };
        let options = setting.server_options(&pair).client_certificates(asked);
        let server = ServerTls::new(options.clone()).unwrap();
        let mut talk = Talk::new(&client(Some(&good)), &server, "localhost").shake_hands();
        assert_eq!(talk.server.session.info().peer_certificates, [der(&good)]);
        talk.carry(true, &[10]);
        talk.carry(false, &[10]);

        let missing = Talk::new(&client(None), &server, "localhost");
        if required {
            let (told, said) = missing.refusal();
            assert_eq!(said.as_deref(), Some("the peer showed no certificate"));
            assert_eq!(
                told.as_deref(),
                Some("the peer refused: certificate required")
            );
        } else {
            let talk = missing.shake_hands();
            assert!(talk.server.session.info().peer_certificates.is_empty());
        }
        for (shown, problem) in [
            (&expired, "certificate expired 5 days ago"),
            (
                &strange,
                "certificate is signed by nobody that is trusted here",
            ),
            (&wrong, "certificate is for another purpose"),
        ] {
            let (told, said) = Talk::new(&client(Some(shown)), &server, "localhost").refusal();
            match said.as_deref() {
                // A client of rustls shows nothing that it was not asked for.
                Some("the peer showed no certificate") if required => {}
                None if !required => {}
                said => assert_eq!(said, Some(problem)),
            }
            assert!(
                said.is_none() || told.is_some_and(|told| told.starts_with("the peer refused: "))
            );
        }

        let expected = der(&good);
        let picky = options.verifier(move |shown| {
            assert_eq!(shown, expected);
            false
        });
        let server = ServerTls::new(picky).unwrap();
        let (told, said) = Talk::new(&client(Some(&good)), &server, "localhost").refusal();
        assert_eq!(
            said.as_deref(),
            Some("certificate is refused by the program")
        );
        assert!(told.is_some_and(|told| told.starts_with("the peer refused: ")));
    }
    // Not asked for, not shown.
    let server = setting.server(&pair);
    let talk = Talk::new(&client(Some(&good)), &server, "localhost").shake_hands();
    assert!(talk.server.session.info().peer_certificates.is_empty());
}
