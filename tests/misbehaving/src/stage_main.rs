// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-misbehaving-stage`: a processor of a real stage that breaks one rule on demand.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use sealpipe_misbehaving::stage::{faults::StageFault, relay};

/// A processor of a real stage that breaks one rule on demand
#[derive(Parser)]
#[command(name = "sealpipe-misbehaving-stage", version)]
struct Cli {
    /// The rule to break; none without it
    #[arg(long, value_parser = fault)]
    fault: Option<StageFault>,
    /// Show all faults
    #[arg(long)]
    list: bool,
    /// The reference processor, whose work is spoiled: its program and arguments
    #[arg(last = true, required_unless_present = "list")]
    reference: Vec<OsString>,
}

fn fault(name: &str) -> Result<StageFault, String> {
    let found = StageFault::ALL.iter().copied().find(|fault| fault.name() == name);
    found.ok_or_else(|| "no such fault; `--list` shows them".to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    if cli.list {
        let listed = StageFault::ALL.iter().try_for_each(|fault| {
            writeln!(out, "{:<26} {:<8} {}", fault.name(), fault.stage(), fault.about())
        });
        return if listed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    drop(out);
    match relay::serve(&cli.reference, cli.fault) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // With stderr gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
