//! `sockeye connect` at a terminal, which here is a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::peer::{CLOSE, Host, PING, PONG, TEXT, close};
use crate::process::PATIENCE;

/// A process at a terminal of its own.
pub(crate) struct Session {
    child: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    terminal: OwnedFd,
}

impl Session {
    pub(crate) fn start(args: &[&str], colours: bool) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        // Keys become signals only at the terminal of a session.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_sockeye")]);
        command.args(args).stdin(end()).stdout(end()).stderr(end());
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        if !colours {
            command.env("NO_COLOR", "1");
        }
        let child = command.spawn().unwrap();
        let keys = File::from(master);
        let mut display = keys.try_clone().unwrap();
        let (sender, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = display.read(&mut buffer)
                && sender.send(buffer[..len].to_vec()).is_ok()
            {}
        });
        Self {
            child,
            keys,
            screen,
            seen: String::new(),
            terminal,
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is on the screen, behind what was waited for before.
    pub(crate) fn see(&mut self, text: &str) {
        loop {
            if let Some(index) = self.seen.find(text) {
                self.seen.drain(..index + text.len());
                return;
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{text:?} is not in {:?}", self.seen),
            }
        }
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        !modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits until what is typed is not shown.
    pub(crate) fn wait_for_discretion(&self) {
        let is_shown = || {
            let modes = tcgetattr(&self.terminal).unwrap().local_modes;
            modes.contains(LocalModes::ECHO)
        };
        let end = Instant::now() + PATIENCE;
        while is_shown() {
            assert!(Instant::now() < end, "what is typed is shown");
            thread::yield_now();
        }
    }

    /// Waits for the end; the terminal must be as it was.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        assert!(!self.is_raw());
        drop(self.terminal);
        self.screen.iter().for_each(|bytes| {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        });
        (code, self.seen)
    }
}

#[test]
fn the_prompt_survives_what_comes() {
    let host = Host::new();
    let mut session = Session::start(&["connect", &host.url()], false);
    let mut peer = host.accept_socket();
    session.see("* connected to ws://");
    session.see("> ");
    session.press("half a li");
    session.see("half a li");
    peer.send(TEXT, "news\x1b[2J");
    session.see("< news\\u{1b}[2J");
    // The prompt is back, with what was typed.
    session.see("> half a li");
    session.press("ne\r");
    peer.expect(TEXT, "half a line");
    peer.send(PING, "p");
    peer.expect(PONG, "p");
    session.see("* ping \"p\"");
    // The line before is in the history.
    session.press("\x1b[A\r");
    peer.expect(TEXT, "half a line");
    session.press("\x04");
    assert_eq!(peer.receive().unwrap().close_code(), 1000);
    peer.send(TEXT, "late");
    session.see("< late");
    peer.send(CLOSE, close(1000, ""));
    drop(peer);
    session.see("* closed with 1000");
    assert_eq!(session.end().0, Some(0));
}

#[test]
fn the_last_words_of_a_server_are_seen_and_the_terminal_is_given_back() {
    let host = Host::new();
    let mut session = Session::start(&["connect", &host.url()], false);
    let mut peer = host.accept_socket();
    session.see("> ");
    session.press("unfinished");
    session.see("unfinished");
    for number in 0..20 {
        peer.send(TEXT, format!("word {number}"));
    }
    peer.send(CLOSE, close(1011, "tired"));
    peer.receive_close();
    drop(peer);
    for number in 0..20 {
        session.see(&format!("< word {number}"));
    }
    session.see("* closed with 1011 \"tired\"");
    let (code, seen) = session.end();
    assert_eq!(code, Some(1));
    let failure = "sockeye: the server closed with 1011 \"tired\"";
    assert!(seen.contains(failure), "{seen:?}");
}

#[test]
fn ctrl_c_closes_in_order() {
    let host = Host::new();
    let mut session = Session::start(&["connect", &host.url()], false);
    let mut peer = host.accept_socket();
    session.see("> ");
    session.press("something\x03");
    assert_eq!(peer.receive().unwrap().close_code(), 1001);
    peer.send(CLOSE, close(1001, ""));
    drop(peer);
    assert_eq!(session.end().0, Some(0));
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    for colours in [true, false] {
        let host = Host::new();
        let mut session = Session::start(&["connect", &host.url()], colours);
        let mut peer = host.accept_socket();
        peer.send(TEXT, "news");
        session.see(if colours {
            "\x1b[36m< news\x1b[0m"
        } else {
            "< news"
        });
        peer.send(CLOSE, close(1000, ""));
        peer.receive_close();
        drop(peer);
        assert_eq!(session.end().0, Some(0));
    }
}
