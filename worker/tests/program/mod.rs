// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe` as a program, and the files that tests give it.

use std::{path::Path, process::Command};

/// A path in `tests/data`.
pub fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    path.to_str().expect("the repository's path is UTF-8").to_owned()
}

/// Runs the program with variables besides, on a machine that no variable describes; gives its exit
/// code, and what it wrote to stdout and stderr.
pub fn sealpipe_with(args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sealpipe"))
        .args(args)
        .env_remove("HWLOC_SYNTHETIC")
        .env_remove("HWLOC_XMLFILE")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the program.
pub fn sealpipe(args: &[&str]) -> (i32, String, String) {
    sealpipe_with(args, &[])
}
