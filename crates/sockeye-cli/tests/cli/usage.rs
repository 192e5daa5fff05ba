//! Help, version, completions, and what a wrong command line gets.

use crate::process::run;

#[test]
fn help_teaches_by_examples() {
    for (args, parts) in [
        (
            &["--help"][..],
            &["sockeye serve", "Examples:", "completions"][..],
        ),
        (
            &["serve", "--help"],
            &[
                "--listen",
                "127.0.0.1:7681",
                "/mirror",
                "--threads",
                "Examples:",
            ],
        ),
        (
            &["connect", "--help"],
            &["--count", "Exit status", "Examples:", "echo hello |"],
        ),
        (&["ping", "--help"], &["-W", "Exit status", "Examples:"]),
        (
            &["bench", "--help"],
            &["--rate", "--broadcast", "Exit status", "Examples:"],
        ),
        (&["completions", "--help"], &["bash", "Examples:"]),
    ] {
        let ended = run(args, "");
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{args:?}");
        for part in parts {
            assert!(ended.text().contains(part), "{args:?}: {part}");
        }
    }
    let version = concat!("sockeye ", env!("CARGO_PKG_VERSION"), "\n");
    run(&["--version"], "").assert_success(version);
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = run(&["completions", shell], "");
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{shell}");
        assert!(ended.text().contains("connect"), "{shell}");
    }
}

#[test]
fn a_wrong_command_line_is_status_2() {
    for args in [
        &["conect"][..],
        &["--listen", "127.0.0.1:0"],
        &["serve", "--listen", "7681"],
        &["serve", "--driver", "kqueue"],
        &["serve", "--cache-control", "no-cache"],
        &["serve", "--max-message", "0"],
        &["serve", "-q", "-v"],
        &["connect"],
        &["connect", "x", "--count", "0"],
        &["connect", "x", "--header", "no colon"],
        &["ping", "x", "-i", "0"],
        &["completions", "sh"],
    ] {
        let ended = run(args, "");
        assert_eq!(ended.code, Some(2), "{args:?}");
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
}
