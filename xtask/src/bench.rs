//! The comparison with our peers: installs and builds all of them, then runs `bench-run`, which
//! knows the rest.
//!
//! Peers come from package registries only, at the versions that lock files and Debian pin.

use std::ffi::OsString;
use std::fs;

use crate::command::{self, Failure};
use crate::compile;
use crate::network;
use crate::setup;
use crate::uwebsockets;
use crate::workspace::Workspace;

/// Builds everything, then measures; `arguments` are those of `bench-run`.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<(), Failure> {
    setup::bench(workspace)?;
    let mut build = workspace.cargo(&["build"]);
    command::run(build.args([
        "--release",
        "--package",
        "sockeye-bench",
        "--features",
        "peers",
    ]))?;
    // A workspace of its own, for it needs a later Rust than ours.
    let mut build = workspace.cargo(&["build"]);
    build.args(["--release", "--manifest-path", "bench/sockudo/Cargo.toml"]);
    command::run(build.arg("--target-dir").arg(workspace.target("")))?;
    let folder = workspace.target("bench");
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
    let source = workspace.bench("peers/libwebsockets.c");
    let libraries = ["-lwebsockets", "-lcrypto"];
    compile::program(workspace, &source, "bench/peer-libwebsockets", &libraries)?;
    uwebsockets::peer(workspace)?;
    let mut measure = network::own(workspace, workspace.target("release/bench-run"));
    measure
        .arg("--programs")
        .arg(workspace.target("release"))
        .arg("--node-modules")
        .arg(workspace.target("node/node_modules"))
        .arg("--folder")
        .arg(&folder)
        .arg("--bench")
        .arg(workspace.bench(""))
        .args(arguments);
    command::run(&mut measure)
}
