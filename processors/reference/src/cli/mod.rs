// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

mod params;
mod sparse;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use sealpipe_protocol::{Stage, placement::CpuList, serve};

use crate::{front::Reference, helper};

const ABOUT: &str = "Seals Filecoin sectors on the CPU with filecoin-proofs: every stage, slowly \
                     and exactly as the network does";

const EXAMPLES: &str = "\
Examples:
  sealpipe-reference                                as a processor: a worker starts it like this
  sealpipe-reference params make --size 2KiB        make Groth16 parameters for tests
  sealpipe-reference params status --size 32GiB     are the network's parameters here?
  sealpipe-reference sparse --size 32GiB --out c1.json
                                                    try c2 without sealing 32 GiB

The library's settings (FIL_PROOFS_PARAMETER_CACHE, FIL_PROOFS_PARENT_CACHE, …) are obeyed.";

#[derive(Debug, Parser)]
#[command(name = "sealpipe-reference", version, about = ABOUT, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a processor: what a worker starts
    ///
    /// With SEALPIPE_PROTOCOL in the environment all stages are served to a sealpipe worker; without
    /// it this one to a damocles-worker, in the line protocol of vc-processors.
    Processor {
        /// The stage that it is started for
        #[arg(value_parser = stage)]
        stage: Stage,
    },
    /// Make Groth16 parameters for tests, or look for them
    #[command(subcommand)]
    Params(params::Command),
    /// Write the output of c1 for a sector that does not exist, to try and to measure c2
    ///
    /// The opened nodes are computed and all others drawn, so that it costs nothing and its proof is as
    /// true as that of a sealed sector. Prints what c2 and verify need.
    Sparse(sparse::Arguments),
    /// Run one task for the process that started this one
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
    match Arguments::parse().command {
        None if io::stdin().is_terminal() => {
            eprint!("{}", serve::greeting("sealpipe-reference"));
            ExitCode::SUCCESS
        }
        None => serve::serve(Reference::new()),
        Some(Command::Processor { stage }) => serve::serve_stage(stage, Reference::new()),
        Some(Command::Params(command)) => params::main(&command),
        Some(Command::Sparse(arguments)) => sparse::main(&arguments),
        Some(Command::Helper { parent, cpus }) => helper::main(parent, cpus),
    }
}

fn stage(name: &str) -> Result<Stage, String> {
    name.parse().map_err(|error: sealpipe_protocol::TaskError| {
        let hint = error.data.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{}{hint}", error.message)
    })
}
