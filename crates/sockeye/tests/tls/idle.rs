//! What a TLS connection costs: memory while it is idle, and none that stays per message.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use sockeye::tls::{Backend, ServerTls};

use crate::backends;
use crate::certificate::Ca;
use crate::rig::{Client, Server, client_tls, server_options};

const CONNECTIONS: usize = 1000;
/// The aim is below 10 KiB; the rest is for pages that malloc does not fill.
const MOST: usize = 14 * 1024;

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

/// In a process of its own, so that only the server's memory is counted. Each test of memory
/// starts itself anew; this runs in the children.
#[test]
fn child() {
    let Ok(url) = std::env::var("SOCKEYE_TEST_URL") else {
        return;
    };
    let pem = std::env::var("SOCKEYE_TEST_CA").unwrap();
    let roots = sockeye::tls::Roots::none()
        .with_pem(pem.as_bytes())
        .unwrap();
    let tls = sockeye::tls::ClientTlsOptions::new(roots);
    let tls = sockeye::tls::ClientTls::new(tls).unwrap();
    let mut client = Client::new();
    let ids: Vec<_> = (0..CONNECTIONS)
        .map(|_| client.connect(&url, &tls))
        .collect();
    client.wait(|log| log.opened + log.failed.len() == CONNECTIONS);
    assert_eq!(client.log.borrow().opened, CONNECTIONS);
    // Each has been used once, for a message larger than a record.
    for &id in &ids {
        client.echo(id, &larger_than_a_record());
    }
    println!("idle");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let id = ids[0];
    for _ in 0..5_000 {
        client.echo(id, &[b'y'; 4_000]);
    }
    println!("used");
    std::io::stdin().read_line(&mut line).unwrap();
}

fn measure(backend: Backend) -> usize {
    let ca = Ca::new("root");
    let pair = ca.server(&["localhost"]);
    let tls = ServerTls::new(server_options(backend, &pair)).unwrap();
    let server = Server::start(tls);
    // Warm up: what the first connection allocates for all.
    let mut first = Client::new();
    let id = first.open(&server.url("localhost"), &client_tls(backend, &ca));
    first.echo(id, &larger_than_a_record());
    let before = resident();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "idle::child", "--nocapture"])
        .env("SOCKEYE_TEST_URL", server.url("localhost"))
        .env("SOCKEYE_TEST_CA", ca.pem())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut wait = |what: &str| {
        let found = lines
            .by_ref()
            .find(|line| line.as_ref().unwrap().ends_with(what));
        assert!(found.is_some(), "the child failed");
    };
    wait("idle");
    let idle = resident();
    let each = (idle - before) / CONNECTIONS;
    println!("{backend:?}: {each} bytes per idle connection");
    let stdin = child.stdin.as_mut().unwrap();
    std::io::Write::write_all(stdin, b"\n").unwrap();
    wait("used");
    let grown = resident().saturating_sub(idle);
    println!("{backend:?}: {grown} bytes more after 5000 messages");
    assert!(grown < 512 * 1024, "{grown}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    each
}

#[test]
fn idle_connections_are_small_and_messages_leave_nothing() {
    if std::env::var_os("SOCKEYE_TEST_URL").is_some() {
        return;
    }
    for backend in backends() {
        let each = measure(backend);
        assert!(each < MOST, "{backend:?}: {each}");
    }
}
