//! The chores of the workspace: `cargo xtask test` and its stages.

fn main() {}
