//! Giving up the rights of root, once the ports that need them are bound.

use std::io;

use nix::unistd::{
    Gid, Uid, geteuid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid,
};

use super::{NetError, Operation};

/// Becomes another user and group for good: real, effective and saved ids, in all threads.
///
/// The supplementary groups go first, then the group, then the user, since each step needs the
/// rights that the next one takes away. Afterwards all of it is read back, and root is tried for
/// once more: that must fail. `None` leaves the user or the group as it is; two `None`s change
/// nothing. Without root's rights this succeeds only if there is nothing to change.
///
/// # Errors
///
/// Whatever step failed. The process may have lost a part of its rights then; it should end
/// rather than go on with the others.
pub fn drop_privileges(uid: Option<u32>, gid: Option<u32>) -> Result<(), NetError> {
    let uid = uid.map(Uid::from_raw);
    let gid = gid.map(Gid::from_raw);
    if uid.is_none() && gid.is_none() || !geteuid().is_root() && is_done(uid, gid)? {
        return Ok(());
    }
    // The group alone when there is one: some programs take an empty list for "not set".
    setgroups(gid.as_slice()).map_err(|errno| failed("without supplementary groups", errno))?;
    if let Some(gid) = gid {
        setresgid(gid, gid, gid).map_err(|errno| failed(format_args!("group {gid}"), errno))?;
    }
    if let Some(uid) = uid {
        setresuid(uid, uid, uid).map_err(|errno| failed(format_args!("user {uid}"), errno))?;
    }
    let groups_are_right = getgroups()
        .map_err(|errno| failed("checked", errno))?
        .iter()
        .all(|it| Some(*it) == gid);
    if !groups_are_right || !is_done(uid, gid)? {
        return Err(failed(
            "somebody else",
            io::Error::other("the ids did not change"),
        ));
    }
    if let Some(uid) = uid
        && !uid.is_root()
        && setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok()
    {
        return Err(failed(
            format_args!("user {uid}"),
            io::Error::other("root can be regained"),
        ));
    }
    Ok(())
}

fn is_done(uid: Option<Uid>, gid: Option<Gid>) -> Result<bool, NetError> {
    let users = getresuid().map_err(|errno| failed("checked", errno))?;
    let groups = getresgid().map_err(|errno| failed("checked", errno))?;
    let user_is_right = uid.is_none_or(|uid| {
        [users.real, users.effective, users.saved]
            .iter()
            .all(|it| *it == uid)
    });
    let group_is_right = gid.is_none_or(|gid| {
        [groups.real, groups.effective, groups.saved]
            .iter()
            .all(|it| *it == gid)
    });
    Ok(user_is_right && group_is_right)
}

fn failed(subject: impl std::fmt::Display, source: impl Into<io::Error>) -> NetError {
    NetError::new(Operation::DropPrivileges, subject, source)
}
