// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-pc1`: SDR labelling and tree-d, as a processor.

use std::process::ExitCode;

use sealpipe_pc1::processor::Pc1;
use sealpipe_protocol::serve;

const USAGE: &str = "\
sealpipe-pc1: SDR labelling and tree-d for sealpipe workers

usage: sealpipe-pc1 [processor pc1 | processor tree_d]

It is started by a worker and speaks its protocol on stdin and stdout.
processors/pc1/README.md has the environment variables that it obeys.
";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] | ["processor", "pc1" | "tree_d"] => serve::serve(Pc1::default()),
        ["--help" | "-h"] => {
            eprint!("{USAGE}");
            ExitCode::SUCCESS
        }
        ["--version" | "-V"] => {
            eprintln!("sealpipe-pc1 {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("error: unknown arguments {other:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
