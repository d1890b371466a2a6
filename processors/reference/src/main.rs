// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-reference`: every sealing stage on the CPU, as a processor.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealpipe_reference::cli::main()
}
