//! Processes of a test's own, made by `fork()`: what they do must need nothing of the threads that
//! only the parent has.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// After this long, what is waited for will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set in the process of a test that is alone.
const ALONE: &str = "SOCKEYE_TEST_ALONE";

/// Runs a test, given by its whole path, once more in a process of its own. A test that forks must
/// be alone: its children would have the sockets of its siblings, and keep them open.
pub(crate) fn alone(path: &str, test: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let (_, name) = path.split_once("::").unwrap();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A child of this process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    is_over: bool,
}

impl Child {
    /// Runs `task` in a child, which ends with it; a panic makes it fail.
    pub(crate) fn start(task: impl FnOnce()) -> Self {
        Self::start_with((), |()| task()).0
    }

    /// The same with something that both processes have then, each as its own.
    pub(crate) fn start_with<T>(both: T, task: impl FnOnce(T)) -> (Self, T) {
        #[allow(unsafe_code)]
        // SAFETY: the child takes no lock that another thread of the parent could have held: it
        // allocates, for which the C library prepares, makes system calls, and ends without
        // running anybody's handlers.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => {
                let child = Self {
                    pid: child,
                    is_over: false,
                };
                (child, both)
            }
            ForkResult::Child => {
                // The message of a panic would be printed under a lock.
                std::panic::set_hook(Box::new(|_| ()));
                let outcome = catch_unwind(AssertUnwindSafe(|| task(both)));
                let code = i32::from(outcome.is_err());
                #[allow(unsafe_code)]
                // SAFETY: ends this process at once, whatever its state.
                unsafe {
                    libc::_exit(code)
                }
            }
        }
    }

    /// Whether it has ended; it must have succeeded then.
    pub(crate) fn has_ended(&mut self) -> bool {
        if !self.is_over {
            match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)).unwrap() {
                WaitStatus::StillAlive => {}
                status => {
                    self.is_over = true;
                    assert_eq!(status, WaitStatus::Exited(self.pid, 0));
                }
            }
        }
        self.is_over
    }

    /// Waits for its success.
    pub(crate) fn succeeds(mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "the child does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_over {
            // It may have ended by itself.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
