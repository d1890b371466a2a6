// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a running task sees of the worker: whether it is to stop, and where to report.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Code, TaskError, TaskId,
    method::{LogLevel, LogMessage, TaskProgress},
    peer::Peer,
    sector_lock::SectorLock,
};

/// Progress is sent at most this often.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The last progress is repeated after so long a silence: half of the minute that is allowed.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);

/// A log line is cut after so many bytes: a bulk frame could be overtaken by its task's response.
const MAX_LOG_BYTES: usize = 16 * 1024;

/// Why a task is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// Its result is not wanted any more.
    Cancel,
    /// The process ends: leave a checkpoint.
    Interrupt,
}

/// How far a task is: see [`TaskProgress`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// What is being done, such as `layer 3/11`.
    pub phase: String,
    /// How much of the whole task is done.
    pub done: u64,
    /// How much there is in all.
    pub total: u64,
    /// The unit of both.
    pub unit: String,
    /// From where a further attempt would go on.
    pub checkpoint: Option<String>,
}

struct State {
    began: Instant,
    stop: Option<Stop>,
    ended: bool,
    latest: Progress,
    unsent: bool,
    sent_at: Option<Instant>,
}

/// A running task.
pub struct TaskContext {
    task_id: TaskId,
    attempt: u32,
    /// Who is told; nobody where the protocol has no words for it.
    peer: Option<Peer>,
    lock: Option<SectorLock>,
    state: Mutex<State>,
    stopped: Condvar,
}

impl TaskContext {
    pub(super) fn new(task_id: TaskId, attempt: u32, peer: Peer, lock: Option<SectorLock>) -> Self {
        Self::with(task_id, attempt, Some(peer), lock)
    }

    /// A task whose progress nobody hears of, and whose log goes to stderr.
    pub(super) fn unheard(task_id: TaskId, lock: Option<SectorLock>) -> Self {
        Self::with(task_id, 1, None, lock)
    }

    fn with(task_id: TaskId, attempt: u32, peer: Option<Peer>, lock: Option<SectorLock>) -> Self {
        // Even a stage that never reports gives signs of life.
        let latest =
            Progress { phase: "running".into(), unit: "steps".into(), ..Progress::default() };
        let state = Mutex::new(State {
            began: Instant::now(),
            stop: None,
            ended: false,
            latest,
            unsent: false,
            sent_at: None,
        });
        Self { task_id, attempt, peer, lock, state, stopped: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each field is valid by itself, so a panic elsewhere cannot have left nonsense.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task's id.
    pub fn task_id(&self) -> &TaskId {
        &self.task_id
    }

    /// Which try this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The lock on the sector's directory, for stages that write there.
    pub fn sector_lock(&self) -> Option<&SectorLock> {
        self.lock.as_ref()
    }

    /// Whether the task is to stop, and why.
    pub fn stop(&self) -> Option<Stop> {
        self.state().stop
    }

    /// Waits for a stop, at most `timeout`.
    pub fn wait_stop(&self, timeout: Duration) -> Option<Stop> {
        let waited = self.stopped.wait_timeout_while(self.state(), timeout, |s| s.stop.is_none());
        waited.map_or_else(|e| e.into_inner().0.stop, |(state, _)| state.stop)
    }

    /// The error to end with when there is a stop.
    ///
    /// # Errors
    /// [`Code::Cancelled`] or [`Code::Interrupted`].
    pub fn check_stop(&self) -> Result<(), TaskError> {
        self.stop().map_or(Ok(()), |stop| Err(stop_error(stop)))
    }

    /// Reports progress. Call it as often as is convenient: it is sent at most once a second, and
    /// repeated when nothing new comes.
    pub fn progress(&self, progress: Progress) {
        let mut state = self.state();
        state.latest = progress;
        state.unsent = true;
        self.send_if_due(&mut state);
    }

    /// Sends a log line about this task.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        let state = self.state();
        if state.ended {
            return;
        }
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_LOG_BYTES));
        let Some(peer) = &self.peer else {
            eprintln!("{level:?}: {message}");
            return;
        };
        peer.notify(&LogMessage {
            level,
            message,
            task_id: Some(self.task_id.clone()),
            fields: BTreeMap::new(),
        });
        drop(state);
    }

    /// Sends what is due: called once a second.
    pub(super) fn tick(&self) {
        self.send_if_due(&mut self.state());
    }

    fn send_if_due(&self, state: &mut State) {
        let is_due = match (state.unsent, state.sent_at) {
            (true, None) => true,
            (true, Some(at)) => at.elapsed() >= PROGRESS_INTERVAL,
            (false, at) => at.unwrap_or(state.began).elapsed() >= HEARTBEAT,
        };
        if state.ended || !is_due {
            return;
        }
        let Some(peer) = &self.peer else { return };
        let progress = &state.latest;
        peer.notify(&TaskProgress {
            task_id: self.task_id.clone(),
            attempt: self.attempt,
            phase: progress.phase.clone(),
            done: progress.done.min(crate::MAX_INTEGER),
            total: progress.total.min(crate::MAX_INTEGER),
            unit: progress.unit.clone(),
            checkpoint: progress.checkpoint.clone(),
        });
        state.sent_at = Some(Instant::now());
        state.unsent = false;
    }

    pub(super) fn request_stop(&self, stop: Stop) {
        // A cancel is final; an interrupt may still become one.
        let mut state = self.state();
        if state.stop != Some(Stop::Cancel) {
            state.stop = Some(stop);
        }
        drop(state);
        self.stopped.notify_all();
    }

    /// Ends the reports: nothing about the task is sent after its response. Gives the lock back.
    pub(super) fn end(&self) {
        self.state().ended = true;
    }
}

/// What a task that was stopped ends with.
pub(super) fn stop_error(stop: Stop) -> TaskError {
    match stop {
        Stop::Cancel => TaskError::new(Code::Cancelled, "the task was cancelled"),
        Stop::Interrupt => TaskError::new(Code::Interrupted, "the processor was told to stop"),
    }
}
