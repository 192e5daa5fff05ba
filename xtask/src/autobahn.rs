//! The Autobahn testsuite against our server, on each poller, and our client.
//!
//! The suite and its verdicts are the business of `conformance/autobahn`; here is only what we
//! run it on. NON-STRICT is a failure there, so it is one here.

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::certificate;
use crate::command::{self, Failure};
use crate::conformance::{self, Built};
use crate::tool;
use crate::workspace::Workspace;

/// Compression; until it is there, every case of it would be UNIMPLEMENTED.
const COMPRESSION: &str = "12,13";

/// Through TLS. The sections about limits and speed say nothing about it, and take long.
const TLS_CASES: &str = "1,2,3,4,5,6,7";

#[derive(Args, Debug)]
pub(crate) struct AutobahnArgs {
    /// Which of our roles is tested; both when not given
    role: Option<Role>,
    /// The poller of our server; each in turn when not given
    #[arg(long)]
    poller: Option<Poller>,
    /// Through TLS, which stunnel brings to the suite, with this backend of ours
    #[arg(long)]
    tls: Option<Tls>,
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
            tls: None,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tls {
    Rustls,
    Openssl,
}

fn name(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
}

/// Runs the chosen part; all of it is run before a failure is told.
pub(crate) fn run(workspace: &Workspace, args: &AutobahnArgs) -> Result<(), Failure> {
    let mut failed = Vec::new();
    run_part(workspace, args, &mut failed)?;
    verdict(&failed)
}

/// Both roles through TLS, with each backend.
pub(crate) fn run_tls(workspace: &Workspace) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for &backend in Tls::value_variants() {
        let args = AutobahnArgs {
            tls: Some(backend),
            poller: Some(Poller::Epoll),
            cases: TLS_CASES.to_owned(),
            jobs: 2,
            ..AutobahnArgs::default()
        };
        run_part(workspace, &args, &mut failed)?;
    }
    verdict(&failed)
}

fn run_part(
    workspace: &Workspace,
    args: &AutobahnArgs,
    failed: &mut Vec<String>,
) -> Result<(), Failure> {
    let certificates = match args.tls {
        Some(_) => Some(certificate::make(workspace)?),
        None => None,
    };
    let part = Part {
        workspace,
        built: conformance::build(workspace)?,
        args,
        certificates,
    };
    if args.role != Some(Role::Client) {
        for &poller in Poller::value_variants() {
            if args.poller.is_none_or(|chosen| chosen == poller) {
                told(part.server(poller), failed);
            }
        }
    }
    if args.role != Some(Role::Server) {
        told(part.client(), failed);
    }
    Ok(())
}

/// One backend, or plain text, and what is asked of it.
struct Part<'a> {
    workspace: &'a Workspace,
    built: Built,
    args: &'a AutobahnArgs,
    /// Where they are, if it is about TLS.
    certificates: Option<PathBuf>,
}

impl Part<'_> {
    fn server(&self, poller: Poller) -> (String, Result<(), Failure>) {
        let (report, mut suite) = self.suite(Role::Server, &format!("-{}", name(poller)));
        suite.args(["--path", "/echo"]);
        if let Some(folder) = &self.certificates {
            suite.arg("--tls-ca").arg(folder.join("root.pem"));
        }
        suite.arg("--").arg(&self.built.sockeye);
        suite.args(["serve", "--listen=127.0.0.1:0", "--poller", &name(poller)]);
        if let (Some(folder), Some(backend)) = (&self.certificates, self.args.tls) {
            suite.arg("--tls-cert").arg(folder.join("server.pem"));
            suite.arg("--tls-key").arg(folder.join("server.key"));
            suite.args(["--tls-backend", &name(backend)]);
        }
        (report, command::run(&mut suite))
    }

    fn client(&self) -> (String, Result<(), Failure>) {
        let (report, mut suite) = self.suite(Role::Client, "");
        if let (Some(folder), Some(backend)) = (&self.certificates, self.args.tls) {
            suite.arg("--tls-cert").arg(folder.join("server.pem"));
            suite.arg("--tls-key").arg(folder.join("server.key"));
            suite.env("AUTOBAHN_CA", folder.join("root.pem"));
            suite.env("AUTOBAHN_TLS_BACKEND", name(backend));
        }
        suite.arg("--").arg(&self.built.autobahn_client);
        (report, command::run(&mut suite))
    }

    /// The runner, and the name of its report.
    fn suite(&self, role: Role, suffix: &str) -> (String, Command) {
        let Self {
            workspace, args, ..
        } = self;
        let role = name(role);
        let tls = args
            .tls
            .map_or_else(String::new, |tls| format!("-{}", name(tls)));
        let report = format!("{role}{tls}{suffix}");
        println!("\nautobahn, {report}");
        let mut suite = workspace.command(workspace.conformance("autobahn/run"));
        suite.args([&role, "--cases", &args.cases, "--exclude", &args.exclude]);
        suite.args(["--jobs", &args.jobs.to_string()]);
        let out = workspace.target("autobahn").join(&report);
        suite.arg("--out").arg(out);
        if args.no_skip {
            suite.arg("--no-skip");
        }
        let path = tool::search_path(std::env::var_os("PATH"), &workspace.target("venv/bin"));
        suite.env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        (report, suite)
    }
}

fn told((report, result): (String, Result<(), Failure>), failed: &mut Vec<String>) {
    if let Err(why) = result {
        println!("{report}: {why}");
        failed.push(report);
    }
}

fn verdict(failed: &[String]) -> Result<(), Failure> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "Autobahn is not satisfied with: {}",
        failed.join(", ")
    )))
}
