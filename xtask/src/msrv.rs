//! Checks that the stated minimum Rust version is true, as far as this machine can tell.
//!
//! Three looks, each cheaper than the next: what dependencies state, which parts of the standard
//! library we call (clippy knows when each was stabilised), and the compiler of that version
//! itself where it is installed.

use serde_json::Value;

use crate::command::{self, Failure};
use crate::workspace::Workspace;

type Version = (u64, u64, u64);

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let metadata = workspace.metadata(&["--all-features"])?;
    let stated = stated(&metadata)?;
    dependencies(&metadata, &stated)?;

    let mut clippy = workspace.cargo(&["clippy"]);
    clippy.args(["--workspace", "--all-features"]);
    command::run(clippy.args(["--", "-D", "clippy::incompatible_msrv"]))?;
    compiler(workspace, &stated)
}

/// The one `rust-version` that all members of the workspace state.
fn stated(metadata: &Value) -> Result<String, Failure> {
    let members = array(&metadata["workspace_members"]);
    let mut stated: Option<&str> = None;
    for package in array(&metadata["packages"]) {
        if !members.contains(&package["id"]) {
            continue;
        }
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["rust_version"]
            .as_str()
            .ok_or_else(|| Failure::new(format!("{name} states no rust-version")))?;
        if stated.is_some_and(|other| other != version) {
            return Err(Failure::new(format!(
                "{name} states a rust-version of its own, {version}"
            )));
        }
        stated = Some(version);
    }
    stated
        .map(str::to_owned)
        .ok_or_else(|| Failure::new("the workspace has no members"))
}

/// No dependency may state a later version than we do.
fn dependencies(metadata: &Value, stated: &str) -> Result<(), Failure> {
    let ours = parse(stated)?;
    let (mut silent, mut later) = (0, Vec::new());
    let packages = array(&metadata["packages"]);
    for package in packages {
        let Some(version) = package["rust_version"].as_str() else {
            silent += 1;
            continue;
        };
        if parse(version)? > ours {
            let text = |field: &str| package[field].as_str().unwrap_or("?").to_owned();
            later.push(format!(
                "{} {} needs Rust {version}",
                text("name"),
                text("version")
            ));
        }
    }
    if !later.is_empty() {
        return Err(Failure::new(format!(
            "we state Rust {stated}, but {}",
            later.join(", ")
        )));
    }
    println!(
        "{} packages need Rust {stated} or earlier, {silent} of them do not say",
        packages.len()
    );
    Ok(())
}

/// A real build, where the toolchain is there.
fn compiler(workspace: &Workspace, stated: &str) -> Result<(), Failure> {
    let list = command::output(workspace.command("rustup").args(["toolchain", "list"]));
    let (major, minor, _) = parse(stated)?;
    let names = [format!("{major}.{minor}-"), format!("{major}.{minor}.")];
    let toolchain = list
        .as_deref()
        .unwrap_or_default()
        .lines()
        .find_map(|line| {
            names
                .iter()
                .any(|name| line.starts_with(name))
                .then(|| line.split(' ').next())?
        });
    let Some(toolchain) = toolchain else {
        println!(
            "Rust {stated} itself is not installed here, so nothing was compiled with it; \
             `rustup toolchain install {stated}` adds that check"
        );
        return Ok(());
    };
    let mut build = workspace.command("rustup");
    build.args([
        "run",
        toolchain,
        "cargo",
        "check",
        "--workspace",
        "--all-features",
    ]);
    // `cargo run` pins the toolchain and the compiler of whatever it starts.
    build
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTC");
    command::run(build.arg("--target-dir").arg(workspace.target("msrv")))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn parse(version: &str) -> Result<Version, Failure> {
    let wrong = || Failure::new(format!("not a Rust version: {version}"));
    let mut numbers = [0; 3];
    let mut parts = version.split('.');
    for number in &mut numbers {
        match parts.next() {
            Some(part) => *number = part.parse().map_err(|_| wrong())?,
            None => break,
        }
    }
    if parts.next().is_some() {
        return Err(wrong());
    }
    Ok((numbers[0], numbers[1], numbers[2]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(parse("1.9").unwrap() < parse("1.88").unwrap());
        assert!(parse("1.88.1").unwrap() > parse("1.88").unwrap());
        assert_eq!(parse("1.88").unwrap(), parse("1.88.0").unwrap());
        for wrong in ["", "1.x", "1.2.3.4"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_dependency_that_needs_more_is_named() {
        let metadata = json!({ "workspace_members": ["us"], "packages": [
            { "id": "us", "name": "us", "rust_version": "1.88" },
            { "id": "old", "name": "old", "version": "1.0.0", "rust_version": "1.60.0" },
            { "id": "new", "name": "new", "version": "2.0.0", "rust_version": "1.90" },
        ]});
        assert_eq!(stated(&metadata).unwrap(), "1.88");
        let failure = dependencies(&metadata, "1.88").unwrap_err().to_string();
        assert_eq!(failure, "we state Rust 1.88, but new 2.0.0 needs Rust 1.90");
        assert!(dependencies(&metadata, "1.90").is_ok());
    }

    #[test]
    fn members_agree_on_one_version() {
        let metadata = json!({ "workspace_members": ["a", "b"], "packages": [
            { "id": "a", "name": "a", "rust_version": "1.88" },
            { "id": "b", "name": "b", "rust_version": "1.70" },
        ]});
        assert!(stated(&metadata).is_err());
    }
}
