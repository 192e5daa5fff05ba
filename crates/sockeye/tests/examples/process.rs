//! An example as a process of its own: built, started on a free port, ended with the test.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A running example.
#[derive(Debug)]
pub(crate) struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// Starts a server and returns where it listens.
    pub(crate) fn serve(name: &str) -> (Self, SocketAddr) {
        let mut example = Self::start(command(name).arg("127.0.0.1:0"));
        let line = example.line();
        let (_, url) = line.split_once("listening on ").unwrap();
        let (_, rest) = url.split_once("://").unwrap();
        let (address, _) = rest.split_once('/').unwrap();
        (example, address.parse().unwrap())
    }

    /// The next line that it prints; empty when it has ended.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().transpose().unwrap().unwrap_or_default()
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// What it has cost so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The second field is the name, in parentheses; the 14th and 15th are ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields = fields.split(' ').skip(11).take(2);
        let ticks: u32 = fields.map(|ticks| ticks.parse::<u32>().unwrap()).sum();
        ticks * Duration::from_millis(10)
    }

    /// Waits for its end. Returns whether it was satisfied.
    pub(crate) fn succeeds(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that runs an example.
pub(crate) fn command(name: &str) -> Command {
    Command::new(directory().join(name))
}

/// Where the examples are. They are built here: what a test run builds of them depends on its
/// arguments.
fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .args(["build", "--quiet", "--examples", "--manifest-path"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{build:?}");
        // From `deps/examples-0123456789abcdef`.
        let mut directory = std::env::current_exe().unwrap();
        directory.pop();
        directory.pop();
        directory.join("examples")
    })
}
