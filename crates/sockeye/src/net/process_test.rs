//! Tests of what concerns the whole process, each in a process of its own: the test runs itself
//! once more, alone, and there does what must not happen to its siblings.

use std::env;
use std::fs;
use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::bind::Bind;
use super::descriptor::{SpareFd, descriptor_limit, raise_descriptor_limit};
use super::listener::{AcceptFailure, ListenOptions, Listener};
use super::{Operation, drop_privileges};

/// Set in the child.
const CHILD: &str = "SOCKEYE_TEST_CHILD";

/// Runs `test`, which is the one of this name, in a child process.
fn alone(name: &str, test: impl FnOnce()) {
    if env::var_os(CHILD).is_some() {
        return test();
    }
    let name = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn set_soft_limit(current: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum,
        },
    )
    .unwrap();
}

#[test]
fn the_descriptor_limit_is_raised_to_the_hard_one() {
    alone("the_descriptor_limit_is_raised_to_the_hard_one", || {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        set_soft_limit(64);
        assert_eq!(descriptor_limit(), 64);
        assert_eq!(raise_descriptor_limit().unwrap(), hard);
        assert_eq!(descriptor_limit(), hard);
        assert_eq!(raise_descriptor_limit().unwrap(), hard);
    });
}

#[test]
fn without_descriptors_the_spare_one_turns_connections_away() {
    alone(
        "without_descriptors_the_spare_one_turns_connections_away",
        || {
            let bind: Bind = "127.0.0.1:0".parse().unwrap();
            let listener = Listener::bind(&bind, &ListenOptions::default()).unwrap();
            let address = listener.local_addr().tcp().unwrap();
            let mut spare = SpareFd::new().unwrap();
            let mut clients: Vec<_> = (0..3)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();

            set_soft_limit(64);
            let mut filler = Vec::new();
            while let Ok(copy) = listener.as_fd().try_clone_to_owned() {
                filler.push(copy);
            }
            let error = listener.accept().unwrap_err();
            assert_eq!(
                AcceptFailure::of(&error),
                AcceptFailure::Exhausted,
                "{error}"
            );

            for client in &mut clients[..2] {
                assert!(spare.accept_and_close(&listener).unwrap());
                assert_eq!(client.read(&mut [0]).unwrap(), 0, "it is told at once");
                let error = listener.accept().unwrap_err();
                assert_eq!(
                    AcceptFailure::of(&error),
                    AcceptFailure::Exhausted,
                    "{error}"
                );
            }
            filler.pop();
            let (socket, _) = listener.accept().unwrap();
            drop(socket);
            assert!(!spare.accept_and_close(&listener).unwrap(), "nobody waits");

            // Somebody else takes the descriptor in the very moment it is free: an error, so that the
            // caller pauses, and a new reserve once there is room.
            let mut robbed = SpareFd::new().unwrap();
            robbed.accept_and_close(&listener).unwrap();
            while let Ok(copy) = listener.as_fd().try_clone_to_owned() {
                filler.push(copy);
            }
            set_soft_limit(16);
            let error = robbed.accept_and_close(&listener).unwrap_err();
            assert_eq!(
                AcceptFailure::of(&error),
                AcceptFailure::Exhausted,
                "{error}"
            );
            set_soft_limit(128);
            assert!(!robbed.accept_and_close(&listener).unwrap());
        },
    );
}

/// The values of a line of `/proc/…/status`, of all threads.
fn status(key: &str) -> Vec<Vec<String>> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads
        .map(|thread| {
            let text = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        })
        .collect()
}

#[test]
fn privileges_are_dropped_for_good_in_all_threads() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    alone("privileges_are_dropped_for_good_in_all_threads", || {
        let (stop, stopped) = channel::<()>();
        let other = thread::spawn(move || stopped.recv());
        drop_privileges(None, None).unwrap();
        assert!(status("Uid:").iter().all(|ids| *ids == ["0"; 4]));

        drop_privileges(Some(65_534), Some(65_533)).unwrap();
        let (users, groups, more) = (status("Uid:"), status("Gid:"), status("Groups:"));
        assert!(users.len() >= 2, "this thread and the other");
        assert!(users.iter().all(|ids| *ids == ["65534"; 4]), "{users:?}");
        assert!(groups.iter().all(|ids| *ids == ["65533"; 4]), "{groups:?}");
        assert!(more.iter().all(|ids| *ids == ["65533"]), "{more:?}");

        drop_privileges(Some(65_534), Some(65_533)).unwrap();
        for (uid, gid) in [(Some(0), None), (None, Some(0)), (Some(65_532), None)] {
            let error = drop_privileges(uid, gid).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert_eq!(error.operation(), Operation::DropPrivileges);
        }
        drop(stop);
        let _ = other.join().unwrap();
    });
}

#[test]
fn a_user_alone_loses_the_supplementary_groups() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    alone("a_user_alone_loses_the_supplementary_groups", || {
        drop_privileges(Some(65_534), None).unwrap();
        assert!(status("Uid:").iter().all(|ids| *ids == ["65534"; 4]));
        assert!(status("Groups:").iter().all(Vec::is_empty));
    });
}
