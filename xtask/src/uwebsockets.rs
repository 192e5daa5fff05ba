//! uWebSockets, a peer of the bench: a program in C++, compiled with the source that a package of
//! crates.io ships (`bench/Cargo.toml` names it, and cargo fetches it; nothing of it is Rust).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::command::{self, Failure};
use crate::workspace::Workspace;

const PACKAGE: &str = "libuwebsockets-sys";
/// Of uSockets, below it: plain C.
const SOURCES: [&str; 7] = [
    "bsd",
    "context",
    "crypto/openssl",
    "eventing/epoll_kqueue",
    "loop",
    "socket",
    "udp",
];
/// As its own build does it, but for the warnings.
const FLAGS: [&str; 4] = ["-O3", "-flto=auto", "-w", "-DLIBUS_USE_OPENSSL"];

/// Compiles the peer, unless it is there and newer than its source.
pub(crate) fn peer(workspace: &Workspace) -> Result<(), Failure> {
    let source = workspace.bench("peers/uwebsockets.cpp");
    let peer = workspace.target("bench/peer-uwebsockets");
    let (library, version) = package(workspace)?;
    let lock = workspace.bench("../Cargo.lock");
    if modified(&peer) > modified(&source).max(modified(&lock)) {
        return Ok(());
    }
    let (web, sockets) = (library.join("src"), library.join("uSockets/src"));
    let include = |folder: &Path| format!("-I{}", folder.display());
    let folder = workspace.target("bench/usockets");
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
    let mut objects = Vec::new();
    for name in SOURCES {
        let object = folder.join(name.replace('/', "-")).with_extension("o");
        let mut compile = workspace.command("cc");
        compile.args(FLAGS).args(["-std=c11", "-c"]);
        compile.arg(include(&sockets));
        compile.arg(sockets.join(name).with_extension("c"));
        command::run(compile.arg("-o").arg(&object))?;
        objects.push(object);
    }
    let mut compile = workspace.command("c++");
    compile.args(FLAGS).arg("-std=c++20");
    compile.arg(format!("-DUWEBSOCKETS_VERSION=\"{version}\""));
    compile.args([include(&web), include(&sockets)]);
    compile.arg(source).arg(sockets.join("crypto/sni_tree.cpp"));
    compile.args(objects).arg("-o").arg(&peer);
    command::run(compile.args(["-lssl", "-lcrypto", "-lz"]))
}

/// Where the source is, and what it is.
fn package(workspace: &Workspace) -> Result<(PathBuf, String), Failure> {
    let metadata = workspace.metadata(&[])?;
    let packages = metadata["packages"].as_array();
    let package = packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == PACKAGE)
        .ok_or_else(|| Failure::new(format!("{PACKAGE} is not in the lock file")))?;
    let text = |field: &str| package[field].as_str().unwrap_or_default();
    let folder = Path::new(text("manifest_path")).with_file_name("uWebSockets");
    let version = format!("uWebSockets of {PACKAGE} {}", text("version"));
    Ok((folder, version))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).ok()
}
