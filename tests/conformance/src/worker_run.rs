// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-conformance worker`: the checks of a worker.

use std::ffi::OsString;

use clap::Args;
use sealpipe_conformance::{check::Failure, suite::Plan, worker};

use crate::Options;

const HELP: &str = "\
The command line has a worker run `{tasks}` tasks of the stage through one processor and end with 0
once they are done, with another code when they are not. In it stand for
  {processor}       the program that it has to start, without arguments
  {config}          a configuration, worker.toml as damocles has it, that says all of the below
  {dir}             an empty directory
  {stage}           the stage
  {tasks}           how many tasks
  {concurrent}      how many of them at a time in one process; may be empty
  {stable_wait_ms}  how long `initialize` may take
  {stalled_ms}      how much silence means stalled; may be empty
  {stuck_ms}        how long progress may stand still; may be empty
  {cpus}            the cpus to grant; may be empty
  {memory_node}     the memory node to grant; may be empty
  {pinning}         who pins: processor, worker, off; may be empty
Checks that need what the command line cannot say are skipped.

Example:
  sealpipe-conformance worker -- sealpipe seal --size 2KiB --until add_pieces \\
      --config {config} --count {tasks} --out {dir}/sector

Exit codes:
  0  all MUST checks passed; SHOULD checks may have warned
  1  a MUST check failed
  2  the command line makes no sense
  3  the suite itself failed, which says nothing about the worker";

#[derive(Args)]
#[command(after_help = HELP)]
pub struct Run {
    /// The stage whose tasks the worker runs: add_pieces or echo
    #[arg(long, default_value = "add_pieces")]
    stage: String,
    #[command(flatten)]
    options: Options,
    /// The worker: its program and arguments
    #[arg(last = true, required_unless_present = "list", value_name = "WORKER")]
    worker: Vec<OsString>,
}

impl Run {
    /// Runs or lists the checks; the exit code.
    ///
    /// # Errors
    /// A command line that makes no sense, and faults of the harness.
    pub fn start(self) -> Result<u8, Failure> {
        let Self { stage, options, worker: command } = self;
        let limits = options.limits()?;
        let checks = options.choose(worker::checks(), "a worker", |_| true)?;
        if options.list {
            return options.show(&checks);
        }
        worker::understands(&command, &stage)?;
        let own = std::env::current_exe();
        let own = own.map_err(|e| Failure::harness("cannot tell where this program lies", e))?;
        let (hostile, jobs) = (Some(own), options.jobs);
        options.carry_out(&Plan {
            command,
            stage,
            hostile,
            limits,
            jobs,
            checks,
            ..Plan::default()
        })
    }
}
