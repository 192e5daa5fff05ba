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

pub(crate) const PYTHON_USERS: &[Stage] = &[
    Stage::Capi,
    Stage::Autobahn,
    Stage::AutobahnTls,
    Stage::Peers,
];
pub(crate) const NODE_USERS: &[Stage] = &[Stage::Peers, Stage::Browser];

pub(crate) const AUTOBAHN_USERS: &[Stage] = &[Stage::Autobahn, Stage::AutobahnTls];
/// Who compiles our OpenSSL backend.
const OPENSSL_USERS: &[Stage] = &[
    Stage::Clippy,
    Stage::Unit,
    Stage::Uring,
    Stage::Doc,
    Stage::Msrv,
    Stage::Build,
    Stage::Capi,
    Stage::Autobahn,
    Stage::AutobahnTls,
    Stage::Peers,
    Stage::Browser,
];

/// The earliest Python and Node that the pinned packages run on.
const PYTHON: (u32, u32) = (3, 11);
const NODE: (u32, u32) = (18, 0);
/// The earliest OpenSSL that the backend supports.
const OPENSSL: (u32, u32) = (1, 1);

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
        stages: &[Stage::Capi, Stage::Peers],
        packages: &["libwebsockets-test-server"],
        look: || program("libwebsockets-test-server"),
    },
    Tool {
        name: "cc",
        stages: &[Stage::Peers],
        packages: &["gcc", "libc6-dev"],
        look: || found(&["cc", "--version"]),
    },
    Tool {
        name: "c++",
        stages: &[Stage::Fuzz],
        packages: &["g++"],
        look: || found(&["c++", "--version"]),
    },
    Tool {
        name: "libwebsockets-dev",
        stages: &[Stage::Peers],
        packages: &["libwebsockets-dev"],
        look: || header(&["libwebsockets.h"]),
    },
    Tool {
        name: "tinyproxy",
        stages: &[Stage::Peers],
        packages: &["tinyproxy-bin"],
        look: || program("tinyproxy"),
    },
    Tool {
        name: "microsocks",
        stages: &[Stage::Peers],
        packages: &["microsocks"],
        look: || program("microsocks"),
    },
    Tool {
        name: "danted",
        stages: &[Stage::Peers],
        packages: &["dante-server"],
        look: || program("danted"),
    },
    Tool {
        name: "openssl",
        stages: &[Stage::Capi, Stage::Peers, Stage::Browser],
        packages: &["openssl"],
        look: || found(&["openssl", "version"]),
    },
    Tool {
        name: "stunnel",
        stages: &[Stage::AutobahnTls],
        packages: &["stunnel4"],
        look: || program("stunnel"),
    },
    Tool {
        name: "pkg-config",
        stages: OPENSSL_USERS,
        packages: &["pkg-config"],
        look: || found(&["pkg-config", "--version"]),
    },
    Tool {
        name: "OpenSSL's headers",
        stages: OPENSSL_USERS,
        packages: &["libssl-dev"],
        look: openssl_headers,
    },
    Tool {
        name: "gcc",
        stages: &[Stage::Capi, Stage::Browser],
        packages: &["gcc", "libc6-dev"],
        look: || found(&["gcc", "--version"]),
    },
    Tool {
        name: "g++",
        stages: &[Stage::Capi],
        packages: &["g++"],
        look: || found(&["g++", "--version"]),
    },
    Tool {
        name: "nm",
        stages: &[Stage::Capi],
        packages: &["binutils"],
        look: || found(&["nm", "--version"]),
    },
    Tool {
        name: "make",
        stages: &[Stage::Capi, Stage::Browser],
        packages: &["make"],
        look: || found(&["make", "--version"]),
    },
    Tool {
        name: "valgrind",
        stages: &[Stage::Icount, Stage::Capi],
        packages: &["valgrind"],
        look: || found(&["valgrind", "--version"]),
    },
    Tool {
        name: "chromium",
        stages: &[Stage::Browser],
        packages: &["chromium", "fonts-dejavu-core"],
        look: || chromium().ok_or_else(missing).map(shown),
    },
    Tool {
        name: "apt-get, dpkg-deb, flock",
        stages: AUTOBAHN_USERS,
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
        name: "c++, zlib1g-dev",
        stages: &[],
        packages: &["g++", "zlib1g-dev"],
        look: || found(&["c++", "--version"]).and_then(|_| header(&["zlib.h"])),
    },
    Tool {
        name: "taskset, setpriv",
        stages: &[],
        packages: &["util-linux"],
        look: || found(&["taskset", "--version"]).and_then(|_| found(&["setpriv", "--version"])),
    },
    Tool {
        name: "ip",
        stages: &[],
        packages: &["iproute2"],
        look: || found(&["ip", "-Version"]),
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

/// Debian keeps daemons where users do not look.
const DAEMONS: &str = "/usr/sbin:/usr/local/sbin";

fn program(name: &str) -> Result<String, String> {
    on_path(name).ok_or_else(missing).map(shown)
}

/// What `openssl-sys` will find, the way it looks.
fn openssl_headers() -> Result<String, String> {
    let header = "openssl/ssl.h";
    let named = ["OPENSSL_INCLUDE_DIR", "OPENSSL_DIR"]
        .iter()
        .find_map(env::var_os);
    if let Some(folder) = named {
        let folder = PathBuf::from(folder);
        let here = [folder.join(header), folder.join("include").join(header)];
        return here
            .into_iter()
            .find(|file| file.is_file())
            .ok_or_else(missing)
            .map(shown);
    }
    if let Some(version) =
        command::output(Command::new("pkg-config").args(["--modversion", "openssl"]))
    {
        return match self::version(&version) {
            Some(number) if number >= OPENSSL => Ok(version),
            _ => Err(too_old(&version, OPENSSL)),
        };
    }
    // Without pkg-config, which is a tool of its own, the file itself tells.
    let file = Path::new("/usr/include").join(header);
    if file.is_file() {
        Ok(shown(file))
    } else {
        Err(missing())
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = search_path(Some(DAEMONS.into()), Path::new(&env::var_os("PATH")?));
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
        _ => Err(too_old(&text, least)),
    }
}

/// The first `MAJOR.MINOR` in a line such as `v20.20.2` or `Python 3.11.7`.
fn version(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut parts = text[start..].split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn too_old(text: &str, least: (u32, u32)) -> String {
    format!(
        "{text} is too old: {}.{} or later is needed",
        least.0, least.1
    )
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
