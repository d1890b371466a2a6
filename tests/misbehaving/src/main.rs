// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-misbehaving`: a processor of `echo` that breaks one rule on demand, and a worker that
//! does.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use sealpipe_misbehaving::{
    faults::{self, Fault},
    session,
    worker::{self, Words},
};

/// A processor of `echo` that breaks one rule on demand
#[derive(Parser)]
#[command(name = "sealpipe-misbehaving", version)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    /// The rule to break; none without it
    #[arg(long, value_parser = fault)]
    fault: Option<Fault>,
    /// Show all faults
    #[arg(long)]
    list: bool,
}

#[derive(Subcommand)]
enum Role {
    /// Be a worker instead, with faults of its own
    Worker(Box<Words>),
}

fn fault(name: &str) -> Result<Fault, String> {
    let found = Fault::ALL.iter().copied().find(|fault| fault.name() == name);
    found.ok_or_else(|| "no such fault; `--list` shows them".to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.role {
        Some(Role::Worker(words)) if words.list => {
            list(worker::faults::Fault::ALL.iter().map(|fault| (fault.name(), fault.about())))
        }
        Some(Role::Worker(words)) => {
            worker::faults::choose(words.fault);
            ExitCode::from(worker::run(&words))
        }
        None if cli.list => list(Fault::ALL.iter().map(|fault| (fault.name(), fault.about()))),
        None => {
            faults::choose(cli.fault);
            ExitCode::from(session::serve())
        }
    }
}

fn list(faults: impl IntoIterator<Item = (&'static str, &'static str)>) -> ExitCode {
    let mut out = io::stdout().lock();
    let listed =
        faults.into_iter().try_for_each(|(name, about)| writeln!(out, "{name:<28} {about}"));
    if listed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
