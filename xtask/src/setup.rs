//! Makes the machine ready: finds the tools that stages need, and installs what is missing.
//!
//! On Debian as root it uses apt; anywhere else it says what to install and fails. Python and Node
//! modules go to the target directory, at the versions that `conformance/` pins.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::command::{self, Failure};
use crate::stage::Stage;
use crate::tool::{self, BENCH_TOOLS, TOOLS, Tool};
use crate::workspace::Workspace;

/// Whatever `stages` need is there afterwards. With `install` off nothing is changed.
pub(crate) fn ensure(
    workspace: &Workspace,
    stages: &[Stage],
    install: bool,
) -> Result<(), Failure> {
    let told = stages.contains(&Stage::Setup);
    let needs = |users: &[Stage]| users.iter().any(|user| stages.contains(user));
    let tools: Vec<&Tool> = TOOLS.iter().filter(|tool| needs(tool.stages)).collect();
    tools_are_there(workspace, &tools, told, install)?;
    if needs(tool::PYTHON_USERS) {
        venv(workspace, install)?;
    }
    if needs(tool::NODE_USERS) {
        node_modules(workspace, install)?;
    }
    if needs(tool::AUTOBAHN_USERS) {
        autobahn(workspace, install)?;
    }
    Ok(())
}

/// Whatever `cargo xtask bench` needs is there afterwards.
pub(crate) fn bench(workspace: &Workspace) -> Result<(), Failure> {
    let tools: Vec<&Tool> = BENCH_TOOLS.iter().collect();
    tools_are_there(workspace, &tools, false, true)?;
    node_modules(workspace, true)
}

fn tools_are_there(
    workspace: &Workspace,
    tools: &[&Tool],
    told: bool,
    install: bool,
) -> Result<(), Failure> {
    let missing = missing(tools, told);
    if missing.is_empty() {
        return Ok(());
    }
    packages(workspace, &missing, install)?;
    match self::missing(tools, false).first() {
        None => Ok(()),
        Some((tool, why)) => Err(Failure::new(format!(
            "{} after the installation: {why}",
            tool.name
        ))),
    }
}

fn missing<'t>(tools: &[&'t Tool], told: bool) -> Vec<(&'t Tool, String)> {
    let mut missing = Vec::new();
    for tool in tools {
        match (tool.look)() {
            Ok(what) if told => println!("{:<26} {what}", tool.name),
            Ok(_) => {}
            Err(why) => {
                println!("{:<26} {why}", tool.name);
                missing.push((*tool, why));
            }
        }
    }
    missing
}

/// Through apt, where that is allowed; else a failure that says what to do.
fn packages(
    workspace: &Workspace,
    missing: &[(&Tool, String)],
    install: bool,
) -> Result<(), Failure> {
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|(tool, _)| tool.packages)
        .copied()
        .collect();
    if let Some((tool, why)) = missing.iter().find(|(tool, _)| tool.packages.is_empty()) {
        let name = tool.name;
        return Err(Failure::new(format!(
            "{name}: {why}; `rustup component add {name}` brings it"
        )));
    }
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let debian = Path::new("/etc/debian_version").exists();
    if !(install && root && debian) {
        let names: Vec<&str> = missing.iter().map(|(tool, _)| tool.name).collect();
        return Err(Failure::new(format!(
            "please install {}; on Debian: sudo apt-get install {}",
            names.join(", "),
            packages.join(" ")
        )));
    }
    let apt = |arguments: &[&str]| {
        let mut command = workspace.command("apt-get");
        // Another apt may be at work, as on a machine that has just started.
        command
            .args(["-o", "DPkg::Lock::Timeout=120", "-q"])
            .args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command::run(&mut command)
    };
    if let Err(why) = apt(&["update"]) {
        println!("{why}; going on with the package lists that are here");
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)
}

/// The Python packages of `conformance/peers/requirements.txt`, in `target/venv`.
fn venv(workspace: &Workspace, install: bool) -> Result<(), Failure> {
    let requirements = workspace.conformance("peers/requirements.txt");
    let wanted = read(&requirements)?;
    let venv = workspace.target("venv");
    let python = venv.join("bin/python");
    let stamp = venv.join("sockeye-requirements");
    let works = || command::output(workspace.command(&python).args(["-c", "import pytest"]));
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) && works().is_some() {
        return Ok(());
    }
    allowed(
        install,
        "the Python packages of conformance/peers/requirements.txt",
    )?;
    let mut create = workspace.command("python3");
    command::run(create.args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = workspace.command(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    command::run(pip.arg(&requirements))?;
    write(&stamp, &wanted)
}

/// The modules of `conformance/package.json`, in `target/node`.
fn node_modules(workspace: &Workspace, install: bool) -> Result<(), Failure> {
    let folder = workspace.target("node");
    let stamp = folder.join("node_modules/.sockeye-lock");
    let wanted = read(&workspace.conformance("package-lock.json"))?;
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    allowed(install, "the Node modules of conformance/package.json")?;
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
    for name in ["package.json", "package-lock.json"] {
        write(&folder.join(name), &read(&workspace.conformance(name))?)?;
    }
    let mut npm = workspace.command("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    command::run(npm.current_dir(&folder))?;
    write(&stamp, &wanted)
}

/// The suite itself, in its own cache: it is large, and the same for all clones.
fn autobahn(workspace: &Workspace, install: bool) -> Result<(), Failure> {
    let mut command = workspace.command(workspace.conformance("autobahn/install"));
    let path = tool::search_path(std::env::var_os("PATH"), &workspace.target("venv/bin"));
    command.env("PATH", path);
    if !install {
        command.arg("--check");
    }
    command::run(&mut command)
}

fn allowed(install: bool, what: &str) -> Result<(), Failure> {
    if install {
        return Ok(());
    }
    Err(Failure::new(format!(
        "missing: {what}; `cargo xtask test setup` brings them"
    )))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::file(path, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::file(path, &error))
}
