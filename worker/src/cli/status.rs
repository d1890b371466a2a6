// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe status`: what the daemon does.

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use clap::Args;
use tokio::time::sleep;

use super::{
    Failure,
    daemon::{SocketArgs, json, with_daemon},
    exit,
    table::{short, span, table},
    verify::write_out,
};
use crate::supervisor::Placed;
use crate::{
    control::{
        GetStatus, StatusParams,
        status::{DaemonStatus, LockStatus, ProcessorStatus, SectorStatus, Status, TaskStatus},
    },
    hardware::size::shown,
};

/// The longest remark in a table, in characters.
const MAX_REMARK_CHARS: usize = 100;

/// Holders of a lock that are named in the table.
const MAX_HOLDERS: usize = 4;

/// Clears the terminal and goes to its beginning (ECMA-48: ED, CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Show what the daemon does
///
/// The daemon, its processors, who holds which lock, room on disks, sectors by their state, and those
/// that are under way or have failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sealpipe status
  sealpipe status --all
  sealpipe status --watch
  sealpipe status --json | jq .counts
  sealpipe status t01000-7")]
pub struct StatusArgs {
    /// Only these sectors
    #[arg(value_name = "SECTOR")]
    sectors: Vec<String>,

    /// Also the sectors that wait in the queue, and those that are over
    #[arg(long)]
    all: bool,

    /// Show it again and again
    #[arg(long)]
    watch: bool,

    /// How often with --watch
    #[arg(long, value_name = "TIME", default_value = "1s", requires = "watch")]
    interval: humantime::Duration,

    /// Print one JSON object instead of text; with --watch one a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    socket: SocketArgs,
}

/// Runs the command.
pub fn run(args: StatusArgs) -> Result<u8, Failure> {
    let params = StatusParams { all: args.all, sectors: args.sectors.clone() };
    with_daemon(&args.socket, async |client| {
        loop {
            let status = client.ask::<GetStatus>(&params).await?;
            match (args.json, args.watch) {
                (true, false) => write_out(&json(&status))?,
                (true, true) => {
                    let line = serde_json::to_string(&status);
                    let line = line.map_err(|error| Failure::new(error.to_string()))?;
                    write_out(&(line + "\n"))?;
                }
                (false, watch) => {
                    let clear = if watch && stdout().is_terminal() { CLEAR } else { "" };
                    write_out(&(clear.to_owned() + &text(&status, &args)))?;
                }
            }
            if !args.watch {
                return Ok(exit::OK);
            }
            sleep((*args.interval).max(Duration::from_millis(50))).await;
        }
    })
}

/// How long ago something was.
pub fn since(at_ms: u64, now_ms: u64) -> String {
    span(now_ms.saturating_sub(at_ms))
}

/// The status for people.
fn text(status: &Status, args: &StatusArgs) -> String {
    let now = status.at_ms;
    if !args.sectors.is_empty() {
        return sectors(&status.sectors, now);
    }
    let all = args.all;
    let parts = [
        daemon(&status.daemon, now) + &counts(status),
        processors(&status.processors, now, all),
        locks(&status.locks, now),
        disks(status),
        sectors(&status.sectors, now),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn daemon(daemon: &DaemonStatus, now: u64) -> String {
    let config = daemon.config.as_ref().map(|path| format!(", {}", path.display()));
    let mut text = format!(
        "sealpipe {}, pid {}, running for {}{}\n",
        daemon.program,
        daemon.pid,
        since(daemon.started_ms, now),
        config.unwrap_or_default()
    );
    if daemon.draining {
        text += "draining: what runs is finished, and then the daemon ends\n";
    } else if daemon.paused {
        text += "paused: nothing starts until `sealpipe resume`\n";
    }
    if let Some(trouble) = &daemon.trouble {
        text += &format!("cannot write down what happens, and waits: {trouble}\n");
    }
    text
}

fn counts(status: &Status) -> String {
    if status.counts.is_empty() {
        return "no sectors; `sealpipe submit` takes them\n".to_owned();
    }
    let counts: Vec<_> = status.counts.iter().map(|(word, n)| format!("{n} {word}")).collect();
    let cap = status.cap.map(|cap| format!(" of {cap}")).unwrap_or_default();
    format!("{}; {}{cap} in flight\n", counts.join(", "), status.in_flight)
}

fn processors(processors: &[ProcessorStatus], now: u64, all: bool) -> String {
    // What goes without saying is shown once it does something.
    let shown = processors.iter().filter(|p| all || !p.implied || p.state != "idle");
    let rows: Vec<_> = shown
        .map(|processor| {
            [
                processor.name.clone(),
                if processor.retired { "ending".to_owned() } else { processor.state.clone() },
                since(processor.since_ms, now),
                format!("{}/{}", processor.running.len(), processor.slots),
                processor.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                short(&remark(processor), MAX_REMARK_CHARS),
            ]
        })
        .collect();
    table(["PROCESSOR", "STATE", "SINCE", "TASKS", "PID", "WHAT"], &rows)
}

fn remark(processor: &ProcessorStatus) -> String {
    if !processor.stalled.is_empty() {
        return format!("does not advance: {}", processor.stalled.join(", "));
    }
    match (&processor.last_error, processor.state.as_str()) {
        (Some(error), state) if state != "ready" => return error.clone(),
        _ => {}
    }
    let device = processor.device.as_ref().map(|d| format!(" on the {d}")).unwrap_or_default();
    let restarts = match processor.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        n => format!(", restarted {n} times"),
    };
    let placed = processor.placed.as_ref().filter(|placed| **placed != Placed::Nothing);
    let placed = placed.map(|placed| format!(", {placed}")).unwrap_or_default();
    format!("{}{device}{placed}{restarts}", processor.program)
}

fn locks(locks: &[LockStatus], now: u64) -> String {
    let holder = |task: &TaskStatus| {
        let sector = task.sector.as_deref().unwrap_or("a task");
        format!("{sector} ({}) since {}", task.stage, since(task.since_ms, now))
    };
    let rows: Vec<_> = locks
        .iter()
        .map(|lock| {
            let mut holders: Vec<_> = lock.holders.iter().take(MAX_HOLDERS).map(holder).collect();
            if lock.holders.len() > MAX_HOLDERS {
                holders.push(format!("{} more", lock.holders.len() - MAX_HOLDERS));
            }
            let held = format!("{}/{}", lock.holders.len(), lock.count);
            [lock.name.clone(), held, holders.join(", ")]
        })
        .collect();
    table(["LOCK", "HELD", "BY"], &rows)
}

fn disks(status: &Status) -> String {
    let row = |disk: &crate::control::status::DiskStatus| {
        [disk.path.display().to_string(), shown(disk.free_bytes), shown(disk.promised_bytes)]
    };
    let rows: Vec<_> = status.disks.iter().map(row).collect();
    table(["DISK OF", "FREE", "PROMISED"], &rows)
}

fn sectors(sectors: &[SectorStatus], now: u64) -> String {
    let rows: Vec<_> = sectors
        .iter()
        .map(|sector| {
            let held = sector.held && sector.state == "running";
            [
                sector.name.clone(),
                if held { "running, held".to_owned() } else { sector.state.clone() },
                sector.stage.map(|stage| stage.to_string()).unwrap_or_default(),
                since(sector.since_ms, now),
                progress(sector),
                short(&what(sector), MAX_REMARK_CHARS),
            ]
        })
        .collect();
    table(["SECTOR", "STATE", "STAGE", "SINCE", "PROGRESS", "WHAT"], &rows)
}

fn progress(sector: &SectorStatus) -> String {
    let Some(progress) = &sector.progress else { return String::new() };
    let percent = progress.done.saturating_mul(100) / progress.total.max(1);
    format!("{percent:>3}% {}", progress.phase)
}

fn what(sector: &SectorStatus) -> String {
    let attempt = sector.attempt.filter(|attempt| *attempt > 1);
    let attempt = attempt.map(|attempt| format!(", attempt {attempt}")).unwrap_or_default();
    let processor = sector.processor.as_ref().map(|processor| format!("{processor}{attempt}"));
    let trouble = sector.trouble.as_ref().map(|trouble| trouble.message.clone());
    trouble.or(processor).or_else(|| sector.note.clone()).unwrap_or_default()
}
