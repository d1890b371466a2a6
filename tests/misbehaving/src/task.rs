// SPDX-License-Identifier: MIT OR Apache-2.0

//! A running `echo`.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

use crate::{
    faults::{Fault, has},
    message::{error, result},
    outbox::Outbox,
};

/// Progress is sent at most so often.
const INTERVAL: Duration = Duration::from_secs(1);
/// And at least so often.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long a cancelled task runs on with [`Fault::CancelIsSlow`], in graces: the suite grants one
/// of 1.5 s where it waits for 10 s and at last for 20 s, and multiplies all three by `--slow`.
const SLOW_CANCEL_GRACES: u32 = 10;

/// Why a task is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It was cancelled.
    Cancel,
    /// The process is to end.
    Interrupt,
}

/// What others see of a task.
#[derive(Default)]
pub struct Control {
    /// Whether it has ticks, and so takes a while.
    pub lasts: bool,
    stop: Mutex<Option<Stop>>,
    stopped: Condvar,
}

impl Control {
    /// Of a task that takes a while, or not.
    pub fn new(lasts: bool) -> Self {
        Self { lasts, ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, Option<Stop>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells it to stop. A cancel is final.
    pub fn stop(&self, stop: Stop) {
        let mut state = self.state();
        if *state != Some(Stop::Cancel) {
            *state = Some(stop);
        }
        self.stopped.notify_all();
    }

    fn wait(&self, timeout: Duration) -> Option<Stop> {
        let waited = self.stopped.wait_timeout_while(self.state(), timeout, |stop| stop.is_none());
        waited.map_or_else(|e| *e.into_inner().0, |(stop, _)| *stop)
    }
}

/// A task.
pub struct Task {
    /// The id of its request.
    pub id: Value,
    /// Its name.
    pub task_id: String,
    /// Its attempt.
    pub attempt: u64,
    /// The parameters of `echo`.
    pub params: Value,
    /// How it is stopped.
    pub control: Arc<Control>,
    /// How long it may take to stop.
    pub grace: Duration,
    /// Where it speaks.
    pub outbox: Outbox,
}

impl Task {
    /// Runs it to its end; the answer, unless there is none.
    pub fn run(&self) -> Option<Value> {
        if has(Fault::UnpinsThreads) {
            let mut all = CpuSet::new();
            (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
            // A sandbox may not let it.
            let _ = sched_setaffinity(None, &all);
        }
        self.echo()
    }

    fn echo(&self) -> Option<Value> {
        let number = |member: &str| self.params[member].as_u64().unwrap_or(0);
        let ticks = number("ticks");
        let interval = Duration::from_millis(number("intervalMs"));
        let mut sent = None;
        for tick in 1..=ticks {
            let stop = self.wait_for_tick(interval, tick, ticks, &mut sent);
            if let Some(stop) = stop {
                return self.stopped(stop);
            }
            let due = sent.is_none_or(|at: Instant| at.elapsed() >= INTERVAL);
            if due || has(Fault::SendsEveryTick) {
                self.progress(tick, ticks);
                sent = Some(Instant::now());
            }
        }
        self.end()
    }

    /// Waits for the next tick, with a sign of life now and then.
    fn wait_for_tick(
        &self,
        interval: Duration,
        tick: u64,
        ticks: u64,
        sent: &mut Option<Instant>,
    ) -> Option<Stop> {
        let began = Instant::now();
        let silent_since = began;
        loop {
            let left = interval.saturating_sub(began.elapsed());
            let quiet = sent.unwrap_or(silent_since).elapsed();
            let stop = self.control.wait(left.min(HEARTBEAT.saturating_sub(quiet)));
            if stop.is_some() || began.elapsed() >= interval {
                return stop;
            }
            if sent.unwrap_or(silent_since).elapsed() >= HEARTBEAT {
                if !has(Fault::SilentForAMinute) {
                    self.progress(tick - 1, ticks);
                }
                *sent = Some(Instant::now());
            }
        }
    }

    fn progress(&self, done: u64, total: u64) {
        let mut params = json!({
            "taskId": self.task_id, "attempt": self.attempt, "phase": "echo",
            "done": done, "total": total, "unit": "ticks",
        });
        if has(Fault::ForgetsAttempt) {
            params["attempt"] = 1.into();
        }
        if has(Fault::PassesTotal) {
            params["done"] = (total + done).into();
        }
        if has(Fault::CountsDown) {
            params["done"] = (total - done).into();
        }
        if has(Fault::ProgressWithoutUnit)
            && let Some(members) = params.as_object_mut()
        {
            members.remove("unit");
        }
        self.notify("task/progress", params);
    }

    fn notify(&self, method: &str, params: Value) {
        self.outbox.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// What is said, against the rules, once the answer is sent.
    pub fn after(&self, answer: Option<&Value>) {
        let cancelled = answer.is_some_and(|answer| answer["error"]["code"] == -32800);
        if has(Fault::ProgressAfterResult) && !cancelled
            || has(Fault::ProgressAfterCancel) && cancelled
        {
            self.progress(1, 1);
        }
        if has(Fault::LogAfterResult) && !cancelled {
            let params = json!({"level": "info", "message": "done", "taskId": self.task_id});
            self.notify("log/message", params);
        }
    }

    fn stopped(&self, stop: Stop) -> Option<Value> {
        let cancelled = error(&self.id, -32800, "abort", "cancelled");
        let interrupted = error(&self.id, 1011, "temporary", "interrupted");
        match stop {
            Stop::Cancel if has(Fault::CancelledIsSilent) => None,
            Stop::Cancel if has(Fault::CancelIsInterrupt) => Some(interrupted),
            Stop::Cancel => {
                if has(Fault::CancelIsSlow) {
                    std::thread::sleep(self.grace * SLOW_CANCEL_GRACES);
                }
                Some(cancelled)
            }
            Stop::Interrupt if has(Fault::InterruptIsCancel) => Some(cancelled),
            Stop::Interrupt => Some(interrupted),
        }
    }

    fn end(&self) -> Option<Value> {
        match self.params["fail"].as_str() {
            Some("temporary") => {
                let code = if has(Fault::OwnCode) { 1500 } else { 1008 };
                let permanent = has(Fault::EverythingIsPermanent);
                let class = if permanent { "permanent" } else { "temporary" };
                Some(error(&self.id, code, class, "as asked"))
            }
            Some("permanent") => Some(error(&self.id, 1006, "permanent", "as asked")),
            Some("panic") if has(Fault::PanicIsSilent) => None,
            Some("panic") if has(Fault::DiesOfPanic) => std::process::exit(101),
            Some("panic") => Some(error(&self.id, -32603, "temporary", "it panicked, as asked")),
            _ => {
                let mut payload = self.params["payload"].clone();
                if let Some(number) = payload.as_f64().filter(|_| has(Fault::RoundsPayload)) {
                    payload = json!(number.trunc());
                }
                Some(result(&self.id, json!({"output": {"payload": payload}})))
            }
        }
    }
}

/// A process beside the task, of the faults that have one.
pub fn helper() -> Option<Child> {
    if has(Fault::LeavesItsGroup) {
        // It ends with its stdin, and so with this process, however that ends.
        return Command::new("cat")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .ok();
    }
    if !has(Fault::LeavesAHelper) && !has(Fault::HelperSurvives) {
        return None;
    }
    let helper =
        Command::new("sleep").arg("300").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    helper.ok().filter(|_| has(Fault::HelperSurvives))
}
