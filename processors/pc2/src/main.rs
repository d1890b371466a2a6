// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-pc2`: column hashing, replica and trees, on GPUs or on the CPU.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealpipe_pc2::cli::main()
}
