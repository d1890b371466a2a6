// SPDX-License-Identifier: MIT OR Apache-2.0

//! `params`: Groth16 parameters, made for tests and looked at.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use sealpipe_params::{DEFAULT_SEED, ParameterSet, Progress, Status, Step};
use sealpipe_protocol::stage::proof::SealProof;
use serde_json::json;
use storage_proofs_core::parameter_cache::parameter_cache_dir;

/// Exit code when there are no usable parameters, or none could be made.
const EXIT_FAILURE: u8 = 1;

/// Exit code after an interrupt, as shells have it: 128 and SIGINT.
const EXIT_INTERRUPTED: u8 = 130;

/// How often progress is shown on a terminal.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);

/// How often progress is shown elsewhere.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How often progress is shown as JSON.
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// What to do with parameters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make parameters for tests: their proofs convince nobody but you
    ///
    /// They go where filecoin-proofs looks for them: FIL_PROOFS_PARAMETER_CACHE, or
    /// /var/tmp/filecoin-proof-parameters. An interrupt leaves nothing there.
    Make {
        /// What to make them for
        #[command(flatten)]
        target: Target,
        /// 16 bytes in hex that the set-up's secrets are drawn from; unless given, those of
        /// filecoin-proofs' own tests
        #[arg(long, value_parser = seed)]
        seed: Option<[u8; 16]>,
    },
    /// Say whether parameters are there, and whether they are the network's
    ///
    /// Ends with 0 when they are present, with 1 when they are missing or corrupt.
    Status {
        /// What to look for
        #[command(flatten)]
        target: Target,
    },
}

/// A sector size, and how to speak of it.
#[derive(Clone, Copy, Debug, Args)]
pub struct Target {
    /// The sector size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long)]
    size: SealProof,
    /// Write JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Does what the command says.
pub fn main(command: &Command) -> ExitCode {
    let (done, target) = match command {
        Command::Make { target, seed } => (make(*target, seed.unwrap_or(DEFAULT_SEED)), target),
        Command::Status { target } => (status(*target), target),
    };
    done.unwrap_or_else(|error| {
        let cancelled = error.is_cancelled();
        if target.json {
            tell(&json!({ "error": error.to_string(), "hint": error.hint() }));
        }
        let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        let _ = write!(io::stderr(), "error: {error}\n{hint}");
        ExitCode::from(if cancelled { EXIT_INTERRUPTED } else { EXIT_FAILURE })
    })
}

fn parameters(target: Target) -> Result<ParameterSet, sealpipe_params::Error> {
    ParameterSet::new(target.size.sector_bytes(), &parameter_cache_dir())
}

fn status(target: Target) -> Result<ExitCode, sealpipe_params::Error> {
    let set = parameters(target)?;
    let (size, path) = (target.size.size_name(), set.params_path());
    let shown = path.display();
    let (state, network, text) = match set.status()? {
        Status::Missing => ("missing", false, format!("no parameters for {size} at {shown}")),
        Status::Present { network: true, .. } => {
            ("present", true, format!("the network's parameters for {size} are at {shown}"))
        }
        Status::Present { network: false, .. } => {
            ("present", false, format!("test parameters for {size} are at {shown}"))
        }
        Status::Damaged { path, reason } => {
            ("corrupt", false, format!("{} is corrupt: {reason}", path.display()))
        }
    };
    if target.json {
        tell(&json!({ "size": size, "state": state, "network": network, "path": path }));
    } else {
        let _ = writeln!(io::stdout(), "{text}");
    }
    let code = if state == "present" { 0 } else { EXIT_FAILURE };
    Ok(ExitCode::from(code))
}

fn make(target: Target, seed: [u8; 16]) -> Result<ExitCode, sealpipe_params::Error> {
    let cancel = Arc::new(AtomicBool::new(false));
    cancel_on_signal(Arc::clone(&cancel));
    let display = Display::new(target.json);
    let made = parameters(target)?.make(seed, &|progress| display.show(progress), &cancel);
    display.end();
    let made = made?;
    let (size, path) = (target.size.size_name(), made.path.display());
    if target.json {
        tell(&json!({ "size": size, "path": made.path, "found": made.found }));
    } else if made.found {
        let _ = writeln!(io::stdout(), "parameters for {size} are at {path} already");
    } else {
        let _ = writeln!(io::stdout(), "made test parameters for {size} at {path}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets the flag at the first interrupt, termination or hang-up; a second one ends the process.
fn cancel_on_signal(cancel: Arc<AtomicBool>) {
    use tokio::signal::unix::{SignalKind, signal};
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
            return;
        };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            for is_first in [true, false] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                cancel.store(true, Ordering::Relaxed);
                if !is_first {
                    std::process::exit(i32::from(EXIT_INTERRUPTED));
                }
            }
        });
    });
}

/// Shows progress: one line that changes on a terminal, a line now and then elsewhere, or JSON.
struct Display {
    form: Form,
    last: Mutex<Option<(Step, Instant)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Terminal,
    Lines,
    Json,
}

impl Display {
    fn new(json: bool) -> Self {
        let form = match (json, io::stderr().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Lines,
        };
        Self { form, last: Mutex::new(None) }
    }

    fn show(&self, progress: Progress) {
        if !self.is_due(progress.step) {
            return;
        }
        match self.form {
            // Return to the line's start, and clear what was there.
            Form::Terminal => drop(write!(io::stderr(), "\r\x1b[2K{}", text(&progress))),
            Form::Lines => drop(writeln!(io::stderr(), "{}", text(&progress))),
            Form::Json => tell(&json!({
                "done": progress.done,
                "total": progress.total,
                "phase": phase(progress.step),
                "etaSeconds": progress.left.map(|left| left.as_secs()),
            })),
        }
    }

    fn is_due(&self, step: Step) -> bool {
        let interval = match self.form {
            Form::Terminal => TERMINAL_INTERVAL,
            Form::Lines => LINE_INTERVAL,
            Form::Json => JSON_INTERVAL,
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|(shown, at)| shown != step || at.elapsed() >= interval);
        if due {
            *last = Some((step, Instant::now()));
        }
        due
    }

    fn end(&self) {
        if self.form == Form::Terminal {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

fn phase(step: Step) -> &'static str {
    match step {
        Step::Waiting => "waiting for another process",
        Step::Synthesis => "synthesis",
        Step::Evaluation => "evaluation",
        Step::Tables => "tables",
        Step::Points => "points",
        Step::Publishing => "syncing",
        _ => "working",
    }
}

fn text(progress: &Progress) -> String {
    let phase = phase(progress.step);
    if progress.total == 0 {
        return format!("{phase} …");
    }
    let percent = 100 * progress.done / progress.total;
    let left = progress.left.map_or_else(String::new, |left| {
        let seconds = left.as_secs();
        format!(", {}:{:02} left", seconds / 60, seconds % 60)
    });
    format!("{phase} {percent} %{left}")
}

fn tell(value: &serde_json::Value) {
    let _ = writeln!(io::stdout(), "{value}");
}

fn seed(text: &str) -> Result<[u8; 16], String> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("a seed is 32 hex digits, got {} characters", text.chars().count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_32_hex_digits() {
        assert_eq!(seed(&"0f".repeat(16)), Ok([15; 16]));
        for bad in ["", "0", &"0f".repeat(15), &"0f".repeat(17), &"+f".repeat(16), &"é".repeat(16)]
        {
            seed(bad).unwrap_err();
        }
    }

    #[test]
    fn progress_reads_well() {
        let progress = |total, left: Option<u64>| Progress {
            step: Step::Points,
            done: 30,
            total,
            elapsed: Duration::ZERO,
            left: left.map(Duration::from_secs),
        };
        assert_eq!(text(&progress(120, Some(65))), "points 25 %, 1:05 left");
        assert_eq!(text(&progress(120, None)), "points 25 %");
        assert_eq!(text(&progress(0, None)), "points …");
    }
}
