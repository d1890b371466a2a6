// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-pc1`: SDR labelling and tree-d, as a processor.

use std::process::ExitCode;

use sealpipe_pc1::processor::Pc1;
use sealpipe_protocol::{Stage, serve};

const USAGE: &str = "\
sealpipe-pc1: SDR labelling and tree-d for sealpipe workers

usage: sealpipe-pc1 [processor pc1 | processor tree_d]

It is started by a worker and speaks its protocol on stdin and stdout: that of a sealpipe worker, or
without SEALPIPE_PROTOCOL in the environment that of a damocles-worker.
processors/pc1/README.md has the environment variables that it obeys.
";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => serve::serve(Pc1::default()),
        ["processor", "pc1"] => serve::serve_stage(Stage::Pc1, Pc1::default()),
        ["processor", "tree_d"] => serve::serve_stage(Stage::TreeD, Pc1::default()),
        ["--help" | "-h"] => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        ["--version" | "-V"] => {
            println!("sealpipe-pc1 {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("error: unknown arguments {other:?}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
