//! Where things are: the root of the workspace, its target directory, and cargo itself.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::command::{self, Failure};

/// The workspace that this program belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// In CI the lock file is law; at a developer's desk cargo may bring it up to date.
    ci: bool,
}

impl Workspace {
    /// Asks cargo, so that a target directory set elsewhere is respected.
    pub(crate) fn find() -> Result<Self, Failure> {
        // Set by `cargo run`; the other is for a binary that is started by hand.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().unwrap_or(&manifest).to_owned();
        let mut workspace = Self {
            target: root.join("target"),
            root,
            ci: env::var_os("CI").is_some(),
        };
        let metadata = workspace.metadata(&["--no-deps"])?;
        let target = metadata["target_directory"].as_str();
        workspace.target = target
            .map(PathBuf::from)
            .ok_or_else(|| Failure::new("cargo names no target folder"))?;
        Ok(workspace)
    }

    /// A path below the target directory.
    pub(crate) fn target(&self, below: &str) -> PathBuf {
        self.target.join(below)
    }

    /// A path below `conformance/`.
    pub(crate) fn conformance(&self, below: &str) -> PathBuf {
        self.root.join("conformance").join(below)
    }

    /// A path below `bench/`.
    pub(crate) fn bench(&self, below: &str) -> PathBuf {
        self.root.join("bench").join(below)
    }

    /// A path below the crate of the C library.
    pub(crate) fn capi(&self, below: &str) -> PathBuf {
        self.root.join("crates/sockeye-capi").join(below)
    }

    /// A path below `examples/`.
    pub(crate) fn example(&self, below: &str) -> PathBuf {
        self.root.join("examples").join(below)
    }

    /// `cargo SUBCOMMAND`, at the root of the workspace.
    pub(crate) fn cargo(&self, subcommand: &[&str]) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(subcommand);
        if self.ci && !subcommand.contains(&"fmt") {
            command.arg("--locked");
        }
        command
    }

    /// Any other program, at the root of the workspace.
    pub(crate) fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.root);
        // They describe xtask itself; a build that reads them would be made again each time.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&*name);
            }
        }
        command
    }

    /// What `cargo metadata` tells.
    pub(crate) fn metadata(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let mut command = self.cargo(&["metadata"]);
        command.args(["--format-version", "1"]).args(arguments);
        let text = command::output(&mut command)
            .ok_or_else(|| Failure::new("cargo metadata failed; run it by hand to see why"))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("cargo metadata: {error}")))
    }
}
