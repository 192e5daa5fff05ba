//! Proxies: how the client gets through them, and what it says when it does not.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use sockeye::sim::Server;
use sockeye::{ConnectOptions, Proxy, Step};

use super::support::{Asked, Client, Rig, Seen, good_answer, greet, options, read_head, serve};

const URL: &str = "ws://server.test/feed";

fn via(url: &str, proxy: &str) -> ConnectOptions {
    options(url).proxy(proxy.parse::<Proxy>().unwrap())
}

/// A client that has just reached its proxy.
fn reached(proxy: &str, name: &str) -> (Rig, Server, sockeye::sim::Remote) {
    let mut rig = Rig::new();
    let server = rig.network.server(name);
    rig.client.connect(via(URL, proxy));
    rig.run();
    let remote = server.accept().unwrap();
    (rig, server, remote)
}

#[test]
fn through_an_http_proxy() {
    let (mut rig, _server, remote) = reached("http://me:pw@proxy.test:3128", "proxy.test:3128");
    let connect = String::from_utf8(remote.read()).unwrap();
    assert_eq!(
        connect,
        "CONNECT server.test:80 HTTP/1.1\r\nHost: server.test:80\r\n\
         Proxy-Authorization: Basic bWU6cHc=\r\n\r\n",
    );
    remote.write(b"HTTP/1.1 200 Connection established\r\n\r\n");
    rig.run();
    let asked = Asked::new(remote);
    assert!(
        asked
            .request
            .starts_with("GET /feed HTTP/1.1\r\nHost: server.test\r\n")
    );
    assert_eq!(asked.header("Proxy-Authorization"), None);
    asked.accept();
    rig.run();
    assert!(matches!(rig.client.seen()[..], [Seen::Open(..)]));
}

#[test]
fn through_a_socks_proxy() {
    let (mut rig, _server, remote) = reached("socks5h://me:pw@proxy.test", "proxy.test:1080");
    assert_eq!(remote.read(), b"\x05\x02\x00\x02");
    remote.write(b"\x05\x02");
    rig.run();
    assert_eq!(remote.read(), b"\x01\x02me\x02pw");
    remote.write(b"\x01\x00");
    rig.run();
    assert_eq!(remote.read(), b"\x05\x01\x00\x03\x0bserver.test\x00\x50");
    remote.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x09");
    rig.run();
    let asked = Asked::new(remote);
    asked.accept();
    rig.run();
    assert!(matches!(rig.client.seen()[..], [Seen::Open(..)]));
}

#[test]
fn what_proxies_say_instead() {
    let http = "http://proxy.test:3128";
    let socks = "socks5h://proxy.test:3128";
    for (proxy, answer, expected) in [
        (
            http,
            &b"HTTP/1.1 407 X\r\n\r\n"[..],
            "407 Proxy Authentication Required",
        ),
        (http, b"HTTP/1.0 502 X\r\n\r\n", "502 Bad Gateway"),
        (http, b"SSH-2.0-x\r\n", "does not speak HTTP/1.1"),
        (
            http,
            b"HTTP/1.1 200 OK\r\n\r\n\x81\x00",
            "before the server was asked",
        ),
        (http, &[b'x'; 9], "does not speak HTTP/1.1"),
        (socks, b"\x05\xff", "none of the ways to authenticate"),
        (
            socks,
            b"\x05\x00\x05\x05",
            "the host refused its connection",
        ),
        (
            socks,
            b"\x05\x00\x05\x02",
            "its rules forbid this connection",
        ),
        (
            socks,
            b"HTTP/1.1 400 Bad Request\r\n",
            "does not speak SOCKS5",
        ),
        (
            socks,
            b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0x",
            "before the server was asked",
        ),
    ] {
        let (mut rig, _server, remote) = reached(proxy, "proxy.test:3128");
        remote.write(answer);
        rig.run();
        let failure = rig.client.failure();
        assert_eq!(failure.step, Step::Proxy);
        let about = "proxy proxy.test:3128: ";
        assert!(
            failure.text.starts_with(about) && failure.text.contains(expected),
            "{failure:?}"
        );
        assert!(remote.is_released());
    }
}

/// An answer of every length, and then the end.
#[test]
fn a_proxy_that_drops_at_every_byte() {
    let head = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
    for (proxy, answer) in [
        ("http://proxy.test:3128", &head[..]),
        (
            "socks5h://proxy.test:3128",
            b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0",
        ),
    ] {
        for cut in 0..answer.len() {
            let (mut rig, _server, remote) = reached(proxy, "proxy.test:3128");
            remote.write(&answer[..cut]);
            remote.close();
            rig.run();
            let failure = rig.client.failure();
            assert!(
                failure.text.contains("closed the connection"),
                "{cut}: {failure:?}"
            );
        }
    }
}

#[test]
fn a_silent_proxy_runs_into_the_deadline() {
    let (mut rig, _server, _remote) = reached("http://proxy.test:3128", "proxy.test:3128");
    rig.advance(std::time::Duration::from_secs(10));
    let failure = rig.client.failure();
    assert_eq!(failure.text, "proxy proxy.test:3128: timed out");
}

#[test]
fn a_proxy_that_is_not_there() {
    let mut rig = Rig::new();
    rig.client.connect(via(URL, "http://proxy.test:3128"));
    rig.run();
    let failure = rig.client.failure();
    assert_eq!(failure.step, Step::Connect);
    assert!(
        failure.text.starts_with("connect proxy proxy.test:3128: "),
        "{failure:?}"
    );
}

#[test]
fn a_redirect_goes_through_the_proxy_again() {
    let mut rig = Rig::new();
    let server = rig.network.server("proxy.test:3128");
    let wanted = via(URL, "http://proxy.test:3128");
    rig.client.connect(wanted.max_redirects(1));
    rig.run();
    let open = b"HTTP/1.1 200 OK\r\n\r\n";
    let remote = server.accept().unwrap();
    remote.write(open);
    rig.run();
    remote.write(b"HTTP/1.1 302 X\r\nLocation: ws://other.test:9/\r\nContent-Length: 0\r\n\r\n");
    rig.run();
    let remote = server.accept().unwrap();
    assert!(remote.read().starts_with(b"CONNECT other.test:9 "));
    remote.write(open);
    rig.run();
    let asked = Asked::new(remote);
    asked.accept();
    rig.run();
    assert!(matches!(rig.client.seen()[..], [Seen::Open(..)]));
}

/// Carries bytes both ways until both ends are closed.
fn relay(client: TcpStream, server: TcpStream) {
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..len]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        })
    };
    pump(client.try_clone().unwrap(), server.try_clone().unwrap());
    pump(server, client);
}

/// A CONNECT proxy on a real socket that leads everywhere to one server.
fn http_proxy(server: std::net::SocketAddr) -> std::net::SocketAddr {
    serve("127.0.0.1:0", move |mut client| {
        let head = read_head(&mut client);
        assert!(head.starts_with("CONNECT "), "{head}");
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        relay(client, TcpStream::connect(server).unwrap());
    })
}

#[test]
fn over_real_sockets() {
    let server = serve("127.0.0.1:0", greet);
    let proxy = http_proxy(server);
    let mut client = Client::real();
    client.connect(via("ws://server.test:7/", &format!("http://{proxy}")));
    assert!(matches!(client.next(), Seen::Open(..)));
    assert!(matches!(client.next(), Seen::Text(text) if text == "hello"));
}

/// With `socks5:` the name is resolved here, with `socks5h:` it travels.
#[test]
fn who_resolves_the_name() {
    for (scheme, expected) in [
        ("socks5", &b"\x05\x01\x00\x01\x7f\x00\x00\x07\x00\x50"[..]),
        ("socks5h", b"\x05\x01\x00\x03\x0bserver.test\x00\x50"),
    ] {
        let proxy = serve("127.0.0.1:0", move |mut stream| {
            let mut greeting = [0; 3];
            stream.read_exact(&mut greeting).unwrap();
            stream.write_all(b"\x05\x00").unwrap();
            let mut request = vec![0; expected.len()];
            stream.read_exact(&mut request).unwrap();
            let ok = request == expected;
            let answer: &[u8] = match ok {
                true => b"\x05\x00\x00\x01\0\0\0\0\0\0",
                false => b"\x05\x01",
            };
            stream.write_all(answer).unwrap();
            let request = read_head(&mut stream);
            if ok {
                stream.write_all(good_answer(&request).as_bytes()).unwrap();
                let _ = stream.read(&mut [0; 9]);
            }
        });
        let mut client = Client::real();
        let known = via("ws://server.test/", &format!("{scheme}://{proxy}"));
        client.connect(known.resolve("server.test", 80, "127.0.0.7".parse().unwrap()));
        let seen = client.next();
        assert!(matches!(seen, Seen::Open(..)), "{scheme}: {seen:?}");
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::net::SocketAddr;

    use sockeye::tls::{ClientTls, ClientTlsOptions, Identity, Roots, ServerTls, ServerTlsOptions};
    use sockeye::{Accepted, Conn, Engine, Peer, Protocol, Reject, Request, Response, StatusCode};

    use super::*;

    /// Greets at `/`, and leads from `/down` to unprotected ground.
    struct Greeter;

    impl Protocol for Greeter {
        type Session = ();

        fn accept(&mut self, request: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
            if request.path() != "/down" {
                return Ok(Accepted::new(()));
            }
            let response = Response::status(StatusCode::FOUND)
                .header("location", "ws://server.test/")
                .unwrap();
            Err(response.into())
        }

        fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
            conn.send("hello");
        }
    }

    /// A `wss` server for `server.test`, and the TLS that trusts it.
    fn secure_server() -> (SocketAddr, ClientTls) {
        let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Identity::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
        let tls = ServerTls::new(ServerTlsOptions::new(identity)).unwrap();
        let roots = Roots::none().with_pem(cert.as_bytes()).unwrap();
        let (send, address) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut engine = Engine::new().unwrap();
            let key = engine.host(Greeter);
            let listener = engine
                .listen("127.0.0.1:0")
                .unwrap()
                .tls(tls)
                .route("/", key)
                .route("/down", key);
            send.send(listener.local_addr().tcp().unwrap()).unwrap();
            engine.run().unwrap();
        });
        let options = ClientTlsOptions::new(roots);
        (address.recv().unwrap(), ClientTls::new(options).unwrap())
    }

    #[test]
    fn through_a_proxy() {
        let (server, tls) = secure_server();
        let proxy = http_proxy(server);
        let mut client = Client::real();
        let wanted = via("wss://server.test/", &format!("http://{proxy}")).tls(tls.clone());
        client.connect(wanted.clone());
        assert!(matches!(client.next(), Seen::Open(..)));
        assert!(matches!(client.next(), Seen::Text(text) if text == "hello"));

        let mut other = wanted;
        other.set_url("wss://other.test/").unwrap();
        client.connect(other);
        let failure = client.next_failure();
        assert_eq!(failure.step, Step::Tls);
        assert!(
            failure.text.starts_with("TLS to other.test: "),
            "{failure:?}"
        );
    }

    #[test]
    fn never_down() {
        let (server, tls) = secure_server();
        let mut client = Client::real();
        let url = format!("wss://server.test:{}/down", server.port());
        let known = options(&url).resolve("server.test", server.port(), server.ip());
        client.connect(known.tls(tls).max_redirects(5));
        let failure = client.next_failure();
        assert_eq!(failure.step, Step::Redirect);
        assert!(failure.text.contains("unprotected"), "{failure:?}");
    }

    #[test]
    fn a_server_without_tls() {
        let plain = serve("127.0.0.1:0", |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        let (_, tls) = secure_server();
        let mut client = Client::real();
        client.connect(options(&format!("wss://{plain}/")).tls(tls.clone()));
        let failure = client.next_failure();
        assert_eq!(failure.step, Step::Tls);
        assert!(failure.text.contains("does not speak TLS"), "{failure:?}");

        let gone = serve("127.0.0.1:0", drop);
        client.connect(options(&format!("wss://{gone}/")).tls(tls));
        assert_eq!(client.next_failure().step, Step::Tls);
    }
}
