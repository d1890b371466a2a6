// SPDX-License-Identifier: MIT OR Apache-2.0

//! One line on stderr, where that is a terminal, of how far a run is.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sealpipe_conformance::suite::{Event, Status};

/// A run that is over sooner says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Back to the beginning of the line, and all of it away (ECMA-48).
const ERASE: &str = "\r\x1b[K";

/// How far a run is.
pub struct Progress {
    began: Instant,
    checks: usize,
    terminal: bool,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    ended: usize,
    failed: usize,
    shown: bool,
}

/// Of so many checks.
pub fn on_stderr(checks: usize) -> Progress {
    let terminal = io::stderr().is_terminal();
    Progress { began: Instant::now(), checks, terminal, counts: Mutex::default() }
}

impl Progress {
    /// Something has happened.
    pub fn event(&self, event: Event<'_>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match event {
            Event::Ended(outcome) => {
                counts.ended += 1;
                counts.failed += usize::from(outcome.status == Status::Failed);
                let Counts { ended, failed, .. } = *counts;
                format!("{ended} of {} checks have ended, {failed} failed", self.checks)
            }
            Event::Again(check) => format!("was late, once more: {} {}", check.id, check.name),
        };
        if self.terminal && self.began.elapsed() >= PATIENCE {
            counts.shown = true;
            say(&format!("{ERASE}{line}"));
        }
    }

    /// Leaves the line empty.
    pub fn clear(&self) {
        if self.counts.lock().unwrap_or_else(PoisonError::into_inner).shown {
            say(ERASE);
        }
    }
}

fn say(text: &str) {
    let mut stderr = io::stderr();
    // With stderr gone there is nobody to tell.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
