//! The C library as programs get it: built, laid out for pkg-config, and tested from C.
//!
//! Knows compilers, valgrind and the layout of a prefix; what the library does is for the tests in C
//! (`crates/sockeye-capi/tests/c`) and for pytest (`conformance/peers/test_c_*.py`) to say.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use clap::Args;

use crate::command::{self, Failure};
use crate::workspace::Workspace;
use crate::{certificate, conformance, header};

/// The version of 2011, whose interface this is.
const FILE: &str = "libwebsockets.so.0.0.3";
const LINKS: [&str; 2] = ["libwebsockets.so.0", "libwebsockets.so"];

const WARNINGS: &str = "-O1 -g -Wall -Wextra -Werror";
const SANITIZERS: &str =
    "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer";

/// The programs of `crates/sockeye-capi/tests/c`; `tls` gets the certificates as its argument.
const PROBES: [&str; 5] = [
    "layout",
    "layout-cxx",
    "signatures",
    "signatures-cxx",
    "accept-static",
];
const TESTS: [&str; 14] = [
    "context",
    "accept",
    "receive",
    "send",
    "writable",
    "close",
    "handle",
    "http",
    "client",
    "versions",
    "broadcast",
    "external",
    "fork",
    "tls",
];

/// How the library is built, and where it goes.
#[derive(Args, Debug)]
pub(crate) struct CapiArgs {
    /// The folder that gets lib/ and include/ [default: target/capi, or target/capi-debug]
    #[arg(long)]
    prefix: Option<PathBuf>,
    /// Without optimisation and with debug assertions
    #[arg(long)]
    debug: bool,
}

impl CapiArgs {
    /// As tests want it: what goes wrong is noticed.
    pub(crate) fn debug() -> Self {
        Self {
            prefix: None,
            debug: true,
        }
    }
}

/// How many connections get how many broadcasts, and how long.
#[derive(Args, Debug)]
pub(crate) struct SoakArgs {
    /// Connections
    #[arg(long, default_value_t = 1000)]
    connections: u32,
    /// Broadcasts a second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// With a library without optimisation
    #[arg(long)]
    debug: bool,
}

impl SoakArgs {
    /// As a stage among others has time for.
    fn short() -> Self {
        Self {
            connections: 1000,
            rate: 1000,
            seconds: 5,
            debug: true,
        }
    }
}

/// A prefix with the library in it.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) prefix: PathBuf,
}

impl Installed {
    pub(crate) fn lib(&self, name: &str) -> PathBuf {
        self.prefix.join("lib").join(name)
    }

    /// `program`, which finds the library when it is linked and when it runs.
    pub(crate) fn command(&self, workspace: &Workspace, program: impl Into<OsString>) -> Command {
        let mut command = workspace.command(program);
        command
            .env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig"))
            .env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        command
    }
}

/// Builds the library and lays it out.
pub(crate) fn install(workspace: &Workspace, args: &CapiArgs) -> Result<Installed, Failure> {
    let (profile, folder) = if args.debug {
        ("debug", "capi-debug")
    } else {
        ("release", "capi")
    };
    let mut build = workspace.cargo(&["build", "--package=sockeye-capi"]);
    if !args.debug {
        build.arg("--release");
    }
    command::run(&mut build)?;

    let prefix = match &args.prefix {
        Some(prefix) => {
            std::path::absolute(prefix).map_err(|error| Failure::file(prefix, &error))?
        }
        None => workspace.target(folder),
    };
    let installed = Installed { prefix };
    let built = |name: &str| workspace.target(profile).join(name);
    let source = |name: &str| workspace.capi(name);
    copy(&built("libwebsockets.so"), &installed.lib(FILE))?;
    copy(&built("libwebsockets.a"), &installed.lib("libwebsockets.a"))?;
    for link in LINKS {
        let link = installed.lib(link);
        absent(&link)?;
        symlink(FILE, &link).map_err(|error| Failure::file(&link, &error))?;
    }
    let include = installed.prefix.join("include/libwebsockets.h");
    copy(&source("include/libwebsockets.h"), &include)?;
    copy(
        &source("libwebsockets.pc"),
        &installed.lib("pkgconfig/libwebsockets.pc"),
    )?;
    println!("the C library: {}", installed.prefix.display());
    Ok(installed)
}

/// Everything about the C library: its header, its tests in C, its examples among others.
pub(crate) fn test(workspace: &Workspace) -> Result<(), Failure> {
    let installed = install(workspace, &CapiArgs::debug())?;
    header::check(workspace, &installed)?;
    run_tests(workspace, &installed)?;
    let examples = build_examples(workspace, &installed)?;
    conformance::pytest_of_c(workspace, &installed, &examples)
}

fn run_tests(workspace: &Workspace, installed: &Installed) -> Result<(), Failure> {
    let certificates = certificate::make(workspace)?;
    let plain = build_tests(workspace, installed, "plain", "-O1")?;
    let sanitized = build_tests(workspace, installed, "sanitized", SANITIZERS)?;
    let run = |before: &[&str], folder: &Path, name: &str| {
        let mut words = before.iter().map(OsString::from).collect::<Vec<_>>();
        words.push(folder.join(name).into());
        if name == "tls" {
            words.push(certificates.clone().into());
        }
        let mut command = installed.command(workspace, words.remove(0));
        // Not those of the machine, which take long to read under valgrind.
        command
            .env("SSL_CERT_FILE", certificates.join("clients.pem"))
            .env("SSL_CERT_DIR", folder);
        command::run_beside(command.args(words).current_dir(folder))
    };
    // The first, quick ones find most of what is wrong; under valgrind the others take their time.
    for name in PROBES.iter().chain(&TESTS) {
        run(&[], &plain, name)?;
    }
    run_soak(workspace, installed, &plain, &SoakArgs::short())?;
    // The last of them are the longest, so they begin.
    let (run, watched) = (&run, &plain);
    let waiting = Mutex::new(TESTS.to_vec());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.pop());
    let valgrind = || std::iter::from_fn(next).try_for_each(|name| run(&VALGRIND, watched, name));
    thread::scope(|scope| {
        let lanes = [
            scope.spawn(valgrind),
            scope.spawn(valgrind),
            scope.spawn(|| TESTS.iter().try_for_each(|name| run(&[], &sanitized, name))),
        ];
        lanes
            .map(|lane| lane.join())
            .into_iter()
            .try_for_each(|result| {
                result.unwrap_or_else(|_| Err(Failure::new("a thread of xtask panicked")))
            })
    })
}

/// The long run of `soak.c`: with the library as programs get it, unless it is told of another.
pub(crate) fn soak(workspace: &Workspace, args: &SoakArgs) -> Result<(), Failure> {
    let installed = install(
        workspace,
        &CapiArgs {
            prefix: None,
            debug: args.debug,
        },
    )?;
    let folder = build_tests(workspace, &installed, "soak", "-O2")?;
    run_soak(workspace, &installed, &folder, args)
}

fn run_soak(
    workspace: &Workspace,
    installed: &Installed,
    folder: &Path,
    args: &SoakArgs,
) -> Result<(), Failure> {
    let mut soak = installed.command(workspace, folder.join("soak"));
    soak.args([args.connections, args.rate, args.seconds].map(|number| number.to_string()));
    command::run(&mut soak)
}

/// Whatever is lost at the end is an error, as is every wrong access. Not what is "possibly" lost:
/// that is all of Rust's statics that are found by a pointer into their middle.
const VALGRIND: [&str; 6] = [
    "valgrind",
    "--quiet",
    "--error-exitcode=9",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--show-leak-kinds=definite",
];

fn build_tests(
    workspace: &Workspace,
    installed: &Installed,
    name: &str,
    flags: &str,
) -> Result<PathBuf, Failure> {
    let folder = workspace.target("capi-tests").join(name);
    fs::create_dir_all(&folder).map_err(|error| Failure::file(&folder, &error))?;
    let mut make = installed.command(workspace, "make");
    // From the start: make does not know that the library or the flags are others.
    make.args(["--always-make", "--silent", "--jobs=2", "CC=gcc", "--file"])
        .arg(workspace.capi("tests/c/Makefile"))
        .env("CFLAGS", flags)
        .current_dir(&folder);
    command::run(&mut make)?;
    Ok(folder)
}

/// The examples as C, as C++, and as C with the sanitizers; the folder above the three.
fn build_examples(workspace: &Workspace, installed: &Installed) -> Result<PathBuf, Failure> {
    for (name, compiler, flags) in [
        ("c", "gcc", ""),
        ("cxx", "g++", ""),
        ("sanitized", "gcc", SANITIZERS),
    ] {
        build_examples_as(workspace, installed, name, compiler, flags)?;
    }
    Ok(workspace.target("capi-examples"))
}

/// The library, and the examples as C, for a browser to look at.
pub(crate) fn examples(workspace: &Workspace) -> Result<(Installed, PathBuf), Failure> {
    let installed = install(workspace, &CapiArgs::debug())?;
    let folder = build_examples_as(workspace, &installed, "c", "gcc", "")?;
    Ok((installed, folder))
}

fn build_examples_as(
    workspace: &Workspace,
    installed: &Installed,
    name: &str,
    compiler: &str,
    flags: &str,
) -> Result<PathBuf, Failure> {
    let folder = workspace.target("capi-examples").join(name);
    copy_tree(&workspace.example("c"), &folder)?;
    let mut make = installed.command(workspace, "make");
    make.args([
        "--always-make",
        "--silent",
        "--jobs=2",
        "all",
        "certificate",
    ])
    .arg(format!("CC={compiler}"))
    .arg(format!("CFLAGS={WARNINGS} {flags}"))
    .current_dir(&folder);
    command::run(&mut make)?;
    Ok(folder)
}

fn absent(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::file(path, &error)),
        _ => Ok(()),
    }
}

/// A new file: who has the old one open or mapped keeps it.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
    }
    absent(to)?;
    fs::copy(from, to).map_err(|error| Failure::file(from, &error))?;
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(from).map_err(|error| Failure::file(from, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Failure::file(from, &error))?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        if path.is_dir() {
            copy_tree(&path, &to.join(name))?;
        } else {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}
