//! The stages of `cargo xtask test`: what each is called, what it runs, and how they are told.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::autobahn::{self, AutobahnArgs};
use crate::command::{self, Failure};
use crate::workspace::Workspace;
use crate::{capi, conformance, icount, msrv, setup};

/// Not among the members of the workspace: it needs libFuzzer.
const FUZZ: &str = "fuzz/Cargo.toml";

/// One stage, in the order in which they run: what fails fastest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Stage {
    /// Check for the tools that tests need, and install the missing ones
    Setup,
    /// Formatting
    Fmt,
    /// Lints, with no, the default and all features
    Clippy,
    /// Unit and integration tests, examples, documentation tests
    Unit,
    /// The tests of the engine over io_uring instead of epoll
    Uring,
    /// The fuzz targets, which are a workspace of their own, compile
    Fuzz,
    /// Documentation, without a warning
    Doc,
    /// The stated minimum Rust version against dependencies, the standard library, a compiler
    Msrv,
    /// The release builds of the command, as it is and with OpenSSL beside rustls
    Build,
    /// The instructions of the hot paths, against a table
    Icount,
    /// The C library: header, tests in C plain, under valgrind and sanitizers, examples among others
    Capi,
    /// The Autobahn testsuite: server on epoll and on poll, client; strict
    Autobahn,
    /// Autobahn's sections 1 to 7 through TLS: server and client, rustls and OpenSSL; strict
    AutobahnTls,
    /// Foreign peers: Python websockets, npm ws, curl, openssl, libwebsockets, proxies, raw bytes
    Peers,
    /// The demo page, and that of the C examples, in headless Chromium
    Browser,
}

impl Stage {
    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    fn about(self) -> String {
        let about = self
            .to_possible_value()
            .and_then(|value| value.get_help().cloned());
        about.unwrap_or_default().to_string()
    }

    fn run(self, workspace: &Workspace, install: bool) -> Result<(), Failure> {
        match self {
            Self::Setup => setup::ensure(workspace, Self::value_variants(), install),
            Self::Fmt => fmt(workspace),
            Self::Clippy => clippy(workspace),
            Self::Unit => unit(workspace),
            Self::Uring => uring(workspace),
            Self::Fuzz => fuzz(workspace),
            Self::Doc => doc(workspace),
            Self::Msrv => msrv::check(workspace),
            Self::Build => build(workspace),
            Self::Icount => icount::run(workspace, false),
            Self::Capi => capi::test(workspace),
            Self::Autobahn => autobahn::run(workspace, &AutobahnArgs::default()),
            Self::AutobahnTls => autobahn::run_tls(workspace),
            Self::Peers => conformance::peers(workspace),
            Self::Browser => conformance::browser(workspace),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

/// Prints the stages.
pub(crate) fn list() {
    for stage in Stage::value_variants() {
        println!("{stage:<12} {}", stage.about());
    }
}

/// Runs `chosen` (all stages when empty) in the order of `Stage`, and sums up.
pub(crate) fn run_all(
    workspace: &Workspace,
    chosen: &[Stage],
    keep_going: bool,
    install: bool,
) -> Result<(), Failure> {
    let mut stages = if chosen.is_empty() {
        Stage::value_variants()
    } else {
        chosen
    }
    .to_vec();
    stages.sort_unstable();
    stages.dedup();
    if !stages.contains(&Stage::Setup) {
        setup::ensure(workspace, &stages, install)?;
    }

    let mut results: Vec<(Stage, Result<Duration, Failure>)> = Vec::new();
    for &stage in &stages {
        println!("\n━━━ {stage}: {} ━━━", stage.about());
        let start = Instant::now();
        let result = stage.run(workspace, install).map(|()| start.elapsed());
        match &result {
            Ok(time) => println!("─── {stage} passed, {:.1} s", time.as_secs_f32()),
            Err(why) => println!("─── {stage} FAILED: {why}"),
        }
        let failed = result.is_err();
        results.push((stage, result));
        if failed && !keep_going {
            break;
        }
    }

    println!();
    for (stage, result) in &results {
        match result {
            Ok(time) => println!("{stage:<12} {:6.1} s", time.as_secs_f32()),
            Err(why) => println!("{stage:<12} FAILED: {why}"),
        }
    }
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    let skipped = stages.len() - results.len();
    for stage in &stages[results.len()..] {
        println!("{stage:<12} not run");
    }
    print!("stages: {} passed, {failed} failed", results.len() - failed);
    if skipped > 0 {
        print!(", {skipped} skipped");
    }
    println!();
    if failed > 0 {
        Err(Failure::new("the tests did not pass"))
    } else {
        Ok(())
    }
}

fn fmt(workspace: &Workspace) -> Result<(), Failure> {
    command::run(workspace.cargo(&["fmt"]).args(["--all", "--check"]))?;
    command::run(
        workspace
            .cargo(&["fmt"])
            .args(["--manifest-path", FUZZ, "--check"]),
    )
}

/// What the targets run, tests run as well; here it is only seen to that a fuzzer could.
fn fuzz(workspace: &Workspace) -> Result<(), Failure> {
    let mut check = workspace.cargo(&["check"]);
    check.args(["--manifest-path", FUZZ, "--bins", "--examples"]);
    command::run(check.arg("--target-dir").arg(workspace.target("fuzz")))
}

fn clippy(workspace: &Workspace) -> Result<(), Failure> {
    for features in [&["--no-default-features"][..], &[], &["--all-features"]] {
        let mut command = workspace.cargo(&["clippy"]);
        command
            .args(["--workspace", "--all-targets"])
            .args(features);
        command::run(command.args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn test_runner(workspace: &Workspace) -> Command {
    let nextest =
        command::output(workspace.command("cargo").args(["nextest", "--version"])).is_some();
    if nextest {
        return workspace.cargo(&["nextest", "run", "--no-fail-fast"]);
    }
    println!("cargo-nextest is not installed: cargo test does it, one program at a time");
    workspace.cargo(&["test"])
}

fn unit(workspace: &Workspace) -> Result<(), Failure> {
    let test = |arguments: &[&str]| command::run(test_runner(workspace).args(arguments));
    test(&["--workspace", "--all-features", "--all-targets"])?;
    // As most users build it: whatever the feature touches, without that feature.
    test(&["--package=sockeye", "--lib", "--test=tls", "--test=client"])?;
    test(&["--package=sockeye-cli"])?;
    command::run(
        workspace
            .cargo(&["test"])
            .args(["--workspace", "--all-features", "--doc"]),
    )
}

/// Once more, with another default: what does not ask for a driver gets `io_uring`.
fn uring(workspace: &Workspace) -> Result<(), Failure> {
    let mut command = test_runner(workspace);
    command
        .args(["--package=sockeye", "--all-features", "--all-targets"])
        .env("RUSTFLAGS", r#"--cfg sockeye_driver="uring""#)
        // For the examples too, which their tests build.
        .env("CARGO_TARGET_DIR", workspace.target("uring"));
    command::run(&mut command)
}

fn build(workspace: &Workspace) -> Result<(), Failure> {
    let mut default = workspace.cargo(&["build"]);
    command::run(default.args(["--release", "--package=sockeye-cli"]))?;
    conformance::build(workspace).map(drop)
}

fn doc(workspace: &Workspace) -> Result<(), Failure> {
    // The command and the library share the name `sockeye`: the library comes last and keeps it.
    for selection in [
        &["--package", "sockeye-cli", "--bins"][..],
        &["--workspace", "--exclude", "sockeye-cli"],
    ] {
        let mut command = workspace.cargo(&["doc"]);
        command
            .args(["--no-deps", "--all-features", "--document-private-items"])
            .args(selection);
        command::run(command.env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_name_and_says_what_it_does() {
        for stage in Stage::value_variants() {
            assert!(!stage.name().is_empty(), "{stage:?}");
            assert!(!stage.about().is_empty(), "{stage:?}");
        }
    }
}
