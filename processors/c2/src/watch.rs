// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running task, as those who compute see it: progress one way, a stop the other.

use std::time::Instant;

use sealpipe_protocol::{
    TaskError,
    method::LogLevel,
    serve::{Progress, TaskContext},
};

/// A running task, or nobody.
#[derive(Clone, Copy)]
pub struct Watch<'t> {
    task: Option<&'t TaskContext>,
}

impl<'t> Watch<'t> {
    /// Of a task.
    pub fn new(task: &'t TaskContext) -> Self {
        Self { task: Some(task) }
    }

    /// Nobody watches: for warming up, tests and benches.
    pub fn nobody() -> Self {
        Self { task: None }
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// The error to end with.
    pub fn check(&self) -> Result<(), TaskError> {
        self.task.map_or(Ok(()), TaskContext::check_stop)
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

    /// Reports how far the task is.
    pub fn report(&self, phase: &str, done: u64, total: u64, unit: &str) {
        let Some(task) = self.task else { return };
        task.progress(Progress {
            phase: phase.to_owned(),
            done: done.min(total),
            total,
            unit: unit.to_owned(),
            checkpoint: None,
        });
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
