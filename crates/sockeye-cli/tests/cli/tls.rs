//! TLS as `serve`, `connect` and `ping` speak it, with each library that is built in.

use std::sync::mpsc::Receiver;

use rustix::process::{Pid, Signal, kill_process};

use crate::certificate::Folder;
use crate::process::{Ended, PATIENCE, Running, lines, run, sockeye};

const BACKENDS: &[&str] = &[
    #[cfg(feature = "tls")]
    "rustls",
    #[cfg(feature = "openssl")]
    "openssl",
];

/// A `sockeye serve` with certificates.
struct Site {
    child: std::process::Child,
    listening: Vec<String>,
    said: Receiver<String>,
}

impl Site {
    fn start(backend: &str, args: &[&str]) -> Self {
        Self::start_on(&["127.0.0.1:0"], backend, args)
    }

    fn start_on(listeners: &[&str], backend: &str, args: &[&str]) -> Self {
        let mut all = vec!["serve", "--tls-backend", backend];
        for listener in listeners {
            all.extend(["--listen", listener]);
        }
        all.extend(args);
        let mut child = sockeye(&all).spawn().unwrap();
        let said = lines(child.stderr.take().unwrap());
        let ready = lines(child.stdout.take().unwrap());
        let listening = listeners
            .iter()
            .map(|_| match ready.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(_) => panic!("{:?}", said.try_iter().collect::<Vec<_>>()),
            })
            .collect();
        Self {
            child,
            listening,
            said,
        }
    }

    fn port(&self) -> &str {
        let rest = self.listening[0].strip_prefix("listening on https://127.0.0.1:");
        rest.and_then(|rest| rest.strip_suffix('/'))
            .unwrap_or_else(|| panic!("{:?}", self.listening))
    }

    fn url(&self, name: &str) -> String {
        format!("wss://{name}:{}/echo", self.port())
    }

    /// Says hello by this name of the server, and hears it back.
    fn hello(&self, name: &str, args: &[&str]) -> Ended {
        let url = self.url(name);
        let resolve = format!("{name}:{}:127.0.0.1", self.port());
        let mut all = vec!["connect", &url, "--resolve", &resolve];
        all.extend(args);
        run(&all, "hello\n")
    }

    fn hangup(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    fn hear(&self) -> String {
        self.said.recv_timeout(PATIENCE).expect("it says nothing")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The subject of the certificate that `-v` shows.
fn subject(ended: &Ended) -> &str {
    assert_eq!(
        (ended.code, ended.text()),
        (Some(0), "hello\n"),
        "{ended:?}"
    );
    let begin = "* certificate of CN=";
    let line = ended.stderr.lines().find(|line| line.starts_with(begin));
    let rest = &line.unwrap_or_else(|| panic!("{ended:?}"))[begin.len()..];
    rest.split(',').next().unwrap()
}

#[test]
fn it_says_https_and_speaks_it_and_unix_sockets_stay_plain() {
    for backend in BACKENDS {
        let folder = Folder::new().server("site");
        let socket = format!("unix:{}", folder.path("socket"));
        let site = Site::start_on(
            &["127.0.0.1:0", &socket],
            backend,
            &[
                "--tls-cert",
                &folder.path("site.pem"),
                "--tls-key",
                &folder.path("site.key"),
            ],
        );
        assert_eq!(site.listening[1], format!("listening on {socket}"));
        let ca = folder.path("ca.pem");
        let trust = ["--ca", &*ca, "--tls-backend", backend];
        site.hello("localhost", &trust).assert_success("hello\n");
        site.hello("127.0.0.1", &trust).assert_success("hello\n");
        let plain = format!("{socket}:/echo");
        run(&["connect", &plain], "hello\n").assert_success("hello\n");
        let https = format!("https://127.0.0.1:{}/echo", site.port());
        let ended = run(&["ping", &https, "-c", "2", "-i", "0.01", "--ca", &ca], "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let plain = format!("ws://127.0.0.1:{}/echo", site.port());
        run(&["connect", &plain], "").assert_failure("handshake");
    }
}

#[test]
fn nobody_is_trusted_unless_told_to() {
    for backend in BACKENDS {
        let folder = Folder::new().server("site");
        let other = Folder::new();
        let (certificate, key) = (folder.path("site.pem"), folder.path("site.key"));
        let site = Site::start(backend, &["--tls-cert", &certificate, "--tls-key", &key]);
        let client = ["--tls-backend", *backend];
        site.hello("localhost", &client)
            .assert_failure("TLS to localhost: ");
        site.hello("localhost", &client)
            .assert_failure("(--ca FILE names whom to trust");
        let ca = other.path("ca.pem");
        site.hello("localhost", &[&client[..], &["--ca", &ca]].concat())
            .assert_failure("TLS to localhost: ");
        let both = [other.path("ca.pem"), folder.path("ca.pem")];
        let both = ["--ca", &*both[0], "--ca", &*both[1]];
        site.hello("localhost", &[&client[..], &both].concat())
            .assert_success("hello\n");
        // A name that is not in the certificate.
        site.hello("other.test", &[&client[..], &both].concat())
            .assert_failure("TLS to other.test: ");
        site.hello("other.test", &[&client[..], &["--insecure"]].concat())
            .assert_success("hello\n");
    }
    let ended = run(&["connect", "x", "--insecure", "--ca", "y"], "");
    assert_eq!(ended.code, Some(2));
    run(&["connect", "wss://x", "--ca", "not-there.pem"], "").assert_failure("not-there.pem");
}

#[test]
fn a_server_has_a_certificate_for_each_name() {
    for backend in BACKENDS {
        let folder = Folder::new().server("a.test").server("b.test");
        let files = ["a.test.pem", "a.test.key", "b.test.pem", "b.test.key"];
        let [a, a_key, b, b_key] = files.map(|file| folder.path(file));
        let site = Site::start(
            backend,
            &[
                "--tls-cert",
                &a,
                "--tls-cert",
                &b,
                "--tls-key",
                &a_key,
                "--tls-key",
                &b_key,
            ],
        );
        let ca = folder.path("ca.pem");
        let client = ["--tls-backend", *backend, "-v"];
        let trusting = [&client[..], &["--ca", &ca]].concat();
        for name in ["a.test", "b.test"] {
            assert_eq!(subject(&site.hello(name, &trusting)), name);
        }
        let insecure = [&client[..], &["--insecure"]].concat();
        assert_eq!(subject(&site.hello("c.test", &insecure)), "a.test");
    }
}

#[test]
fn clients_show_certificates_if_they_must() {
    for backend in BACKENDS {
        let folder = Folder::new().server("site").client("bob");
        let stranger = Folder::new().client("mallory");
        let files = ["site.pem", "site.key", "ca.pem", "bob.pem", "bob.key"];
        let [site, key, ca, bob, bob_key] = files.map(|file| folder.path(file));
        let [mallory, mallory_key] = ["mallory.pem", "mallory.key"].map(|it| stranger.path(it));
        let server = [
            "--tls-cert",
            &*site,
            "--tls-key",
            &*key,
            "--client-ca",
            &*ca,
        ];
        let client = ["--tls-backend", *backend, "--ca", &*ca];
        let as_bob = [&client[..], &["--cert", &bob, "--key", &bob_key]].concat();
        let as_mallory = [&client[..], &["--cert", &mallory, "--key", &mallory_key]].concat();
        for (how, anybody) in [
            (&[][..], false),
            (&["--client-cert", "required"], false),
            (&["--client-cert", "optional"], true),
        ] {
            let site = Site::start(backend, &[&server[..], how].concat());
            site.hello("localhost", &as_bob).assert_success("hello\n");
            match anybody {
                true => site.hello("localhost", &client).assert_success("hello\n"),
                false => site.hello("localhost", &client).assert_failure("localhost"),
            }
            site.hello("localhost", &as_mallory)
                .assert_failure("localhost");
        }
    }
}

#[test]
fn certificates_are_read_anew_and_bad_ones_are_not_taken() {
    for backend in BACKENDS {
        let folder = Folder::new().server("old");
        // Chain and key in one file.
        let both = |name: &str| {
            let pem = folder.read(&format!("{name}.pem")) + &folder.read(&format!("{name}.key"));
            folder.write("both.pem", &pem);
        };
        both("old");
        // Whichever thread a connection comes to, it finds the same certificates.
        let site = Site::start(
            backend,
            &["--tls-cert", &folder.path("both.pem"), "--threads", "2"],
        );
        let ca = folder.path("ca.pem");
        let client = ["-v", "--ca", &*ca, "--tls-backend", backend];
        assert_eq!(subject(&site.hello("localhost", &client)), "old");
        let url = site.url("localhost");
        let mut staying = Running::start(&["connect", &url, "--ca", &ca]);
        let mut input = staying.stdin();
        let output = lines(staying.stdout());
        let mut say = |text: &str| {
            use std::io::Write;
            input.write_all(text.as_bytes()).unwrap();
            assert_eq!(output.recv_timeout(PATIENCE).unwrap(), text.trim_end());
        };
        say("before\n");

        folder.put_server("new", "new");
        both("new");
        site.hangup();
        assert_eq!(site.hear(), "sockeye: the certificates were read anew");
        assert_eq!(subject(&site.hello("localhost", &client)), "new");
        say("after\n");

        folder.put_server("newer", "newer");
        let wrong = folder.read("newer.pem") + &folder.read("new.key");
        for bad in ["", "-----BEGIN NONSENSE-----\n", &*wrong] {
            folder.write("both.pem", bad);
            site.hangup();
            let said = site.hear();
            let begin = "sockeye: the certificates stay as they were: ";
            assert!(said.starts_with(begin), "{said}");
            assert_eq!(subject(&site.hello("localhost", &client)), "new");
        }
        both("newer");
        site.hangup();
        assert_eq!(site.hear(), "sockeye: the certificates were read anew");
        assert_eq!(subject(&site.hello("localhost", &client)), "newer");
        say("still here\n");
    }
}

#[test]
fn what_cannot_be_served_is_said_in_one_line() {
    let folder = Folder::new().server("a").server("b");
    let files = ["a.pem", "b.pem", "a.key", "b.key"];
    let [a, b, a_key, b_key] = files.map(|file| folder.path(file));
    let serve = |args: &[&str]| {
        let listen = ["serve", "--listen", "127.0.0.1:0"];
        run(&[&listen[..], args].concat(), "")
    };
    if !BACKENDS.is_empty() {
        serve(&["--tls-cert", &a, "--tls-key", &b_key]).assert_failure("TLS settings: ");
    }
    serve(&["--tls-cert", &a, "--tls-cert", &b, "--tls-key", &a_key])
        .assert_failure("--tls-key: give one for each --tls-cert");
    serve(&["--tls-cert", &a]).assert_failure("no unencrypted private key");
    serve(&["--tls-cert", "not-there.pem"]).assert_failure("not-there.pem");
    for args in [
        &["--tls-key", &*a_key][..],
        &["--client-ca", &a],
        &["--tls-cert", &a, "--client-cert", "required"],
        &["--tls-cert", &a, "--tls-backend", "gnutls"],
    ] {
        assert_eq!(serve(args).code, Some(2), "{args:?}");
    }
    for (backend, feature) in [("rustls", "tls"), ("openssl", "openssl")] {
        if !BACKENDS.contains(&backend) {
            let problem = format!(
                "--tls-backend {backend}: this command was built without the feature `{feature}`"
            );
            serve(&[
                "--tls-cert",
                &a,
                "--tls-key",
                &a_key,
                "--tls-backend",
                backend,
            ])
            .assert_failure(&problem);
            run(&["ping", "wss://x", "--tls-backend", backend], "").assert_failure(&problem);
        }
    }
}
