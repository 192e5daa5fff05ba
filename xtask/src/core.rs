//! The speed of the protocol core by itself: `bench/core`, built and run.

use crate::command::{self, Failure};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut build = workspace.cargo(&["build"]);
    command::run(build.args(["--release", "--package=sockeye-core"]))?;
    command::run(&mut workspace.command(workspace.target("release/sockeye-core")))
}
