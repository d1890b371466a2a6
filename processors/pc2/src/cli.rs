// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use sealpipe_protocol::{Stage, serve};

use crate::{
    front::{Choice, Pc2},
    gpu::bench,
};

const ABOUT: &str = "pc2 of Filecoin sectors: column hashes, replica and trees, on NVIDIA GPUs";

const EXAMPLES: &str = "\
Examples:
  sealpipe-pc2                    as a processor: a worker starts it like this
  sealpipe-pc2 --device cpu       the same on the cpu
  sealpipe-pc2 bench              hashes a second of the first GPU

CUDA_VISIBLE_DEVICES, FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE, FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE and
FIL_PROOFS_ROWS_TO_DISCARD are obeyed.";

#[derive(Debug, Parser)]
#[command(name = "sealpipe-pc2", version, about = ABOUT, after_help = EXAMPLES)]
struct Arguments {
    /// What to compute on; there is no falling back from one to the other
    #[arg(long, value_enum, default_value_t = On::Cuda, global = true)]
    device: On,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum On {
    /// All GPUs that CUDA_VISIBLE_DEVICES leaves
    Cuda,
    /// All cpus that are granted
    Cpu,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a processor: what a worker starts
    ///
    /// With SEALPIPE_PROTOCOL in the environment to a sealpipe worker; without it to a damocles-worker, in
    /// the line protocol of vc-processors.
    Processor {
        /// The stage that it is started for
        #[arg(value_parser = ["pc2"])]
        stage: String,
    },
    /// Measure kernels and the whole stage on synthetic sectors; prints a JSON object a line
    Bench(bench::Arguments),
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let processor = || {
        Pc2::new(match arguments.device {
            On::Cuda => Choice::Cuda,
            On::Cpu => Choice::Cpu,
        })
    };
    match arguments.command {
        None if io::stdin().is_terminal() => {
            eprint!("{}", serve::greeting("sealpipe-pc2"));
            ExitCode::SUCCESS
        }
        None => serve::serve(processor()),
        Some(Command::Processor { .. }) => serve::serve_stage(Stage::Pc2, processor()),
        Some(Command::Bench(bench)) => bench::main(&bench),
    }
}
