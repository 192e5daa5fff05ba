//! Running the binary: to its end, or as a server for the length of a test.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Far more than anything here takes; what is not there by then does not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn sockeye(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    command
        .args(args)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A process whose output is gathered. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = sockeye(args).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            child,
            stderr: Some(stderr),
        }
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<usize>().unwrap() * 1024
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end; returns the status and what was said on standard error.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let stderr = self.stderr.take().unwrap();
        let (done, ended) = mpsc::channel();
        // Standard error ends when the process does.
        thread::spawn(move || drop(done.send(stderr.join().unwrap())));
        let text = ended.recv_timeout(PATIENCE).expect("it does not end");
        (self.child.wait().unwrap(), text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// It went well, and said nothing but this.
    pub(crate) fn assert_success(&self, stdout: &str) {
        assert_eq!(
            (self.code, self.text(), &*self.stderr),
            (Some(0), stdout, "")
        );
    }

    /// It failed with one line on standard error that says this.
    pub(crate) fn assert_failure(&self, what: &str) {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.stderr.starts_with("sockeye: "), "{self:?}");
        assert_eq!(self.stderr.matches('\n').count(), 1, "{self:?}");
        assert!(self.stderr.ends_with('\n'), "{self:?}");
        assert!(self.stderr.contains(what), "{self:?}");
    }
}

/// Runs to the end, with this input.
pub(crate) fn run(args: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let mut running = Running::start(args);
    let mut stdin = running.stdin();
    let input = input.as_ref().to_vec();
    // It may end before it has read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let reader = read_all(running.stdout());
    let (status, stderr) = running.wait();
    writer.join().unwrap();
    Ended {
        code: status.code(),
        stdout: reader.join().unwrap(),
        stderr,
    }
}

pub(crate) fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// The lines of a process, as they come.
pub(crate) fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A `sockeye serve` that is ready.
pub(crate) struct Server {
    running: Running,
    lines: Receiver<String>,
    /// What it listens on, as it says.
    pub(crate) listening: Vec<String>,
}

impl Server {
    /// On a free port of the loopback address.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on(&["127.0.0.1:0"], args)
    }

    pub(crate) fn start_on(listeners: &[&str], args: &[&str]) -> Self {
        let mut all = vec!["serve"];
        for listener in listeners {
            all.extend(["--listen", listener]);
        }
        all.extend(args);
        let mut running = Running::start(&all);
        let lines = lines(running.stdout());
        let mut listening = Vec::new();
        for _ in listeners {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => listening.push(line),
                Err(_) => panic!("{:?}", running.wait()),
            }
        }
        Self {
            running,
            lines,
            listening,
        }
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> &str {
        self.listening[0]
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix('/'))
            .unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address())
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    pub(crate) fn peak_memory(&self) -> usize {
        self.running.peak_memory()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.running.is_running()
    }

    /// Waits for the end; returns the status, further lines of standard output, standard error.
    pub(crate) fn wait(self) -> (Option<i32>, Vec<String>, String) {
        let (status, stderr) = self.running.wait();
        (status.code(), self.lines.iter().collect(), stderr)
    }
}
