// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

mod params;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use sealpipe_protocol::{Stage, placement::CpuList, serve, serve::Processor};

use crate::{
    bench,
    front::{OnCpu, OnCuda},
};

const ABOUT: &str = "c2 of Filecoin sectors: Groth16 proofs of the output of c1, on NVIDIA GPUs";

const EXAMPLES: &str = "\
Examples:
  sealpipe-c2                    as a processor: a worker starts it like this
  sealpipe-c2 --device cpu       the same on the cpu, with bellperson's prover
  sealpipe-c2 bench              makes 20 sectors of 2KiB and has them proved one after the other
  sealpipe-c2 params make --size 8MiB
                                 parameters for tests, computed on the GPU

The parameters are looked for where filecoin-proofs does: FIL_PROOFS_PARAMETER_CACHE. They are
converted once, into a file beside them of the same size. CUDA_VISIBLE_DEVICES is obeyed.";

#[derive(Debug, Parser)]
#[command(name = "sealpipe-c2", version, about = ABOUT, after_help = EXAMPLES)]
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
    /// All cpus that are granted, with bellperson
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
        #[arg(value_parser = ["c2"])]
        stage: String,
    },
    /// Make parameters for tests
    #[command(subcommand)]
    Params(params::Command),
    /// Measure whole proofs, and with `--kernels` what they are made of; prints a JSON object a line
    Bench(bench::Arguments),
    /// Run one task on the cpu for the process that started this one
    #[command(hide = true)]
    Helper {
        /// Process id of the front
        #[arg(long)]
        parent: u32,
        /// The cpus to run on
        #[arg(long)]
        cpus: Option<CpuList>,
    },
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match (arguments.command, arguments.device) {
        (None, _) if io::stdin().is_terminal() => {
            eprint!("{}", serve::greeting("sealpipe-c2"));
            ExitCode::SUCCESS
        }
        (Some(Command::Bench(bench)), On::Cuda) => bench::main(&bench, "cuda"),
        (Some(Command::Bench(bench)), On::Cpu) => bench::main(&bench, "cpu"),
        (Some(Command::Params(command)), On::Cuda) => params::main(&command),
        (Some(Command::Params(_)), On::Cpu) => {
            eprintln!(
                "error: parameters are made on a GPU here\n\
                 hint: `sealpipe-reference params make` makes those of the test sizes on the cpu"
            );
            ExitCode::FAILURE
        }
        (Some(Command::Helper { parent, cpus }), _) => {
            sealpipe_reference::helper::main(parent, cpus)
        }
        (command, On::Cuda) => serve(command.is_some(), OnCuda::new()),
        (command, On::Cpu) => serve(command.is_some(), OnCpu::new()),
    }
}

fn serve(for_a_stage: bool, processor: impl Processor) -> ExitCode {
    match for_a_stage {
        true => serve::serve_stage(Stage::C2, processor),
        false => serve::serve(processor),
    }
}
