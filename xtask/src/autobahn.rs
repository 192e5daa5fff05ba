//! The Autobahn testsuite against our server, on each poller, and our client.
//!
//! The suite and its verdicts are the business of `conformance/autobahn`; here is only what we
//! run it on. NON-STRICT is a failure there, so it is one here.

use clap::{Args, ValueEnum};

use crate::command::{self, Failure};
use crate::conformance;
use crate::tool;
use crate::workspace::Workspace;

/// Compression: two thirds of the cases, and nearly all of the time.
const COMPRESSION: &str = "12,13";
/// Of each kind of compression the smallest, a middling and the largest messages.
const SAMPLE: &str = "12.*.1,12.*.5,12.*.11,13.*.1,13.*.5,13.*.11";

/// All of it, in parts: the suite keeps every message until it ends, and with some gigabytes of them
/// it stands still for longer than its own deadlines.
const SECTIONS: [&str; 12] = [
    "12.1", "12.2", "12.3", "12.4", "12.5", "13.1", "13.2", "13.3", "13.4", "13.5", "13.6", "13.7",
];

#[derive(Args, Debug, Default)]
pub(crate) struct AutobahnArgs {
    /// Which of our roles is tested; both when not given
    role: Option<Role>,
    /// The poller of our server; each in turn when not given
    #[arg(long)]
    poller: Option<Poller>,
    /// All 517 cases, which takes 10 to 18 minutes for each role and poller; not given, all but
    /// compression, and a sample of that, which once more runs interleaved
    #[arg(long, conflicts_with_all = ["cases", "exclude"])]
    all: bool,
    /// A section (7 or 12.1), a case (7.1.3) or a pattern with *; several with commas
    #[arg(long)]
    cases: Option<String>,
    /// Cases left out, in the same way; 12 and 13 are compression
    #[arg(long)]
    exclude: Option<String>,
    /// Share the cases among this many suites at once [default: 1]
    #[arg(long)]
    jobs: Option<u8>,
}

/// What is run at a time.
struct Part<'a> {
    name: &'static str,
    cases: &'a str,
    exclude: &'a str,
    jobs: u8,
}

impl Part<'_> {
    fn report(&self, what: &str) -> String {
        match self.name {
            "" => what.to_owned(),
            name => format!("{what}-{name}"),
        }
    }
}

impl AutobahnArgs {
    fn parts(&self) -> Vec<Part<'_>> {
        let part = |name, cases, exclude, jobs| Part {
            name,
            cases,
            exclude,
            jobs: self.jobs.unwrap_or(jobs),
        };
        if self.cases.is_some() || self.exclude.is_some() {
            let cases = self.cases.as_deref().unwrap_or("*");
            return vec![part("", cases, self.exclude.as_deref().unwrap_or(""), 1)];
        }
        let mut parts = vec![part("", "*", COMPRESSION, 1)];
        if self.all {
            parts.extend(SECTIONS.map(|section| part(section, section, "", 1)));
        } else {
            parts.push(part("deflate", SAMPLE, "", 1));
            parts.push(part("interleaved", SAMPLE, "", 2));
        }
        parts
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

/// Runs what is chosen; all of it is run before a failure is told.
pub(crate) fn run(workspace: &Workspace, args: &AutobahnArgs) -> Result<(), Failure> {
    let mut failed = Vec::new();
    if args.role != Some(Role::Client) {
        let binary = conformance::build(workspace)?;
        let both = [Poller::Epoll, Poller::Poll];
        for poller in both
            .into_iter()
            .filter(|poller| args.poller.is_none_or(|p| p == *poller))
        {
            for part in args.parts() {
                let name = part.report(&format!("server-{}", poller.name()));
                let mut suite = runner(workspace, &part, "server", &name);
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
        for part in args.parts() {
            let name = part.report("client");
            let mut suite = runner(workspace, &part, "client", &name);
            suite
                .arg("--")
                .arg(workspace.target("release/examples/autobahn_client"));
            told(&name, command::run(&mut suite), &mut failed);
        }
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
    part: &Part<'_>,
    role: &str,
    report: &str,
) -> std::process::Command {
    println!("\nautobahn, {report}");
    let mut command = workspace.command(workspace.conformance("autobahn/run"));
    // UNIMPLEMENTED would mean that compression was not agreed on.
    command.args([role, "--cases", part.cases, "--no-skip"]);
    if !part.exclude.is_empty() {
        command.args(["--exclude", part.exclude]);
    }
    command.args(["--jobs", &part.jobs.to_string()]);
    command
        .arg("--out")
        .arg(workspace.target("autobahn").join(report));
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
