//! Runs what lives in `conformance/`, on the release build of the command.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::capi::{self, Installed};
use crate::certificate;
use crate::command::{self, Failure};
use crate::compile;
use crate::tool;
use crate::workspace::Workspace;

/// What is tested.
pub(crate) struct Built {
    /// The command.
    pub(crate) sockeye: PathBuf,
    /// The example that is Autobahn's client.
    pub(crate) autobahn_client: PathBuf,
}

/// Builds all of it, optimised and with every backend of TLS.
pub(crate) fn build(workspace: &Workspace) -> Result<Built, Failure> {
    let mut build = workspace.cargo(&["build"]);
    // At once, so that the library is compiled once.
    build.args(["--release", "--package=sockeye-cli", "--package=sockeye"]);
    build.args(["--features=sockeye-cli/openssl,sockeye/openssl"]);
    command::run(build.args(["--bin=sockeye", "--example=autobahn_client"]))?;
    Ok(Built {
        sockeye: workspace.target("release/sockeye"),
        autobahn_client: workspace.target("release/examples/autobahn_client"),
    })
}

/// All foreign peers: the pytest suite, then the one of Node.
pub(crate) fn peers(workspace: &Workspace) -> Result<(), Failure> {
    pytest(workspace, &[])?;
    command::run(&mut node_tests(workspace, "peers/node")?)
}

/// The pytest suite but the part about the C library, with arguments for pytest.
pub(crate) fn pytest(workspace: &Workspace, arguments: &[OsString]) -> Result<(), Failure> {
    let source = workspace.conformance("peers/libwebsockets/peer.c");
    let libraries = ["-lwebsockets"];
    let peer = compile::program(workspace, &source, "peers/libwebsockets", &libraries)?;
    let mut pytest = python_tests(workspace, &build(workspace)?.sockeye)?;
    pytest
        .arg(format!("--ignore-glob={OF_C}"))
        .env("LIBWEBSOCKETS_PEER", peer);
    command::run(pytest.args(arguments))
}

/// The part about the C library, with its examples, each in three ways, in a folder.
pub(crate) fn pytest_of_c(
    workspace: &Workspace,
    installed: &Installed,
    examples: &Path,
) -> Result<(), Failure> {
    let mut pytest = python_tests(workspace, &build(workspace)?.sockeye)?;
    pytest
        .args(["--numprocesses=3", "-o", &format!("python_files={OF_C}")])
        .env("C_EXAMPLES", examples)
        .env("LD_LIBRARY_PATH", installed.lib(""));
    command::run(&mut pytest)
}

/// The names of those tests; a stage of their own runs them.
const OF_C: &str = "test_c_*.py";

fn python_tests(workspace: &Workspace, sockeye: &Path) -> Result<Command, Failure> {
    let mut pytest = workspace.command(workspace.target("venv/bin/python"));
    pytest
        .args(["-m", "pytest"])
        .current_dir(workspace.conformance("peers"));
    for_tests(&mut pytest, workspace)?.env("SOCKEYE_BIN", sockeye);
    Ok(pytest)
}

/// The demo page in Chromium, and that of the C examples.
pub(crate) fn browser(workspace: &Workspace) -> Result<(), Failure> {
    let Some(chromium) = tool::chromium() else {
        return Err(Failure::new("no Chromium on PATH"));
    };
    println!("browser: {}", chromium.display());
    let (installed, examples) = capi::examples(workspace)?;
    let mut node = node_tests(workspace, "browser")?;
    node.env("C_EXAMPLES", examples)
        .env("LD_LIBRARY_PATH", installed.lib(""));
    command::run(&mut node)?;
    println!("screenshots: {}", workspace.target("screenshots").display());
    Ok(())
}

/// The tests of Node's own runner in a folder of `conformance/`.
fn node_tests(workspace: &Workspace, folder: &str) -> Result<Command, Failure> {
    let binary = build(workspace)?.sockeye;
    let folder = workspace.conformance(folder);
    let mut tests: Vec<PathBuf> = std::fs::read_dir(&folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(|error| Failure::file(&folder, &error))?;
    tests.retain(|path| path.to_string_lossy().ends_with(".test.js"));
    tests.sort();
    if tests.is_empty() {
        return Err(Failure::new(format!("no test in {}", folder.display())));
    }
    let mut node = workspace.command("node");
    // One file at a time: two cores, and the browser wants both.
    node.args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .args(tests);
    for_tests(&mut node, workspace)?.env("SOCKEYE_BIN", binary);
    Ok(node)
}

fn for_tests<'c>(
    command: &'c mut Command,
    workspace: &Workspace,
) -> Result<&'c mut Command, Failure> {
    if let Some(chromium) = tool::chromium() {
        command.env("CHROMIUM", chromium);
    }
    let path = tool::search_path(env::var_os("PATH"), &workspace.target("venv/bin"));
    Ok(command
        .env("CERTIFICATES", certificate::make(workspace)?)
        .env("NODE_PATH", workspace.target("node/node_modules"))
        .env("SCREENSHOTS", workspace.target("screenshots"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PATH", path))
}
