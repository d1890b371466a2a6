// SPDX-License-Identifier: MIT OR Apache-2.0

//! Groth16 parameters that a test cannot do without.

use std::process::Command;

use crate::program;

/// Makes the 2KiB test parameters where programs look for them, unless they are there: a minute of all cpus,
/// and a gigabyte. Whoever else makes them is waited for.
pub fn make_parameters() {
    let mut make = Command::new(program("sealpipe-reference"));
    let output = make.args(["params", "make", "--size", "2KiB"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
