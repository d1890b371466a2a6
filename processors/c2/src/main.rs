// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-c2`: Groth16 proofs of sealed sectors, on GPUs or on the CPU.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealpipe_c2::cli::main()
}
