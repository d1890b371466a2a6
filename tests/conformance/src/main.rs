// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-conformance`: any command line against the processor protocol, from either side.

mod processor_run;
mod progress;
mod worker_run;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};
use sealpipe_conformance::{
    check::{Check, Failure},
    limits::Limits,
    report::{self, Report, table::Style},
    suite::{self, DEFAULT_JOBS, Outcome, Plan, Status},
    worker::hostile,
};

/// Every MUST check passed; SHOULD checks may have warned.
const CONFORMS: u8 = 0;
/// A MUST check failed.
const DOES_NOT_CONFORM: u8 = 1;
/// The command line makes no sense: what clap exits with.
const USAGE: u8 = 2;
/// The harness itself failed: nothing is said about the program.
const HARNESS: u8 = 3;

/// Does a program keep the processor protocol?
#[derive(Parser)]
#[command(name = "sealpipe-conformance", version, about, max_term_width = 100)]
#[command(after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sealpipe-conformance run -- ./my-processor            the protocol alone, by the stage echo
  sealpipe-conformance run --stage pc2 -- ./my-pc2 -v   by tasks of pc2, and the stage's own checks
  sealpipe-conformance run --list                       all checks with their rules
  sealpipe-conformance run --only P-103,P-104 -- ./my-processor
  sealpipe-conformance run --slow 4 --junit report.xml -- ./my-processor
  sealpipe-conformance worker -- ./my-worker --processor {processor}

Exit codes:
  0  all MUST checks passed; SHOULD checks may have warned
  1  a MUST check failed
  2  the command line makes no sense
  3  the suite itself failed, which says nothing about the program";

#[derive(Subcommand)]
enum Command {
    /// Start a processor, as often as it takes, and run the checks
    Run(Box<processor_run::Run>),
    /// Start a worker, as often as it takes, and be a hostile processor to it
    Worker(Box<worker_run::Run>),
    /// Print a completion script for a shell
    ///
    /// For bash: sealpipe-conformance completions bash >
    /// /etc/bash_completion.d/sealpipe-conformance
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Be that processor, in the directory of a run
    #[command(hide = true)]
    Hostile { dir: PathBuf },
}

/// What runs of both kinds take.
#[derive(Args)]
struct Options {
    /// Show all checks with their rules, and run none
    #[arg(long)]
    list: bool,
    /// Run only these checks, such as P-017,P-018
    #[arg(long, value_delimiter = ',', value_name = "IDS")]
    only: Vec<String>,
    /// Multiply all time limits: 4 on a machine that is slow or busy
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    slow: f64,
    /// Checks at a time, each with processes of its own
    #[arg(long, value_name = "N", default_value_t = DEFAULT_JOBS)]
    jobs: usize,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
    /// Write a JUnit report as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(run) => run.start(),
        Command::Worker(run) => run.start(),
        Command::Completions { shell } => {
            let name = "sealpipe-conformance";
            clap_complete::generate(shell, &mut Cli::command(), name, &mut io::stdout());
            Ok(CONFORMS)
        }
        Command::Hostile { dir } => hostile::live(&dir).map_err(Failure::Harness),
    };
    let code = outcome.unwrap_or_else(|failure| match failure {
        Failure::Broken(why) | Failure::Untimely(why) => complain(&why, USAGE),
        Failure::Skipped(why) | Failure::Harness(why) => complain(&why, HARNESS),
    });
    ExitCode::from(code)
}

fn complain(why: &str, code: u8) -> u8 {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {why}");
    code
}

impl Options {
    /// The limits.
    ///
    /// # Errors
    /// A factor that makes no sense.
    fn limits(&self) -> Result<Limits, Failure> {
        if self.slow.is_finite() && self.slow > 0.0 && self.slow <= 1_000.0 {
            return Ok(Limits { slow: self.slow, ..Limits::default() });
        }
        let text = format!("`--slow` is more than 0 and at most 1000, got {}", self.slow);
        Err(Failure::Broken(text))
    }

    /// The checks that are asked for by their ids, or those that are wanted anyway.
    fn choose(
        &self,
        all: Vec<Check>,
        of_what: &str,
        wanted: impl Fn(&Check) -> bool,
    ) -> Result<Vec<Check>, Failure> {
        if self.only.is_empty() {
            return Ok(all.into_iter().filter(|check| self.list || wanted(check)).collect());
        }
        if let Some(odd) = self.only.iter().find(|id| !all.iter().any(|check| check.id == **id)) {
            let text = format!("no check of {of_what} is called `{odd}`; `--list` shows them");
            return Err(Failure::Broken(text));
        }
        Ok(all.into_iter().filter(|check| self.only.iter().any(|id| id == check.id)).collect())
    }

    /// Shows the checks of a plan.
    fn show(&self, checks: &[Check]) -> Result<u8, Failure> {
        let listed = report::table::list(&mut io::stdout().lock(), checks);
        listed.map_err(|e| Failure::harness("cannot write the list", e))?;
        Ok(CONFORMS)
    }

    /// Runs the checks of a plan, and reports.
    fn carry_out(&self, plan: &Plan) -> Result<u8, Failure> {
        let progress = progress::on_stderr(plan.checks.len());
        let outcomes = suite::run_watched(plan, &|event| progress.event(event));
        progress.clear();
        let outcomes = outcomes?;
        let report = Report { stage: &plan.stage, command: &plan.command, outcomes: &outcomes };
        self.write(&report)?;
        Ok(exit_code(&outcomes))
    }

    fn write(&self, report: &Report<'_>) -> Result<(), Failure> {
        if let Some(path) = &self.junit {
            let written = std::fs::write(path, report::junit::render(report));
            written
                .map_err(|e| Failure::harness(&format!("cannot write {}", path.display()), e))?;
        }
        let mut out = io::stdout().lock();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let coloured = out.is_terminal() && !no_colour;
        let style = if coloured { Style::Terminal } else { Style::Plain };
        let printed = match self.json {
            true => report::json::write(&mut out, report),
            false => report::table::write(&mut out, report, style),
        };
        printed.map_err(|e| Failure::harness("cannot write the report", e))
    }
}

fn exit_code(outcomes: &[Outcome]) -> u8 {
    let any = |status| outcomes.iter().any(|outcome| outcome.status == status);
    match (any(Status::Fault), any(Status::Failed)) {
        (true, _) => HARNESS,
        (false, true) => DOES_NOT_CONFORM,
        (false, false) => CONFORMS,
    }
}
