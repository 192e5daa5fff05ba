//! Programs in C that tests and the bench run: foreign libraries in the role of a peer.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{self, Failure};
use crate::workspace::Workspace;

/// Compiles `source` to the file `program` of the target directory, against these libraries.
pub(crate) fn program(
    workspace: &Workspace,
    source: &Path,
    program: &str,
    libraries: &[&str],
) -> Result<PathBuf, Failure> {
    let program = workspace.target(program);
    if let Some(folder) = program.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
    }
    let mut compile = workspace.command("cc");
    compile
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .args(libraries);
    command::run(&mut compile)?;
    Ok(program)
}
