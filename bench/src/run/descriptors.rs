//! How many connections a process may have: each is a file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cell::Cell;
use crate::failure::Failure;

/// What a server opens beside its connections, and who measures it.
const BESIDE: u64 = 500;

/// Lets whatever we start from now on have as many connections as the cells ask for. Root may have
/// more than it was given.
pub(crate) fn allow(cells: &[Cell]) -> Result<(), Failure> {
    let most = cells.iter().map(Cell::connections).max().unwrap_or(0) as u64;
    let needed = most + BESIDE;
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|limit| limit >= needed) {
        return Ok(());
    }
    let limit = Rlimit {
        current: Some(needed),
        maximum: now.maximum.map(|limit| limit.max(needed)),
    };
    setrlimit(Resource::Nofile, limit).map_err(|_| {
        Failure::new(format!(
            "{needed} file descriptors are needed for these cells: raise `ulimit -n`, or leave the \
             largest cells out with --cells"
        ))
    })
}
