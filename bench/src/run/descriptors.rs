//! How many connections a process may have: each is a file descriptor.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cell::Cell;

/// What a server, or who measures it, opens beside the connections.
const BESIDE: usize = 100;

/// Lets whatever we start from now on have as many connections as the cells ask for; root may have
/// more than it was given. Where that is refused, the largest cells become smaller, and say so.
pub(crate) fn allow(cells: &mut [Cell]) {
    let most = cells.iter().map(Cell::connections).max().unwrap_or(0);
    let needed = (most + BESIDE) as u64;
    let now = getrlimit(Resource::Nofile);
    let raised = |maximum| Rlimit {
        current: Some(needed),
        maximum,
    };
    if now.current.is_none_or(|limit| limit >= needed)
        || setrlimit(Resource::Nofile, raised(now.maximum)).is_ok()
        || setrlimit(Resource::Nofile, raised(Some(needed))).is_ok()
    {
        return;
    }
    let limit = now.maximum.or(now.current).unwrap_or(needed);
    let highest = Rlimit {
        current: Some(limit),
        maximum: now.maximum,
    };
    // If that is refused as well, connections will be, and that will be told.
    let _ = setrlimit(Resource::Nofile, highest);
    let room = usize::try_from(limit)
        .unwrap_or(most)
        .saturating_sub(BESIDE);
    println!(
        "no more than {limit} file descriptors are allowed here: cells have up to {room} connections"
    );
    for cell in cells {
        cell.shrink(room);
    }
}
