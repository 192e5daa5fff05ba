//! The tools that tests call: how each is recognised, and which Debian packages bring it.
//!
//! Knows no version newer than it needs, and installs nothing: `setup` does.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::stage::Stage;

/// Something that has to be on the machine.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// The stages that call it.
    pub(crate) stages: &'static [Stage],
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
    /// What was found (for a person), or what is wrong.
    pub(crate) look: fn() -> Result<String, String>,
}

const PYTHON_USERS: &[Stage] = &[Stage::Autobahn, Stage::Peers];
const NODE_USERS: &[Stage] = &[Stage::Peers, Stage::Browser];

/// The earliest Python and Node that the pinned packages run on.
const PYTHON: (u32, u32) = (3, 11);
const NODE: (u32, u32) = (18, 0);

pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: "python3",
        stages: PYTHON_USERS,
        packages: &["python3"],
        look: || at_least(&["python3", "--version"], PYTHON),
    },
    Tool {
        name: "python3 venv",
        stages: PYTHON_USERS,
        packages: &["python3-venv"],
        look: || {
            found(&[
                "python3",
                "-c",
                "import ensurepip, venv; print(ensurepip.version())",
            ])
        },
    },
    Tool {
        name: "node",
        stages: NODE_USERS,
        packages: &["nodejs"],
        look: || at_least(&["node", "--version"], NODE),
    },
    Tool {
        name: "npm",
        stages: NODE_USERS,
        packages: &["npm"],
        look: || found(&["npm", "--version"]),
    },
    Tool {
        name: "curl",
        stages: &[Stage::Peers],
        packages: &["curl"],
        look: || found(&["curl", "--version"]),
    },
    Tool {
        name: "libwebsockets-test-server",
        stages: &[Stage::Peers],
        packages: &["libwebsockets-test-server"],
        look: || {
            on_path("libwebsockets-test-server")
                .ok_or_else(missing)
                .map(shown)
        },
    },
    Tool {
        name: "chromium",
        stages: &[Stage::Browser],
        packages: &["chromium", "fonts-dejavu-core"],
        look: || chromium().ok_or_else(missing).map(shown),
    },
    Tool {
        name: "apt-get, dpkg-deb, flock",
        stages: &[Stage::Autobahn],
        packages: &["apt", "dpkg", "util-linux", "debian-archive-keyring"],
        look: || match ["apt-get", "dpkg-deb", "flock"]
            .iter()
            .find(|name| on_path(name).is_none())
        {
            Some(name) => Err(format!("{name} is missing")),
            None => Ok("found".to_owned()),
        },
    },
    Tool {
        name: "rustfmt",
        stages: &[Stage::Fmt],
        packages: &[],
        look: || found(&["cargo", "fmt", "--version"]),
    },
    Tool {
        name: "clippy",
        stages: &[Stage::Clippy, Stage::Msrv],
        packages: &[],
        look: || found(&["cargo", "clippy", "--version"]),
    },
];

/// What `cargo xtask bench` needs, beside cargo: no stage of the tests calls these.
pub(crate) const BENCH_TOOLS: &[Tool] = &[
    Tool {
        name: "node",
        stages: &[],
        packages: &["nodejs"],
        look: || at_least(&["node", "--version"], NODE),
    },
    Tool {
        name: "npm",
        stages: &[],
        packages: &["npm"],
        look: || found(&["npm", "--version"]),
    },
    Tool {
        name: "cc",
        stages: &[],
        packages: &["gcc", "libc6-dev"],
        look: || found(&["cc", "--version"]),
    },
    Tool {
        name: "libwebsockets-dev",
        stages: &[],
        packages: &["libwebsockets-dev", "libssl-dev"],
        look: || header(&["libwebsockets.h", "openssl/crypto.h"]),
    },
    Tool {
        name: "taskset, setpriv",
        stages: &[],
        packages: &["util-linux"],
        look: || found(&["taskset", "--version"]).and_then(|_| found(&["setpriv", "--version"])),
    },
];

/// The browser: what `CHROMIUM` names, else the first known name on PATH.
pub(crate) fn chromium() -> Option<PathBuf> {
    let named = env::var_os("CHROMIUM")
        .map(PathBuf::from)
        .filter(|path| path.is_file());
    named.or_else(|| {
        [
            "chromium",
            "chromium-browser",
            "google-chrome-stable",
            "google-chrome",
        ]
        .iter()
        .find_map(|name| on_path(name))
    })
}

/// PATH with `first` before everything else.
pub(crate) fn search_path(path: Option<OsString>, first: &Path) -> OsString {
    let mut all = first.as_os_str().to_owned();
    if let Some(path) = path {
        all.push(":");
        all.push(path);
    }
    all
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether the C compiler finds these headers.
fn header(names: &[&str]) -> Result<String, String> {
    let mut child = Command::new("cc");
    child.args(["-E", "-o", "/dev/null"]);
    for name in names {
        child.args(["-include", name]);
    }
    command::output(child.args(["-x", "c", "/dev/null"]))
        .ok_or_else(missing)
        .map(|_| "found".to_owned())
}

fn found(command: &[&str]) -> Result<String, String> {
    let mut child = Command::new(command[0]);
    let text = command::output(child.args(&command[1..])).ok_or_else(missing)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn at_least(command: &[&str], least: (u32, u32)) -> Result<String, String> {
    let text = found(command)?;
    match version(&text) {
        Some(version) if version >= least => Ok(text),
        _ => Err(format!(
            "{text} is too old: {}.{} or later is needed",
            least.0, least.1
        )),
    }
}

/// The first `MAJOR.MINOR` in a line such as `v20.20.2` or `Python 3.11.7`.
fn version(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut parts = text[start..].split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn missing() -> String {
    "missing".to_owned()
}

fn shown(path: PathBuf) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_tools_print() {
        assert_eq!(version("v20.20.2"), Some((20, 20)));
        assert_eq!(version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(version("none"), None);
    }

    #[test]
    fn the_venv_comes_before_the_rest_of_the_path() {
        let path = search_path(Some("/a:/b".into()), Path::new("venv/bin"));
        assert_eq!(path, "venv/bin:/a:/b");
    }
}
