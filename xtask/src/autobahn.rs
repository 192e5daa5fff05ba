//! The Autobahn testsuite against our server, on each poller, and our client.
//!
//! The suite and its verdicts are the business of `conformance/autobahn`; here is only what we
//! run it on. NON-STRICT is a failure there, so it is one here.

use clap::{Args, ValueEnum};

use crate::command::{self, Failure};
use crate::conformance;
use crate::tool;
use crate::workspace::Workspace;

/// Compression; until it is there, every case of it would be UNIMPLEMENTED.
const COMPRESSION: &str = "12,13";

#[derive(Args, Debug)]
pub(crate) struct AutobahnArgs {
    /// Which of our roles is tested; both when not given
    role: Option<Role>,
    /// The poller of our server; each in turn when not given
    #[arg(long)]
    poller: Option<Poller>,
    /// A section (7 or 12.1), a case (7.1.3) or a pattern with *; several with commas
    #[arg(long, default_value = "*")]
    cases: String,
    /// Cases left out, in the same way; 12 and 13 are compression
    #[arg(long, default_value = COMPRESSION)]
    exclude: String,
    /// Share the cases among this many suites at once
    #[arg(long, default_value_t = 1)]
    jobs: u8,
    /// Count UNIMPLEMENTED as a failure
    #[arg(long)]
    no_skip: bool,
}

impl Default for AutobahnArgs {
    fn default() -> Self {
        Self {
            role: None,
            poller: None,
            cases: "*".to_owned(),
            exclude: COMPRESSION.to_owned(),
            jobs: 1,
            no_skip: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// `sockeye serve`, endpoint /echo
    Server,
    /// The example `autobahn_client`
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Poller {
    Epoll,
    Poll,
}

impl Poller {
    fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Poll => "poll",
        }
    }
}

/// Runs the chosen part; all of it is run before a failure is told.
pub(crate) fn run(workspace: &Workspace, args: &AutobahnArgs) -> Result<(), Failure> {
    let mut failed = Vec::new();
    if args.role != Some(Role::Client) {
        let binary = conformance::build(workspace)?;
        let both = [Poller::Epoll, Poller::Poll];
        for poller in both
            .into_iter()
            .filter(|poller| args.poller.is_none_or(|p| p == *poller))
        {
            let name = format!("server-{}", poller.name());
            let mut suite = runner(workspace, args, "server", &name);
            suite.args(["--path", "/echo", "--"]).arg(&binary);
            suite.args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--poller",
                poller.name(),
            ]);
            told(&name, command::run(&mut suite), &mut failed);
        }
    }
    if args.role != Some(Role::Server) {
        let mut build = workspace.cargo(&["build"]);
        build.args([
            "--release",
            "--package",
            "sockeye",
            "--example",
            "autobahn_client",
        ]);
        command::run(&mut build)?;
        let mut suite = runner(workspace, args, "client", "client");
        suite
            .arg("--")
            .arg(workspace.target("release/examples/autobahn_client"));
        told("client", command::run(&mut suite), &mut failed);
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "Autobahn is not satisfied with: {}",
            failed.join(", ")
        )))
    }
}

fn runner(
    workspace: &Workspace,
    args: &AutobahnArgs,
    role: &str,
    report: &str,
) -> std::process::Command {
    println!("\nautobahn, {report}");
    let mut command = workspace.command(workspace.conformance("autobahn/run"));
    command.args([role, "--cases", &args.cases, "--exclude", &args.exclude]);
    command.args(["--jobs", &args.jobs.to_string()]);
    command
        .arg("--out")
        .arg(workspace.target("autobahn").join(report));
    if args.no_skip {
        command.arg("--no-skip");
    }
    let path = tool::search_path(std::env::var_os("PATH"), &workspace.target("venv/bin"));
    command
        .env("PATH", path)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn told(name: &str, result: Result<(), Failure>, failed: &mut Vec<String>) {
    if let Err(why) = result {
        println!("{name}: {why}");
        failed.push(name.to_owned());
    }
}
