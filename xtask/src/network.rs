//! A network for the bench alone, so that it measures servers and not how this machine is set up:
//! a firewall's rules, or a congestion control whose timers cost more than what is sent.
//!
//! Where that is not allowed, the machine's own network has to do; the report tells what it had.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::workspace::Workspace;

/// The loopback and the kernel's usual congestion control. A network that is not the machine's may
/// not have each kind that the machine has, but `reno` always.
const SETUP: &str = r#"ip link set lo up || exit
{ echo cubic || echo reno; } 2>/dev/null >/proc/sys/net/ipv4/tcp_congestion_control
exec "$@""#;

/// A command in a network of its own, if that can be.
pub(crate) fn own(workspace: &Workspace, program: impl AsRef<OsStr>) -> Command {
    let program = program.as_ref();
    let works = within(workspace, OsStr::new("true"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    match works {
        true => within(workspace, program),
        false => workspace.command(program),
    }
}

fn within(workspace: &Workspace, program: &OsStr) -> Command {
    let mut command = workspace.command("unshare");
    command.args(["--net", "--", "sh", "-c", SETUP, "sh"]);
    command.arg(program);
    command
}
