// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program `sealpipe`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealpipe_worker::cli::main()
}
