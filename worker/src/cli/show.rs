// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shows what happens, on stderr: one bar a sector and stage on a terminal, one line a stage
//! elsewhere.

use std::{
    collections::HashMap,
    fmt,
    io::{IsTerminal, Write, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{
    BinaryBytes, HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressState,
    ProgressStyle,
};
use sealpipe_protocol::{Stage, method::LogLevel};

use crate::event::{Event, Observer};

/// How often a bar without news is drawn again.
const REDRAW: Duration = Duration::from_millis(250);

/// Off a terminal a long stage says how far it is this often.
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// How chatty the output is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Stages, and what goes wrong.
    Normal,
    /// Processors and their log lines as well.
    Verbose,
    /// Only what goes wrong.
    Quiet,
    /// What a daemon says: a line a stage, and nothing of its progress, which `status` shows.
    Service {
        /// Processors' log lines as well.
        verbose: bool,
    },
}

/// Writes a line to stderr. That nobody reads it any more, or that its disk is full, ends no work.
pub fn say(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

/// An observer that shows events on stderr.
pub fn on_stderr(detail: Detail) -> Observer {
    let shown = Show {
        bars: MultiProgress::new(),
        terminal: stderr().is_terminal()
            && !matches!(detail, Detail::Quiet | Detail::Service { .. }),
        detail,
        running: Mutex::default(),
        told: Mutex::default(),
    };
    Observer::new(move |event| shown.event(event))
}

struct Show {
    bars: MultiProgress,
    terminal: bool,
    detail: Detail,
    running: Mutex<HashMap<String, ProgressBar>>,
    /// Off a terminal: when a stage was last told of.
    told: Mutex<HashMap<String, Instant>>,
}

impl Show {
    fn line(&self, text: &str) {
        if self.terminal {
            // An error means that the terminal is gone; there is nobody to tell.
            let _ = self.bars.println(text);
        } else {
            say(text);
        }
    }

    fn stage_line(&self, text: &str) {
        if self.detail != Detail::Quiet {
            self.line(text);
        }
    }

    fn detail_line(&self, text: &str) {
        if matches!(self.detail, Detail::Verbose | Detail::Service { verbose: true }) {
            self.line(text);
        }
    }

    /// The bar of a sector's stage, or of another long work.
    fn bar(&self, key: &str, title: &str) -> ProgressBar {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let bar = self.bars.add(ProgressBar::new(0));
            bar.set_style(
                ProgressStyle::with_template("{prefix} {spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(REDRAW);
            bar
        };
        running.entry(key.to_owned()).or_insert_with(make).clone()
    }

    fn end_bar(&self, key: &str) {
        let bar = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if let Some(bar) = bar {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    fn progress(&self, key: &str, title: &str, phase: &str, done: u64, total: u64, unit: &str) {
        if !self.terminal {
            return self.progress_line(key, title, phase, done, total);
        }
        let bar = self.bar(key, title);
        if bar.length() == Some(0) || bar.length() != Some(total) {
            bar.set_style(style(unit));
            bar.set_length(total);
        }
        bar.set_position(done.min(total));
        bar.set_message(phase.to_owned());
    }

    /// Off a terminal: a line now and then, so that nobody takes a long stage for a hang.
    fn progress_line(&self, key: &str, title: &str, phase: &str, done: u64, total: u64) {
        if !matches!(self.detail, Detail::Service { .. }) && self.is_due(key) {
            let percent = done.saturating_mul(100) / total.max(1);
            self.stage_line(&format!("{title} {phase}, {percent}%"));
        }
    }

    /// Whether it is time for another line about something long.
    fn is_due(&self, key: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let last = told.entry(key.to_owned()).or_insert_with(Instant::now);
        let due = last.elapsed() >= LINE_INTERVAL;
        if due {
            *last = Instant::now();
        }
        due
    }

    fn stage_started(&self, sector: &str, stage: Stage, attempt: u32) {
        let (key, title) = (key(sector, stage), title(sector, stage));
        if self.terminal {
            self.bar(&key, &title).set_message("starting");
        } else {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
        }
        if attempt > 1 {
            self.stage_line(&format!("{title} attempt {attempt}"));
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::StageStarted { sector, stage, attempt, .. } => {
                self.stage_started(sector, *stage, *attempt);
            }
            Event::StageProgress { sector, stage, phase, done, total, unit, .. } => {
                let (key, title) = (key(sector, *stage), title(sector, *stage));
                self.progress(&key, &title, phase, *done, *total, unit);
            }
            Event::StageFinished { sector, stage, elapsed_ms, resumed_from, .. } => {
                self.end_bar(&key(sector, *stage));
                let resumed = resumed_from.as_ref().map(|r| format!(", resumed from {r}"));
                self.stage_line(&format!(
                    "{} done in {}{}",
                    title(sector, *stage),
                    seconds(*elapsed_ms),
                    resumed.unwrap_or_default()
                ));
            }
            Event::StageRetried { sector, stage, attempt, delay_ms, reason, .. } => {
                self.end_bar(&key(sector, *stage));
                self.line(&format!(
                    "warning: {}: attempt {attempt} failed, trying again in {}: {reason}",
                    title(sector, *stage),
                    seconds(*delay_ms)
                ));
            }
            // What failed for good is said where it ends.
            Event::StageFailed { sector, stage, .. } => self.end_bar(&key(sector, *stage)),
            Event::StageSkipped { sector, stage } => {
                self.detail_line(&format!("{} was done before", title(sector, *stage)));
            }
            Event::ParametersProgress { size, phase, done, total, eta_seconds } => {
                self.parameters(size, phase, *done, *total, *eta_seconds);
            }
            Event::ParametersMade { size } => {
                self.end_bar("parameters");
                self.stage_line(&format!("{} made", parameters_title(size)));
            }
            Event::Stopping { reason } => self.line(&format!("{reason}: stopping the processors")),
            other => self.daemon_event(other),
        }
    }

    fn daemon_event(&self, event: &Event) {
        match event {
            Event::DaemonStarted { pid, sectors, .. } => {
                let waiting = match sectors {
                    0 => String::new(),
                    1 => ", goes on with 1 sector".to_owned(),
                    n => format!(", goes on with {n} sectors"),
                };
                self.line(&format!("ready, pid {pid}{waiting}"));
            }
            Event::DaemonStopped { .. } => self.line("stopped"),
            Event::Paused => self.line("paused: what runs is finished, nothing starts"),
            Event::Resumed => self.line("resumed"),
            Event::Draining => {
                self.line("draining: what runs is finished, and then the daemon ends")
            }
            Event::Reloaded { changes } => {
                changes.iter().for_each(|change| self.line(&format!("reloaded: {change}")));
            }
            Event::ReloadFailed { reason } => {
                self.line(&format!("warning: the configuration was not reloaded: {reason}"));
            }
            Event::Submitted { sectors } => match sectors.as_slice() {
                [first, .., last] => {
                    self.line(&format!("{} sectors submitted: {first} to {last}", sectors.len()));
                }
                [one] => self.line(&format!("{one} submitted")),
                [] => {}
            },
            Event::SectorMoved { sector, state, reason } => {
                let reason = reason.as_ref().map(|reason| format!(": {reason}"));
                let warning = if state == "failed" { "warning: " } else { "" };
                self.line(&format!("{warning}{sector} {state}{}", reason.unwrap_or_default()));
            }
            Event::Asked { sector, what, answer, delay_ms: Some(delay_ms) } => {
                let answer = answer.as_deref().unwrap_or_default();
                let delay = seconds(*delay_ms);
                self.detail_line(&format!("{sector}: no {what} yet, asking in {delay}: {answer}"));
            }
            other => self.processor_event(other),
        }
    }

    fn parameters(&self, size: &str, phase: &str, done: u64, total: u64, eta: Option<u64>) {
        let title = parameters_title(size);
        if self.terminal {
            return self.progress("parameters", &title, phase, done, total, "bytes");
        }
        if !self.is_due("parameters") {
            return;
        }
        let left = eta.map(|s| format!(", {} left", HumanDuration(Duration::from_secs(s))));
        let percent = done.saturating_mul(100) / total.max(1);
        self.stage_line(&format!("{title} {phase}, {percent}%{}", left.unwrap_or_default()));
    }

    fn processor_event(&self, event: &Event) {
        match event {
            Event::ProcessorReady { processor, pid, identity, device, .. } => {
                let device = device.as_ref().map(|d| format!(" on the {d}")).unwrap_or_default();
                self.stage_line(&format!("{processor}: {identity}{device}, pid {pid}"));
            }
            Event::ProcessorMisplaced { processor, pid, mismatch } => {
                self.line(&format!("warning: {processor} (pid {pid}) is misplaced: {mismatch}"));
            }
            Event::ControlGroups { wanted: false, .. } => {}
            Event::ControlGroups { dir: Some(dir), .. } => {
                self.stage_line(&format!("control groups: below {}", dir.display()));
            }
            Event::ControlGroups { reason, .. } => {
                let why = reason.as_deref().unwrap_or_default();
                self.stage_line(&format!("no control groups, cpus by affinity: {why}"));
            }
            Event::ProcessorDied { processor, pid, reason, last_words } => {
                self.line(&format!("warning: {processor} (pid {pid}) is gone: {reason}"));
                for line in last_words {
                    self.detail_line(&format!("  {line}"));
                }
            }
            Event::ProcessorRestarting { processor, delay_ms, .. } => {
                self.stage_line(&format!("{processor} starts again in {}", seconds(*delay_ms)));
            }
            Event::ProcessorDegraded { processor, reason } => {
                let text = format!("{processor} is degraded: {reason}");
                match self.detail {
                    // Nobody waits for it who would be told.
                    Detail::Service { .. } => self.line(&format!("warning: {text}")),
                    _ => self.detail_line(&text),
                }
            }
            Event::ProcessorStopped { processor, pid, killed } if *killed => {
                self.line(&format!("warning: {processor} (pid {pid}) did not stop and was killed"));
            }
            Event::TaskStalled { processor, task, silent_ms, .. } => {
                let silence = seconds(*silent_ms);
                self.line(&format!("warning: {processor}: {task} has not advanced for {silence}"));
            }
            Event::ProcessorOddity { processor, oddity } => {
                self.line(&format!("warning: {processor}: {oddity}"));
            }
            Event::ProcessorLog { processor, level, message } => match level {
                LogLevel::Error | LogLevel::Warn => {
                    self.line(&format!("warning: {processor}: {message}"));
                }
                LogLevel::Debug | LogLevel::Trace => {}
                _ => self.detail_line(&format!("{processor}: {message}")),
            },
            _ => {}
        }
    }
}

fn key(sector: &str, stage: Stage) -> String {
    format!("{sector}/{stage}")
}

fn title(sector: &str, stage: Stage) -> String {
    format!("{sector} {stage:<10}", stage = stage.name())
}

fn parameters_title(size: &str) -> String {
    format!("test parameters of {size}, once:")
}

fn style(unit: &str) -> ProgressStyle {
    let unit = unit.to_owned();
    let rate = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        // An error means that the bar's own buffer is gone.
        let _ = match unit.as_str() {
            "bytes" => write!(out, "{}/s", BinaryBytes(state.per_sec() as u64)),
            unit => write!(out, "{} {unit}/s", HumanCount(state.per_sec() as u64)),
        };
    };
    let template = "{prefix} [{bar:24}] {percent:>3}%  {rate:>18}  {eta:>4} left  {msg}";
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", rate)
        .progress_chars("=> ")
}

/// A duration as people read it: `0.04 s`, `12.3 s`, `2m 05s`.
pub fn seconds(elapsed_ms: u64) -> String {
    let whole = elapsed_ms / 1000;
    match whole {
        0..10 => format!("{:.2} s", elapsed_ms as f64 / 1e3),
        10..60 => format!("{:.1} s", elapsed_ms as f64 / 1e3),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole / 60 % 60),
    }
}
