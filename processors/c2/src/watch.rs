// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running task, as those who compute see it: progress one way, a stop the other.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use sealpipe_protocol::{
    Code, TaskError,
    method::LogLevel,
    serve::{Progress, TaskContext},
};

/// Progress of each phase, and of each step of a partition, is in so many parts.
const PARTS: u64 = 1_000;

/// Steps of a partition: its witness and its proof.
const STEPS: u64 = 2;

/// What comes before the partitions, in this order. A later task finds most of it done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Another process prepares the same.
    Waiting,
    /// The circuit is synthesised, once for a machine.
    Circuit,
    /// The digest of the parameters is taken.
    Checking,
    /// They are converted, once for a machine.
    Converting,
    /// They are copied to the devices.
    Loading,
    /// What c1 wrote is read.
    Reading,
}

impl Phase {
    const N: u64 = 6;

    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for parameters",
            Self::Circuit => "extracting the circuit",
            Self::Checking => "checking parameters",
            Self::Converting => "converting parameters",
            Self::Loading => "loading parameters",
            Self::Reading => "reading",
        }
    }
}

/// A running task, or nobody.
#[derive(Clone, Copy)]
pub struct Watch<'t> {
    task: Option<&'t TaskContext>,
    n_partitions: u64,
    is_over: Option<&'t AtomicBool>,
}

impl<'t> Watch<'t> {
    /// Of a task that proves so many partitions.
    pub fn new(task: &'t TaskContext, n_partitions: usize) -> Self {
        Self { task: Some(task), n_partitions: n_partitions as u64, is_over: None }
    }

    /// Nobody watches: for warming up, tests and benches.
    pub fn nobody() -> Self {
        Self { task: None, n_partitions: 0, is_over: None }
    }

    /// The same, which also stops once the flag is set: for work that may become useless before the task ends.
    #[must_use]
    pub fn until(self, is_over: &'t AtomicBool) -> Self {
        Self { is_over: Some(is_over), ..self }
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// The error to end with.
    pub fn check(&self) -> Result<(), TaskError> {
        self.task.map_or(Ok(()), TaskContext::check_stop)?;
        match self.is_over.is_some_and(|is_over| is_over.load(Ordering::Relaxed)) {
            true => Err(TaskError::new(Code::Cancelled, "it is of no use any more")),
            false => Ok(()),
        }
    }

    /// Does some work and notes in the task's log how long it took.
    pub fn timed<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let value = work();
        if let Some(task) = self.task {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            task.log(LogLevel::Debug, format!("{what}: {ms:.1} ms"));
        }
        value
    }

    /// Reports how far a phase is.
    pub fn report(&self, phase: Phase, done: u64, total: u64) {
        let part = u128::from(done.min(total)) * u128::from(PARTS) / u128::from(total.max(1));
        self.tell(phase.name(), phase as u64 * PARTS + part as u64);
    }

    /// Reports that so many steps of partitions are done, the last of which was `step`.
    pub fn report_steps(&self, step: &str, done: u64) {
        self.tell(step, (Phase::N + done) * PARTS);
    }

    fn tell(&self, phase: &str, done: u64) {
        let Some(task) = self.task else { return };
        let total = (Phase::N + STEPS * self.n_partitions) * PARTS;
        task.progress(Progress {
            phase: phase.to_owned(),
            done: done.min(total),
            total,
            unit: "parts".to_owned(),
            checkpoint: None,
        });
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
