// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a stage tells while it runs, whoever listens.

use std::{
    fmt,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use sealpipe_protocol::method::LogLevel;
use serde::{Deserialize, Serialize};

/// How far a task is; the members of `task/progress`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub phase: String,
    /// How much of the whole task is done, in `unit`.
    pub done: u64,
    /// How much there is in all.
    pub total: u64,
    /// The unit of both.
    pub unit: String,
    /// From where a further attempt would go on.
    pub checkpoint: Option<String>,
}

/// Something that a stage tells.
#[derive(Clone, Debug)]
pub enum Note {
    /// How far it is.
    Progress(Progress),
    /// A line for the log.
    Log(LogLevel, String),
}

/// What a stage reports to.
pub struct Reporter {
    sink: Box<dyn Fn(Note) + Send + Sync>,
    resumed_from: Mutex<Option<String>>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

impl Reporter {
    /// A reporter that hands every note to `sink`.
    pub fn new(sink: impl Fn(Note) + Send + Sync + 'static) -> Self {
        Self { sink: Box::new(sink), resumed_from: Mutex::default() }
    }

    /// A reporter to nobody.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Tells how far the task is.
    pub fn progress(&self, phase: impl Into<String>, done: u64, total: u64, unit: &str) {
        self.progress_from(phase, done, total, unit, None);
    }

    /// Tells how far the task is and from where a further attempt would go on.
    pub fn progress_from(
        &self,
        phase: impl Into<String>,
        done: u64,
        total: u64,
        unit: &str,
        checkpoint: Option<String>,
    ) {
        let (phase, unit) = (phase.into(), unit.to_owned());
        (self.sink)(Note::Progress(Progress {
            phase,
            done: done.min(total),
            total,
            unit,
            checkpoint,
        }));
    }

    /// Writes a line to the log.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        (self.sink)(Note::Log(level, message.into()));
    }

    /// Says what an earlier attempt had left and this one does not repeat.
    pub fn resumed_from(&self, what: impl Into<String>) {
        *self.resumed_from.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.into());
    }

    /// What [`Self::resumed_from`] was told.
    pub fn resumption(&self) -> Option<String> {
        self.resumed_from.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Does `work` while another thread calls `tick` every `interval`; returns when both have ended.
pub fn ticking<T>(
    interval: Duration,
    mut tick: impl FnMut() + Send,
    work: impl FnOnce() -> T,
) -> T {
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(move |scope| {
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                tick();
            }
        });
        // Dropped when the work ends, by a panic too: that is what stops the other thread.
        let _stop = stop;
        work()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU32, atomic::Ordering};

    use super::*;

    #[test]
    fn ticks_come_while_the_work_lasts() {
        let ticks = AtomicU32::new(0);
        let value = ticking(
            Duration::from_millis(1),
            || {
                ticks.fetch_add(1, Ordering::Relaxed);
            },
            || {
                while ticks.load(Ordering::Relaxed) < 3 {
                    thread::yield_now();
                }
                7
            },
        );
        assert_eq!(value, 7);
    }

    #[test]
    fn a_panic_in_the_work_stops_the_ticks() {
        let caught = std::panic::catch_unwind(|| {
            ticking(Duration::from_millis(1), || {}, || panic!("no"));
        });
        caught.unwrap_err();
    }

    #[test]
    fn done_never_passes_total() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let reporter = Reporter::new(move |note| sink.lock().unwrap().push(note));
        reporter.progress("x", 9, 5, "nodes");
        assert!(matches!(&seen.lock().unwrap()[0], Note::Progress(p) if p.done == 5));
    }
}
