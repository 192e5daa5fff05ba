//! Instructions of the hot paths, counted by callgrind and compared with a table that is committed:
//! no noise of the machine can touch them.
//!
//! What runs is `bench/icount`. A path's count is the difference of two runs, divided by how many
//! times more the second one went it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::command::{self, Failure};
use crate::workspace::Workspace;

/// By how much a count may grow; whatever shrinks by as much belongs into the table.
const TOLERANCE: f64 = 0.03;

/// Counts everything, and compares it with the table or makes that anew.
pub(crate) fn run(workspace: &Workspace, renew: bool) -> Result<(), Failure> {
    let mut build = workspace.cargo(&["build"]);
    command::run(build.args(["--release", "--package=sockeye-icount"]))?;
    let program = workspace.target("release/sockeye-icount");
    let list = command::output(workspace.command(&program).arg("--list"))
        .ok_or_else(|| Failure::new("sockeye-icount names no path"))?;
    let file = workspace.bench("icount/table.txt");
    let before = match renew {
        true => String::new(),
        false => fs::read_to_string(&file).map_err(|error| Failure::file(&file, &error))?,
    };
    let known = read(&before);
    let compiler = command::output(workspace.command("rustc").arg("--version"));
    let mut table = format!("# {}\n", compiler.unwrap_or_default());
    let mut worse = Vec::new();
    for line in list.lines() {
        let Some((name, [few, many, parts])) = path(line) else {
            return Err(Failure::new(format!("sockeye-icount lists {line:?}")));
        };
        let run = |times| instructions(workspace.command("valgrind"), &program, name, times);
        let count = run(many)?.saturating_sub(run(few)?) / ((many - few) * parts).max(1);
        let _ = writeln!(table, "{name} {count}");
        print!("{name:<20} {count:>9}");
        match known.get(name) {
            None if renew => println!(),
            None => {
                println!("  is not in the table");
                worse.push(name.to_owned());
            }
            Some(&before) => {
                let growth = count as f64 / before as f64 - 1.0;
                println!("  {:+.1} % of {before}", growth * 100.0);
                if growth > TOLERANCE {
                    worse.push(format!("{name} ({:+.1} %)", growth * 100.0));
                } else if growth < -TOLERANCE {
                    println!("{:20} fewer: `cargo xtask icount --renew` keeps it so", "");
                }
            }
        }
    }
    if renew {
        return fs::write(&file, table).map_err(|error| Failure::file(&file, &error));
    }
    match worse.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "more instructions than in {}: {}; with another compiler or processor than there, \
             compare with a table that was made here before the change (`cargo xtask icount --renew`)",
            file.display(),
            worse.join(", ")
        ))),
    }
}

/// `NAME FEW MANY PARTS`
fn path(line: &str) -> Option<(&str, [u64; 3])> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut number = || words.next()?.parse().ok();
    let numbers = [number()?, number()?, number()?];
    (numbers[1] > numbers[0]).then_some((name, numbers))
}

/// Lines of `NAME COUNT`; `#` begins a comment.
fn read(table: &str) -> BTreeMap<&str, u64> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name, count.parse().ok()?))
        })
        .collect()
}

/// What one run executes.
fn instructions(
    mut valgrind: Command,
    program: &Path,
    name: &str,
    times: u64,
) -> Result<u64, Failure> {
    let output = valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("cannot run valgrind: {error}")))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let counted = collected(&told).filter(|_| output.status.success());
    counted.ok_or_else(|| Failure::new(format!("valgrind counts nothing in {name}:\n{told}")))
}

/// `==123== Collected : 456`
fn collected(told: &str) -> Option<u64> {
    let (_, count) = told
        .lines()
        .find_map(|line| line.split_once("Collected :"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callgrind_and_the_program_say_is_understood() {
        let told = "==1== Events    : Ir\n==1== Collected : 2280091\n==1== \n";
        assert_eq!(collected(told), Some(2_280_091));
        assert_eq!(path("echo-20 10 210 1"), Some(("echo-20", [10, 210, 1])));
        for wrong in ["echo-20", "echo-20 10 10 1", "echo-20 a b c", ""] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_table_is_read_as_it_is_written() {
        let table = read("# rustc 1.95.0\na 10\nb 2000\n");
        assert_eq!(table, BTreeMap::from([("a", 10), ("b", 2000)]));
    }
}
