// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe reload`: the daemon reads its configuration again.

use clap::Args;

use super::{
    Failure,
    daemon::{SocketArgs, ask, json},
    exit,
    verify::write_out,
};
use crate::control::{Nothing, Reload};

/// Have the daemon read its configuration again
///
/// Entries that changed get a new process, which takes the next tasks while the old one finishes its
/// own; limits and locks change in place. When a new process does not answer well, nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  sealpipe check worker.toml && sealpipe reload")]
pub struct ReloadArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

/// Runs the command.
pub fn run(args: ReloadArgs) -> Result<u8, Failure> {
    let result = ask::<Reload>(&args.socket, &Nothing {})?;
    let lines = || result.changes.iter().map(|line| format!("{line}\n")).collect();
    write_out(&if args.json { json(&result) } else { lines() })?;
    Ok(exit::OK)
}
