//! The Autobahn testsuite against our server, on each driver, and our client; with TLS between them
//! too.
//!
//! The suite and its verdicts are the business of `conformance/autobahn`; here is only what we
//! run it on. NON-STRICT is a failure there, so it is one here.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;

use clap::{Args, ValueEnum};

use crate::certificate;
use crate::command::{self, Failure};
use crate::conformance::{self, Built};
use crate::tool;
use crate::workspace::Workspace;

/// Compression: two thirds of the cases, and nearly all of the time.
const COMPRESSION: &str = "12,13";
/// Of each kind of compression the smallest, a middling and the largest messages.
const SAMPLE: &str = "12.*.1,12.*.5,12.*.11,13.*.1,13.*.5,13.*.11";
/// Through TLS: the sections about size and compression say nothing more of it, and take long.
const TLS_CASES: &str = "1,2,3,4,5,6,7";

/// All of it, in parts: the suite keeps every message until it ends, and with some gigabytes of them
/// it stands still for longer than its own deadlines.
const SECTIONS: [&str; 12] = [
    "12.1", "12.2", "12.3", "12.4", "12.5", "13.1", "13.2", "13.3", "13.4", "13.5", "13.6", "13.7",
];

#[derive(Args, Debug, Default)]
pub(crate) struct AutobahnArgs {
    /// Which of our roles is tested; both when not given
    role: Option<Role>,
    /// The driver of our server; each in turn when not given
    #[arg(long)]
    driver: Option<Driver>,
    /// Through TLS, which stunnel takes off for the suite, by this backend of ours: sections 1 to 7
    /// unless others are chosen
    #[arg(long, conflicts_with = "all")]
    tls: Option<Tls>,
    /// Serve with this many engines at once; one when not given, and once more all but compression
    /// with two
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// All 517 cases, which takes 10 to 18 minutes for each role and driver; not given, all but
    /// compression, and a sample of that, which once more runs interleaved
    #[arg(long, conflicts_with_all = ["cases", "exclude"])]
    all: bool,
    /// A section (7 or 12.1), a case (7.1.3) or a pattern with *; several with commas
    #[arg(long)]
    cases: Option<String>,
    /// Cases left out, in the same way; 12 and 13 are compression
    #[arg(long)]
    exclude: Option<String>,
    /// Share the cases among this many suites at once [default: 1, and 2 with --tls]
    #[arg(long)]
    jobs: Option<u8>,
}

/// Cases that are run at a time.
struct Part<'a> {
    name: &'static str,
    cases: &'a str,
    exclude: &'a str,
    jobs: u8,
}

/// Both engines of a group have to answer.
const THREADS: Part<'static> = Part {
    name: "threads",
    cases: "*",
    exclude: COMPRESSION,
    jobs: 2,
};

impl AutobahnArgs {
    /// Whether it is the everyday choice of cases, over the everyday server.
    fn is_sample(&self) -> bool {
        let chosen = self.all || self.cases.is_some() || self.exclude.is_some();
        !chosen && self.tls.is_none() && self.threads.is_none() && self.driver.is_none()
    }

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
        if self.tls.is_some() {
            return vec![part("", TLS_CASES, "", 2)];
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
enum Driver {
    Epoll,
    Uring,
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

/// Runs what is chosen; all of it is run before a failure is told.
pub(crate) fn run(workspace: &Workspace, args: &AutobahnArgs) -> Result<(), Failure> {
    Run::new(workspace, args)?.verdict()
}

/// Both roles through TLS, with each backend.
pub(crate) fn run_tls(workspace: &Workspace) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for &backend in Tls::value_variants() {
        let args = AutobahnArgs {
            tls: Some(backend),
            driver: Some(Driver::Epoll),
            ..AutobahnArgs::default()
        };
        failed.extend(Run::new(workspace, &args)?.failed());
    }
    verdict(&failed)
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

struct Run<'a> {
    workspace: &'a Workspace,
    args: &'a AutobahnArgs,
    built: Built,
    /// The backend and the folder of certificates, if it is about TLS.
    tls: Option<(Tls, PathBuf)>,
}

impl<'a> Run<'a> {
    fn new(workspace: &'a Workspace, args: &'a AutobahnArgs) -> Result<Self, Failure> {
        let tls = match args.tls {
            Some(backend) => Some((backend, certificate::make(workspace)?)),
            None => None,
        };
        Ok(Self {
            workspace,
            args,
            built: conformance::build(workspace)?,
            tls,
        })
    }

    fn verdict(&self) -> Result<(), Failure> {
        verdict(&self.failed())
    }

    /// Runs it all; the names of the reports of what failed.
    fn failed(&self) -> Vec<String> {
        let mut failed = Vec::new();
        let mut told = |(report, mut suite): (String, Command)| {
            println!("\nautobahn, {report}");
            if let Err(why) = command::run(&mut suite) {
                println!("{report}: {why}");
                failed.push(report);
            }
        };
        if self.args.role != Some(Role::Client) {
            for &driver in Driver::value_variants() {
                if self.args.driver.is_none_or(|chosen| chosen == driver) {
                    for part in self.args.parts() {
                        told(self.server(&part, driver, self.args.threads));
                    }
                }
            }
            if self.args.is_sample() {
                told(self.server(&THREADS, Driver::Epoll, NonZeroUsize::new(2)));
            }
        }
        if self.args.role != Some(Role::Server) {
            for part in self.args.parts() {
                told(self.client(&part));
            }
        }
        failed
    }

    fn server(
        &self,
        part: &Part<'_>,
        driver: Driver,
        threads: Option<NonZeroUsize>,
    ) -> (String, Command) {
        let (report, mut suite) = self.suite(part, Role::Server, Some(driver));
        suite.args(["--path", "/echo"]);
        if let Some((_, folder)) = &self.tls {
            suite.arg("--tls-ca").arg(folder.join("root.pem"));
        }
        suite.arg("--").arg(&self.built.sockeye);
        suite.args(["serve", "--listen=127.0.0.1:0", "--driver", &name(driver)]);
        if let Some(threads) = threads {
            suite.args(["--threads", &threads.to_string()]);
        }
        if let Some((backend, folder)) = &self.tls {
            suite.arg("--tls-cert").arg(folder.join("server.pem"));
            suite.arg("--tls-key").arg(folder.join("server.key"));
            suite.args(["--tls-backend", &name(*backend)]);
        }
        (report, suite)
    }

    fn client(&self, part: &Part<'_>) -> (String, Command) {
        let (report, mut suite) = self.suite(part, Role::Client, None);
        if let Some((backend, folder)) = &self.tls {
            suite.arg("--tls-cert").arg(folder.join("server.pem"));
            suite.arg("--tls-key").arg(folder.join("server.key"));
            suite.env("AUTOBAHN_CA", folder.join("root.pem"));
            suite.env("AUTOBAHN_TLS_BACKEND", name(*backend));
        }
        suite.arg("--").arg(&self.built.autobahn_client);
        (report, suite)
    }

    /// The runner up to its options, and the name of its report.
    fn suite(&self, part: &Part<'_>, role: Role, driver: Option<Driver>) -> (String, Command) {
        let mut report = name(role);
        let tls = self.tls.as_ref().map(|(backend, _)| name(*backend));
        let part_name = Some(part.name.to_owned()).filter(|name| !name.is_empty());
        for word in [tls, driver.map(name), part_name].into_iter().flatten() {
            report.push('-');
            report.push_str(&word);
        }
        let mut suite = self
            .workspace
            .command(self.workspace.conformance("autobahn/run"));
        // UNIMPLEMENTED would mean that compression was not agreed on.
        suite.args([&name(role), "--cases", part.cases, "--no-skip"]);
        if !part.exclude.is_empty() {
            suite.args(["--exclude", part.exclude]);
        }
        suite.args(["--jobs", &part.jobs.to_string()]);
        let out = self.workspace.target("autobahn").join(&report);
        suite.arg("--out").arg(out);
        let venv = self.workspace.target("venv/bin");
        let path = tool::search_path(std::env::var_os("PATH"), &venv);
        suite.env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        (report, suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `cargo xtask test` runs, for each role and driver.
    #[test]
    fn the_sample_of_compression_runs_alone_and_interleaved() {
        let args = AutobahnArgs::default();
        assert!(args.role.is_none() && args.driver.is_none() && args.is_sample());
        let parts = args.parts();
        let parts: Vec<_> = parts
            .iter()
            .map(|part| (part.name, part.cases, part.exclude, part.jobs))
            .collect();
        assert_eq!(
            parts,
            [
                ("", "*", COMPRESSION, 1),
                ("deflate", SAMPLE, "", 1),
                ("interleaved", SAMPLE, "", 2),
            ]
        );
    }
}
