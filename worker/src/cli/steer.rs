// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe cancel`, `retry`, `pause`, `resume`, `seed`: short commands about sectors, which the daemon
//! has done when they return.

use clap::Args;
use sealpipe_protocol::{Bytes32, method::Request};

use super::{
    Failure,
    daemon::{SocketArgs, ask, json, states},
    exit,
    verify::write_out,
};
use crate::control::{
    Cancel, Pause, Resume, Retry, SectorsParams, SectorsResult, Seed, SeedParams,
};

/// Give sectors up
///
/// What runs of them is cancelled, and nothing more happens to them. Their directories stay; delete
/// them by hand, or go on with `sealpipe retry`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealpipe cancel t01000-7 t01000-8")]
pub struct CancelArgs {
    /// The sectors
    #[arg(required = true, value_name = "SECTOR")]
    sectors: Vec<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Go on with sectors that failed or were cancelled
///
/// Each goes on where it was: stages that are done stay done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe retry t01000-7
  sealpipe retry --failed                  all that failed")]
pub struct RetryArgs {
    /// The sectors
    #[arg(required_unless_present = "failed", value_name = "SECTOR")]
    sectors: Vec<String>,

    /// All sectors that failed
    #[arg(long)]
    failed: bool,

    #[command(flatten)]
    common: CommonArgs,
}

/// Hold sectors, or everything
///
/// What runs is finished; nothing new starts until `sealpipe resume`. Without sectors everything is
/// held, also by the next daemon.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe pause                           start nothing more
  sealpipe pause t01000-7                  nothing more of this sector")]
pub struct PauseArgs {
    /// The sectors; everything without one
    #[arg(value_name = "SECTOR")]
    sectors: Vec<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Let sectors go on, or everything
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe resume                          the end of `sealpipe pause`
  sealpipe resume t01000-7                 the end of `sealpipe pause t01000-7`")]
pub struct ResumeArgs {
    /// The sectors; everything without one
    #[arg(value_name = "SECTOR")]
    sectors: Vec<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// Say the seed that a sector waits for
#[derive(Debug, Args)]
#[command(after_help = "Example:
  sealpipe seed t01000-7 8a1e3ac6f9d6eb3fdc27bd61fd5ab4c7cf3b3bb0a5b4cf0d3ba9fd3fb02fe5e1")]
pub struct SeedArgs {
    /// The sector
    sector: String,

    /// The seed as 64 hex digits
    #[arg(value_name = "HEX")]
    seed: Bytes32,

    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

impl CommonArgs {
    /// Asks, and shows the sectors' states.
    fn done<R: Request<Result = SectorsResult>>(
        &self,
        params: &R::Params,
        otherwise: &str,
    ) -> Result<u8, Failure> {
        let result = ask::<R>(&self.socket, params)?;
        write_out(&match (self.json, result.sectors.is_empty()) {
            (true, _) => json(&result),
            (false, true) => format!("{otherwise}\n"),
            (false, false) => states(&result),
        })?;
        Ok(exit::OK)
    }
}

fn named(sectors: Vec<String>) -> SectorsParams {
    SectorsParams { sectors, failed: false }
}

/// Runs `sealpipe cancel`.
pub fn cancel(args: CancelArgs) -> Result<u8, Failure> {
    args.common.done::<Cancel>(&named(args.sectors), "nothing was cancelled")
}

/// Runs `sealpipe retry`.
pub fn retry(args: RetryArgs) -> Result<u8, Failure> {
    let params = SectorsParams { sectors: args.sectors, failed: args.failed };
    args.common.done::<Retry>(&params, "no sector has failed")
}

/// Runs `sealpipe pause`.
pub fn pause(args: PauseArgs) -> Result<u8, Failure> {
    args.common.done::<Pause>(&named(args.sectors), "paused: what runs is finished, nothing starts")
}

/// Runs `sealpipe resume`.
pub fn resume(args: ResumeArgs) -> Result<u8, Failure> {
    args.common.done::<Resume>(&named(args.sectors), "resumed")
}

/// Runs `sealpipe seed`.
pub fn seed(args: SeedArgs) -> Result<u8, Failure> {
    let params = SeedParams { sector: args.sector.clone(), seed: args.seed };
    let result = ask::<Seed>(&args.common.socket, &params)?;
    let text = format!("{} has its seed\n", args.sector);
    write_out(&if args.common.json { json(&result) } else { text })?;
    Ok(exit::OK)
}
