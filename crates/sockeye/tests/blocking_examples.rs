//! The examples of the blocking face do what they say, as programs of their own.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "examples/conversation.rs"]
mod conversation;
#[path = "examples/process.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod process;
#[path = "visitor/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod visitor;

use std::io::Write;
use std::process::Stdio;

use self::process::{Example, command};

#[test]
fn the_server_converses() {
    let (_example, address) = Example::serve("blocking_server");
    conversation::hold(address);
}

#[test]
fn the_client_talks_to_the_server() {
    let (_server, address) = Example::serve("blocking_server");
    let url = format!("ws://{address}/echo");
    let mut client = Example::start(command("blocking_client").arg(url).stdin(Stdio::piped()));
    let mut stdin = client.stdin();
    writeln!(stdin, "first").unwrap();
    assert_eq!(client.line(), "first");
    write!(stdin, "second\nläßt grüßen\n").unwrap();
    assert_eq!(client.line(), "second");
    assert_eq!(client.line(), "läßt grüßen");
    drop(stdin);
    assert_eq!(client.line(), "");
    assert!(client.succeeds());
}

#[test]
fn the_client_says_what_is_wrong() {
    let (_server, address) = Example::serve("blocking_server");
    let mut refused = command("blocking_client");
    refused
        .arg(format!("wss://{address}/"))
        .stderr(Stdio::piped());
    let output = refused.output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.is_empty(), "{said}");
}
