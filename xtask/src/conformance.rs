//! Runs what lives in `conformance/`, on the release build of the command.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{self, Failure};
use crate::tool;
use crate::workspace::Workspace;

/// Builds the command, optimised as users get it, and says where it is.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf, Failure> {
    command::run(
        workspace
            .cargo(&["build"])
            .args(["--release", "--package", "sockeye-cli"]),
    )?;
    Ok(workspace.target("release/sockeye"))
}

/// All foreign peers: the pytest suite, then the one of Node.
pub(crate) fn peers(workspace: &Workspace) -> Result<(), Failure> {
    pytest(workspace, &[])?;
    node(workspace, "peers/node")
}

/// The pytest suite, with arguments for pytest.
pub(crate) fn pytest(workspace: &Workspace, arguments: &[OsString]) -> Result<(), Failure> {
    let binary = build(workspace)?;
    let mut pytest = workspace.command(workspace.target("venv/bin/python"));
    pytest
        .args(["-m", "pytest"])
        .args(arguments)
        .current_dir(workspace.conformance("peers"));
    command::run(for_tests(&mut pytest, workspace).env("SOCKEYE_BIN", binary))
}

/// The demo page in Chromium.
pub(crate) fn browser(workspace: &Workspace) -> Result<(), Failure> {
    let Some(chromium) = tool::chromium() else {
        return Err(Failure::new("no Chromium on PATH"));
    };
    println!("browser: {}", chromium.display());
    node(workspace, "browser")?;
    println!("screenshots: {}", workspace.target("screenshots").display());
    Ok(())
}

/// The tests of Node's own runner in a folder of `conformance/`.
fn node(workspace: &Workspace, folder: &str) -> Result<(), Failure> {
    let binary = build(workspace)?;
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
    command::run(for_tests(&mut node, workspace).env("SOCKEYE_BIN", binary))
}

fn for_tests<'c>(command: &'c mut Command, workspace: &Workspace) -> &'c mut Command {
    if let Some(chromium) = tool::chromium() {
        command.env("CHROMIUM", chromium);
    }
    command
        .env("NODE_PATH", workspace.target("node/node_modules"))
        .env("SCREENSHOTS", workspace.target("screenshots"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "PATH",
            tool::search_path(env::var_os("PATH"), &workspace.target("venv/bin")),
        )
}
