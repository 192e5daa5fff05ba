//! What a TLS connection costs: memory while it is idle, and none that stays per message.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use sockeye::tls::{Backend, ClientTls, ClientTlsOptions, Roots, ServerTls};

use crate::backends;
use crate::certificate::Ca;
use crate::rig::{Client, Server, client_tls, server_options};

const CONNECTIONS: usize = 1000;

/// Bytes of an idle connection, at most. The aim is below 10 KiB. With OpenSSL its own `SSL` takes
/// 7.6 KiB of that, and the contexts of its ciphers and digests most of the rest.
fn most(backend: Backend) -> usize {
    match backend {
        Backend::OpenSsl => 18 * 1024,
        _ => 10 * 1024,
    }
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() * 1024
}

/// A message that stays so when it is compressed.
fn larger_than_a_record() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..40_000).map(|_| next()).collect()
}

/// Each part has a process of its own, so that nothing else is counted.
const ROLE: &str = "SOCKEYE_TEST_ROLE";

fn process(role: &str, variables: &[(&str, &str)]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "idle::part", "--nocapture"])
        .env(ROLE, role)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a line that ends so.
fn expect(lines: &mut impl Iterator<Item = std::io::Result<String>>, what: &str) {
    let found = lines.any(|line| line.unwrap().ends_with(what));
    assert!(found, "the other process failed");
}

#[test]
fn idle_connections_are_small_and_messages_leave_nothing() {
    for backend in backends() {
        let mut server = process(
            "server",
            &[("SOCKEYE_TEST_BACKEND", &format!("{backend:?}"))],
        );
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        for line in lines
            .map(Result::unwrap)
            .filter(|line| line.contains(" bytes "))
        {
            println!("{line}");
        }
        assert!(server.wait().unwrap().success());
    }
}

/// What runs in the other processes.
#[test]
fn part() {
    match std::env::var(ROLE).as_deref() {
        Ok("server") => serve(),
        Ok("client") => connect(),
        _ => {}
    }
}

fn serve() {
    let name = std::env::var("SOCKEYE_TEST_BACKEND").unwrap();
    let backend = backends()
        .into_iter()
        .find(|backend| format!("{backend:?}") == name)
        .unwrap();
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
    let server = Server::start(tls);
    let url = server.url("localhost");
    // What the first connection allocates for all.
    let mut first = Client::new();
    let id = first.open(&url, &client_tls(backend, &ca));
    first.echo(id, &larger_than_a_record());

    let before = resident();
    let mut client = process(
        "client",
        &[("SOCKEYE_TEST_URL", &url), ("SOCKEYE_TEST_CA", ca.pem())],
    );
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut next = client.stdin.take().unwrap();
    expect(&mut lines, "idle");
    let idle = resident();
    let each = (idle - before) / CONNECTIONS;
    println!("{backend:?}: {each} bytes per idle connection");
    next.write_all(b"\n").unwrap();
    expect(&mut lines, "used");
    let grown = resident().saturating_sub(idle);
    println!("{backend:?}: {grown} bytes more after 5000 messages");
    drop(next);
    assert!(client.wait().unwrap().success());
    assert!(each < most(backend), "{each}");
    assert!(grown < 512 * 1024, "{grown}");
}

fn connect() {
    let url = std::env::var("SOCKEYE_TEST_URL").unwrap();
    let pem = std::env::var("SOCKEYE_TEST_CA").unwrap();
    let roots = Roots::none().with_pem(pem.as_bytes()).unwrap();
    let tls = ClientTls::new(ClientTlsOptions::new(roots)).unwrap();
    let mut client = Client::new();
    // One after the other: what many handshakes at once need for a moment is not what is asked.
    let ids: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let id = client.open(&url, &tls);
            // Each is used for a message larger than a record before it is idle.
            client.echo(id, &larger_than_a_record());
            id
        })
        .collect();
    println!("idle");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    for number in 0..5_000 {
        client.echo(ids[number % ids.len()], &[b'y'; 4_000]);
    }
    println!("used");
    std::io::stdin().read_line(&mut line).unwrap();
}
