// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the caller hears while parameters are made, and how it stops the work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind};

/// What the maker is doing, in the order it does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Another process makes the same file; this one waits for it. Nothing is counted.
    Waiting,
    /// The circuit is synthesised; `done` counts constraints and the total is unknown, 0.
    Synthesis,
    /// The circuit's polynomials are evaluated at the trapdoor; nothing is counted.
    Evaluation,
    /// The tables of multiples are computed; nothing is counted.
    Tables,
    /// Points are computed and written; `done` and `total` count bytes of the file.
    Points,
    /// The file is made durable and visible; nothing is counted.
    Publishing,
}

/// One report, on the calling thread. While points are computed reports come several times a
/// second; what is shown of them is the caller's choice.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// How much of it is done, in the step's unit.
    pub done: u64,
    /// How much there is, in the step's unit; 0 where that is not known.
    pub total: u64,
    /// Time since the call began, waiting included.
    pub elapsed: Duration,
    /// An estimate of the time left, once points are being computed.
    pub left: Option<Duration>,
}

/// The caller's callback and cancel flag, and the clock, as every part of the work sees them.
#[derive(Clone, Copy)]
pub(crate) struct Watch<'a> {
    progress: &'a (dyn Fn(Progress) + Sync),
    cancel: &'a AtomicBool,
    started: Instant,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(progress: &'a (dyn Fn(Progress) + Sync), cancel: &'a AtomicBool) -> Self {
        Watch { progress, cancel, started: Instant::now() }
    }

    /// Reports a step without a known end.
    pub(crate) fn report(&self, step: Step, done: u64) {
        self.report_of(step, done, 0, None);
    }

    /// Reports a step with a known end.
    pub(crate) fn report_of(&self, step: Step, done: u64, total: u64, left: Option<Duration>) {
        (self.progress)(Progress { step, done, total, elapsed: self.started.elapsed(), left });
    }

    /// An error once the caller has set the cancel flag.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() { Err(Kind::Cancelled.into()) } else { Ok(()) }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}

/// Before this time a rate says nothing.
const MIN_MEASURED: Duration = Duration::from_millis(500);

/// The time left after `done` of `total` units of equal cost took `elapsed`.
pub(crate) fn time_left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    let left = total.checked_sub(done)?;
    if done == 0 || elapsed < MIN_MEASURED {
        return None;
    }
    Some(elapsed.mul_f64(left as f64 / done as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_in_proportion() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(time_left(elapsed, 0, 100), None);
        assert_eq!(time_left(Duration::from_millis(1), 25, 100), None);
        assert_eq!(time_left(elapsed, 25, 100), Some(Duration::from_secs(30)));
        assert_eq!(time_left(elapsed, 100, 100), Some(Duration::ZERO));
        assert_eq!(time_left(elapsed, 101, 100), None);
    }
}
