// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe explain SECTOR`: why it does not run now.

use clap::Args;

use super::{
    Failure,
    daemon::{SocketArgs, ask, json},
    exit,
    status::since,
    verify::write_out,
};
use crate::{
    control::{Explain, SectorParams, status::Explanation},
    event::now_ms,
};

/// Say why a sector does not run now
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealpipe explain t01000-7")]
pub struct ExplainArgs {
    /// The sector
    sector: String,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

/// Runs the command.
pub fn run(args: ExplainArgs) -> Result<u8, Failure> {
    let told = ask::<Explain>(&args.socket, &SectorParams { sector: args.sector })?;
    write_out(&if args.json { json(&told) } else { text(&told) })?;
    Ok(exit::OK)
}

fn text(told: &Explanation) -> String {
    let sector = &told.sector;
    let at = sector.stage.map(|stage| format!(" in {stage}")).unwrap_or_default();
    let mut text = format!(
        "{} is {}{at} since {}",
        sector.name,
        sector.state,
        since(sector.since_ms, now_ms())
    );
    if let Some(processor) = &sector.processor {
        text += &format!(", on {processor}");
    }
    if let Some(attempt) = sector.attempt.filter(|attempt| *attempt > 1) {
        text += &format!(", attempt {attempt}");
    }
    if let Some(progress) = &sector.progress {
        let percent = progress.done.saturating_mul(100) / progress.total.max(1);
        text += &format!(", {percent}% of {}", progress.phase);
    }
    text.push('\n');
    for reason in &told.reasons {
        text += &format!("  {reason}\n");
    }
    if let Some(hint) = &told.hint {
        text += &format!("hint: {hint}\n");
    }
    text
}
