// SPDX-License-Identifier: MIT OR Apache-2.0

//! The commands, one file each.
//!
//! Results go to stdout; progress, warnings and errors to stderr.

pub mod check;
mod daemon;
mod drain;
mod explain;
mod failure;
pub mod hwinfo;
pub mod machine;
mod params;
mod plan;
mod reload;
mod report;
mod run;
mod seal;
mod session;
mod show;
mod simulate;
mod status;
mod steer;
mod submit;
mod table;
mod unseal;
mod verify;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

pub use self::failure::Failure;
use crate::supervisor::guardian::{self, Worker};

/// Exit codes of `sealpipe`.
pub mod exit {
    /// All went well.
    pub const OK: u8 = 0;
    /// Something failed; stderr says what.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// The proof was checked and does not hold.
    pub const PROOF_INVALID: u8 = 3;
    /// Stopped by a signal; running the command again goes on.
    pub const INTERRUPTED: u8 = 130;
}

/// Seals Filecoin sectors through external processors
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
#[command(after_help = "\
Examples:
  sealpipe seal --size 2KiB --piece car.bin --out sector/    seal a file, show the verified proof
  sealpipe seal --size 2KiB --out cc/                        seal committed capacity
  sealpipe verify sector/                                    check the proof again
  sealpipe unseal sector/ -o car.bin                         get the file back
  sealpipe check worker.toml                                 what is wrong with a configuration
  sealpipe run --config worker.toml                          work on what is submitted, for months
  sealpipe submit --size 2KiB --count 50 --out sectors/      sectors for it
  sealpipe status --watch                                    what it does
  sealpipe hwinfo                                            what this machine has
  sealpipe plan > worker.toml                                propose one for this machine
  sealpipe simulate worker.toml                              what it seals in a month, and why
  sealpipe params check --size 32GiB                         are the network's parameters here and right")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Seal(Box<seal::SealArgs>),
    Verify(verify::VerifyArgs),
    Unseal(unseal::UnsealArgs),
    Check(check::CheckArgs),
    /// Watch over the processes of a worker; it starts this by itself
    #[command(hide = true)]
    Guardian {
        /// The worker
        #[arg(long)]
        worker: Worker,
    },
    Run(run::RunArgs),
    Submit(Box<submit::SubmitArgs>),
    Status(status::StatusArgs),
    Explain(explain::ExplainArgs),
    Cancel(steer::CancelArgs),
    Retry(steer::RetryArgs),
    Pause(steer::PauseArgs),
    Resume(steer::ResumeArgs),
    Seed(steer::SeedArgs),
    Drain(drain::DrainArgs),
    Reload(reload::ReloadArgs),
    Hwinfo(hwinfo::HwinfoArgs),
    Simulate(Box<simulate::SimulateArgs>),
    Plan(Box<plan::PlanArgs>),
    /// Groth16 parameters: what c2 cannot do without
    #[command(subcommand)]
    Params(params::ParamsCommand),
    /// Print a completion script for a shell
    ///
    /// For bash: sealpipe completions bash > /etc/bash_completion.d/sealpipe
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Seal(args) => seal::run(*args),
        Command::Verify(args) => verify::run(args),
        Command::Unseal(args) => unseal::run(args),
        Command::Check(args) => worker_dir().and_then(|dir| {
            check::run(&args, &dir, &mut io::stdout(), &mut io::stderr())
                .map_err(|error| Failure::new(format!("cannot write the result: {error}")))
        }),
        Command::Guardian { worker } => guardian::watch(worker)
            .map(|()| exit::OK)
            .map_err(|error| Failure::new(format!("cannot watch: {error}"))),
        Command::Run(args) => run::run(args),
        Command::Submit(args) => submit::run(*args),
        Command::Status(args) => status::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Cancel(args) => steer::cancel(args),
        Command::Retry(args) => steer::retry(args),
        Command::Pause(args) => steer::pause(args),
        Command::Resume(args) => steer::resume(args),
        Command::Seed(args) => steer::seed(args),
        Command::Drain(args) => drain::run(args),
        Command::Reload(args) => reload::run(args),
        Command::Hwinfo(args) => hwinfo::run(&args, &mut io::stdout()),
        Command::Simulate(args) => simulate::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Params(command) => params::run(&command, &mut io::stdout()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sealpipe", &mut io::stdout());
            Ok(exit::OK)
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.code)
        }
    }
}

/// The directory of this program, beside which the processors lie.
fn worker_dir() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Failure::new(format!("cannot tell where this program lies: {error}")))?;
    Ok(program.parent().map(PathBuf::from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
