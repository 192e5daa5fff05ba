//! Child processes: shown before they run, awaited, their failure in one line.
//!
//! Knows nothing of what is run. Every child is awaited before the call returns.

use std::error::Error;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a chore failed, in words for a person.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// An input or output error on `path`.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failure {}

/// Runs `command` with our own standard streams; anything but exit status 0 is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = shown(command);
    println!("$ {line}");
    // What we print and what the child prints must come out in this order.
    let _ = io::stdout().flush();
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::new(format!("cannot run {}: {error}", program(command))))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} failed ({status})",
            program(command)
        )))
    }
}

/// Runs `command` beside others: shown with its time when it has ended, and with its output if it failed.
pub(crate) fn run_beside(command: &mut Command) -> Result<(), Failure> {
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("cannot run {}: {error}", program(command))))?;
    let line = shown(command);
    let seconds = start.elapsed().as_secs_f32();
    // At once: `println!` of a text is not interrupted by another.
    if output.status.success() {
        println!("$ {line}  ({seconds:.1} s)");
        return Ok(());
    }
    let said = [&output.stdout[..], &output.stderr].concat();
    println!("$ {line}\n{}", String::from_utf8_lossy(&said));
    Err(Failure::new(format!("{line} failed ({})", output.status)))
}

/// Runs `command` and hands back its standard output; `None` when it cannot be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// The line as a person would type it where the command runs.
fn shown(command: &Command) -> String {
    let here = command.get_current_dir().unwrap_or_else(|| Path::new(""));
    let below = |word| {
        Path::new(word)
            .strip_prefix(here)
            .ok()
            .map(Path::to_string_lossy)
    };
    let mut line = match below(command.get_program()) {
        Some(path) if path != command.get_program().to_string_lossy() => path.into_owned(),
        _ => program(command),
    };
    for word in command.get_args() {
        let word = below(word).unwrap_or_else(|| word.to_string_lossy());
        line.push(' ');
        if word.is_empty() || word.contains([' ', '\'', '"', '*']) {
            line.push_str(&format!("{word:?}"));
        } else {
            line.push_str(&word);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let failure = run(&mut Command::new("false")).unwrap_err();
        assert_eq!(failure.to_string(), "false failed (exit status: 1)");
        assert_eq!(output(&mut Command::new("false")), None);
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(
            failure
                .to_string()
                .starts_with("cannot run no-such-program-here: "),
            "{failure}"
        );
    }

    #[test]
    fn a_shown_line_quotes_what_a_shell_would_split() {
        let mut command = Command::new("/usr/bin/echo");
        command.args(["plain", "two words", ""]);
        assert_eq!(shown(&command), r#"echo plain "two words" """#);
    }

    #[test]
    fn a_shown_line_leaves_out_the_folder_it_runs_in() {
        let mut command = Command::new("/some/where/bin/run");
        command
            .current_dir("/some/where")
            .args(["/some/where/file", "/else"]);
        assert_eq!(shown(&command), "bin/run file /else");
    }
}
