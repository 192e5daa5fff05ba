//! A peer that runs: started, listened to for its one line, ended by its id.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::cell::Deflate;
use crate::failure::Failure;
use crate::measure::Rig;
use crate::peer::Peer;

/// How long a peer may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
/// A peer that needs no more than this in [`MOMENT`] is at rest.
const NOTHING: Duration = Duration::from_micros(500);
const MOMENT: Duration = Duration::from_millis(20);
/// How long a peer may take to see to what a measurement has left it with.
const AFTERMATH: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    tls: bool,
    port: u16,
    /// What exactly runs.
    pub(crate) version: String,
}

impl Server {
    pub(crate) fn start(
        rig: &Rig,
        peer: &Peer,
        tls: bool,
        deflate: Option<Deflate>,
    ) -> Result<Self, Failure> {
        let mut command = pinned(rig.server_core, &peer.command(rig));
        if tls {
            command
                .arg("--tls")
                .args([&rig.certificate.chain, &rig.certificate.key]);
        }
        if let Some(deflate) = deflate {
            command.args(["--deflate", deflate.name()]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("start {}: {error}", peer.name)))?;
        let stdout = child.stdout.take();
        let mut server = Self {
            child,
            tls,
            port: 0,
            version: String::new(),
        };
        let (sender, line) = mpsc::channel();
        // Ends with the peer, whose output it reads.
        thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.map(|stdout| BufReader::new(stdout).read_line(&mut line));
            drop(sender.send(line));
            drop(read);
        });
        let line = line.recv_timeout(PATIENCE).unwrap_or_default();
        let (port, version) = announced(&line)
            .ok_or_else(|| Failure::new(format!("{} does not listen", peer.name)))?;
        server.port = port;
        server.version = version.to_owned();
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has nothing more to do: some are busy with connections that have ended long
    /// after those have, and who is measured next would have to share the core with them. False
    /// if it does not come to rest.
    pub(crate) fn rests(&self) -> bool {
        let spent = || {
            let clock = clock_getcpuclockid(Pid::from_raw(self.child.id().cast_signed())).ok()?;
            clock_gettime(clock).ok().map(Duration::from)
        };
        let end = Instant::now() + AFTERMATH;
        let mut before = spent();
        while before.is_some() && Instant::now() < end {
            thread::sleep(MOMENT);
            let now = spent();
            let used = now
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before));
            if used.is_some_and(|used| used <= NOTHING) {
                return true;
            }
            before = now;
        }
        false
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails for a peer that has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The command on one core; it is killed when we die, whatever we die of.
pub(crate) fn pinned(core: usize, command: &Command) -> Command {
    let mut pinned = Command::new("setpriv");
    pinned.args([
        "--pdeathsig",
        "KILL",
        "taskset",
        "--cpu-list",
        &core.to_string(),
    ]);
    pinned.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => pinned.env(name, value),
            None => pinned.env_remove(name),
        };
    }
    pinned
}

/// `listening PORT VERSION...`
fn announced(line: &str) -> Option<(u16, &str)> {
    let (port, version) = line
        .strip_prefix("listening ")?
        .trim_end()
        .split_once(' ')?;
    Some((port.parse().ok()?, version))
}

#[derive(Debug)]
pub(crate) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
}

/// Makes the certificate that all servers show: ECDSA over P-256, signed by itself.
pub(crate) fn certificate(folder: &Path) -> Result<Certificate, Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .map_err(|error| Failure::new(format!("make a certificate: {error}")))?;
    let files = Certificate {
        chain: folder.join("chain.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&files.chain, made.cert.pem()).map_err(Failure::file(&files.chain))?;
    fs::write(&files.key, made.signing_key.serialize_pem()).map_err(Failure::file(&files.key))?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_says_where_and_what_it_is() {
        assert_eq!(
            announced("listening 4711 ws 8, Node 20\n"),
            Some((4711, "ws 8, Node 20"))
        );
        for wrong in [
            "",
            "listening",
            "listening x y",
            "listening 99999 y",
            "error 1 y",
        ] {
            assert_eq!(announced(wrong), None, "{wrong}");
        }
    }
}
