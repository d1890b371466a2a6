// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the first line to the end: requests, the open tasks, and the ways to stop.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::File,
    process::Child,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{io::fcntl_dupfd_cloexec, stdio};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    MAX_CONCURRENT,
    faults::{Fault, has},
    framing::{Frame, Lines},
    initialize,
    message::{self, Message, error, result},
    outbox::{Outbox, line},
    task::{Control, Stop, Task, helper},
};

/// Tasks whose newest attempt is remembered.
const REMEMBERED_TASKS: usize = 10_000;

/// A name and an attempt.
type Key = (String, u64);

#[derive(Default)]
struct State {
    open: HashMap<Key, Arc<Control>>,
    open_ids: HashSet<String>,
    newest: HashMap<String, u64>,
    order: VecDeque<String>,
    queue: VecDeque<(Value, Value)>,
    answers: HashMap<Key, Value>,
    cancelled: HashSet<String>,
    cancels: HashMap<String, u32>,
    shutdown: bool,
    drained: bool,
    pings: u64,
}

/// What all threads share.
struct Session {
    state: Mutex<State>,
    changed: Condvar,
    outbox: Outbox,
    grace: Duration,
    worker_limit: usize,
}

/// Serves until stdin ends; the exit code.
pub fn serve() -> u8 {
    try_serve().unwrap_or(1)
}

fn try_serve() -> std::io::Result<u8> {
    // Past stderr.
    let mut lines = Lines::new(File::from(fcntl_dupfd_cloexec(stdio::stdin(), 3)?));
    let mut output = File::from(fcntl_dupfd_cloexec(stdio::stdout(), 3)?);
    stdio::dup2_stdin(File::open("/dev/null")?)?;
    if !has(Fault::KeepsDescriptor1) {
        stdio::dup2_stdout(stdio::stderr())?;
    }
    if has(Fault::GreetsFirst) {
        std::io::Write::write_all(&mut output, &line(&status("warming")))?;
    }
    let granted = match initialize::run(&mut lines, &mut output)? {
        Ok(granted) => granted,
        Err(code) => return Ok(code),
    };
    lines.initialized();
    let limits = &granted["limits"];
    let session = Arc::new(Session {
        state: Mutex::default(),
        changed: Condvar::new(),
        outbox: Outbox::start(output),
        grace: Duration::from_millis(limits["graceMs"].as_u64().unwrap_or(10_000)),
        worker_limit: limits["maxFrameBytes"].as_u64().unwrap_or(16 << 20) as usize,
    });
    if !has(Fault::DiesOfSigterm) {
        session.watch_signals()?;
    }
    loop {
        match lines.next_frame()? {
            Frame::End => break,
            Frame::TooLong if has(Fault::SkipsInSilence) => {}
            Frame::TooLong => {
                session.answer(error(&Value::Null, -32600, "permanent", "too long"));
            }
            Frame::Line(text) => session.take(message::parse(&text)),
        }
    }
    Ok(session.end())
}

fn status(state: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "processor/status", "params": {"state": state}})
}

impl Session {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SIGTERM is like the end of stdin.
    fn watch_signals(self: &Arc<Self>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut terminate: Signal = signal(SignalKind::terminate())?;
        drop(entered);
        let session = self.clone();
        thread::spawn(move || {
            runtime.block_on(terminate.recv());
            session.end();
            std::process::exit(1);
        });
        Ok(())
    }

    /// Stops what is open; the exit code.
    fn end(&self) -> u8 {
        let state = self.state();
        let (shutdown, drained) = (state.shutdown, state.drained);
        let finish = has(Fault::OutlivesStdin) || has(Fault::DrainsPastTheEnd) && drained;
        if !finish {
            state.open.values().for_each(|control| control.stop(Stop::Interrupt));
        }
        let within = if finish { Duration::from_secs(3_600) } else { self.grace };
        let waited = self.changed.wait_timeout_while(state, within, |state| !state.open.is_empty());
        let in_time = waited.is_ok_and(|(_, timeout)| !timeout.timed_out());
        self.outbox.flush(Duration::from_secs(1));
        let clean = if shutdown { !has(Fault::ShutdownExitCode) } else { has(Fault::EndExitCode) };
        u8::from(!(clean && in_time))
    }

    fn send(&self, answer: Value) {
        let mut answer = answer;
        let line = line(&answer);
        if line.len() > self.worker_limit + 1 && !has(Fault::IgnoresWorkerLimit) {
            answer = error(&answer["id"], 1008, "permanent", "longer than the worker takes");
        }
        self.outbox.send(&answer);
    }

    /// Answers from the thread that reads.
    fn answer(&self, answer: Value) {
        self.send(answer);
        if has(Fault::WritesBeforeItReads) {
            self.outbox.flush(Duration::from_secs(3_600));
        }
    }

    fn take(self: &Arc<Self>, message: Message) {
        match message {
            Message::Request { id, method, params } => self.request(id, &method, params),
            Message::Notification { method, params } => {
                if has(Fault::AnswersNotifications) {
                    self.answer(error(&Value::Null, -32601, "permanent", "no such notification"));
                }
                if has(Fault::ServesNotifications) {
                    self.request(Value::Null, &method, params);
                }
            }
            Message::Batch(items) => {
                items.into_iter().for_each(|item| self.take(message::classify(item)));
            }
            Message::Bad(reply) => self.answer(reply),
            Message::Nothing => {}
        }
    }

    fn request(self: &Arc<Self>, id: Value, method: &str, params: Value) {
        if self.state().open_ids.contains(&id.to_string()) {
            if !has(Fault::DropsDuplicateIds) {
                self.answer(error(&id, -32600, "permanent", "the id is in use"));
            }
            return;
        }
        let invalid = || error(&id, -32602, "permanent", "the parameters do not fit");
        match method {
            "ping" => self.ping(&id),
            "initialize" if has(Fault::InitializesAgain) => {
                self.answer(result(&id, json!({"protocolVersion": "1.0", "stages": []})));
            }
            "initialize" => self.answer(error(&id, -32600, "permanent", "once is enough")),
            "task/cancel" if !message::is_task_id(&params["taskId"]) => self.answer(invalid()),
            "task/cancel"
                if has(Fault::RefusesUnknownMembers) && params["x-unknown"] != json!(null) =>
            {
                self.answer(invalid());
            }
            "task/cancel" => self.cancel(&id, params["taskId"].as_str().unwrap_or_default()),
            "shutdown" => match params["mode"].as_str() {
                Some("drain") => self.shutdown(&id, true),
                Some("interrupt") => self.shutdown(&id, false),
                Some(_) if has(Fault::AnyMode) => self.shutdown(&id, true),
                _ => self.answer(invalid()),
            },
            "task/run" => self.run(id, params),
            _ if has(Fault::SilentOnUnknownRequests) => {}
            _ => self.answer(error(&id, -32601, "permanent", "no such method")),
        }
    }

    fn ping(&self, id: &Value) {
        let mut state = self.state();
        state.pings += 1;
        let lasting = state.open.values().filter(|control| control.lasts).count();
        let lost = has(Fault::LosesPings) && state.pings.is_multiple_of(10)
            || has(Fault::PingWaits) && lasting == MAX_CONCURRENT
            || has(Fault::DrainIsDeaf) && state.drained;
        let open = if has(Fault::CountsNothing) { 0 } else { state.open.len() };
        drop(state);
        if !lost {
            self.answer(result(id, json!({"openTasks": open})));
        }
    }

    fn cancel(&self, id: &Value, task_id: &str) {
        let mut state = self.state();
        let attempts = state.open.keys().filter(|(name, _)| name == task_id).map(|key| key.1);
        let attempt = if has(Fault::CancelsOldest) { attempts.min() } else { attempts.max() };
        let control = attempt.and_then(|n| state.open.get(&(task_id.to_owned(), n))).cloned();
        let known = state.newest.contains_key(task_id);
        if let Some(control) = &control {
            control.stop(Stop::Cancel);
            if has(Fault::CancelsAll) {
                state.open.values().for_each(|control| control.stop(Stop::Cancel));
            }
        }
        if has(Fault::CancelIsForGood) && control.is_some()
            || has(Fault::RemembersCancels) && control.is_none()
        {
            state.cancelled.insert(task_id.to_owned());
        }
        let count = state.cancels.entry(task_id.to_owned()).or_default();
        *count += u32::from(control.is_some() || known);
        let second = *count == 2;
        drop(state);
        if has(Fault::SecondCancelIsLost) && second {
            return;
        }
        if control.is_none()
            && (has(Fault::CancelUnknownFails) && !known
                || has(Fault::CancelFinishedFails) && known)
        {
            return self.answer(error(id, 1006, "permanent", "no such task is open"));
        }
        let open = control.is_some() && !has(Fault::CancelSaysClosed);
        self.answer(result(id, json!({"open": open})));
        if has(Fault::AnswersTwice) && !known {
            self.answer(result(id, json!({"open": open})));
        }
    }

    fn shutdown(self: &Arc<Self>, id: &Value, drain: bool) {
        let mut state = self.state();
        if state.shutdown && has(Fault::ShutsDownOnce) {
            drop(state);
            return self.answer(error(id, -32600, "permanent", "once is enough"));
        }
        state.shutdown = true;
        state.drained |= drain;
        let open = if has(Fault::CountsNothing) { 0 } else { state.open.len() };
        let interrupt = !drain && !has(Fault::InterruptDrains) || has(Fault::DrainInterrupts);
        if interrupt {
            state.open.values().for_each(|control| control.stop(Stop::Interrupt));
        }
        if has(Fault::DrainInterrupts) {
            let within = Duration::from_secs(3_600);
            let waited =
                self.changed.wait_timeout_while(state, within, |state| !state.open.is_empty());
            drop(waited);
        } else {
            drop(state);
        }
        if !has(Fault::ShutdownIsSilent) {
            self.answer(result(id, json!({"openTasks": open})));
        }
        if !has(Fault::DrainsInSilence) {
            self.outbox.send(&status("draining"));
        }
        if drain && has(Fault::GraceBoundsDrain) {
            let session = self.clone();
            thread::spawn(move || {
                thread::sleep(session.grace);
                session.state().open.values().for_each(|control| control.stop(Stop::Interrupt));
            });
        }
    }

    /// Begins a task, or answers why not.
    fn run(self: &Arc<Self>, id: Value, params: Value) {
        if let Err(refusal) = self.try_run(&id, &params) {
            let mut refusal = refusal;
            if has(Fault::ErrorsWithoutData)
                && let Some(members) = refusal["error"].as_object_mut()
            {
                members.remove("data");
            }
            self.answer(refusal);
        }
    }

    fn try_run(self: &Arc<Self>, id: &Value, params: &Value) -> Result<(), Value> {
        let refuse = |code: i64, text: &str| {
            let class = if code == 1003 { "temporary" } else { "permanent" };
            Err(error(id, code, class, text))
        };
        if !message::fits_run(params) {
            return refuse(-32602, "the parameters do not fit");
        }
        let stage = params["stage"].as_str().unwrap_or_default();
        let unoffered = has(Fault::ServesUnoffered) && stage == "add_pieces";
        if stage != "echo" && !unoffered {
            let code = if has(Fault::StageIsAParam) { -32602 } else { 1002 };
            return refuse(code, "no such stage");
        }
        let version = params["schemaVersion"].as_str().unwrap_or_default();
        let readable = if has(Fault::ReadsOneMinor) {
            version == "1.0"
        } else {
            version.starts_with("1.") || has(Fault::ReadsAnyMajor)
        };
        if !readable {
            return refuse(1002, "no such version of the parameters");
        }
        if !message::fits_echo(&params["params"]) {
            return refuse(-32602, "the parameters of echo do not fit");
        }
        let task_id = params["taskId"].as_str().unwrap_or_default().to_owned();
        let attempt = params["attempt"].as_u64().unwrap_or_default();
        if has(Fault::TaskIdsAreNames) && task_id.contains('/') {
            return refuse(1006, "no name of a file");
        }
        let key = (task_id.clone(), attempt);
        let mut state = self.state();
        if state.shutdown && !has(Fault::RunsAfterShutdown) {
            return refuse(1003, "shutting down");
        }
        let newest = state.newest.get(&task_id).copied();
        if newest.is_some_and(|newest| attempt < newest) && !has(Fault::RunsOldAttempts) {
            return refuse(1006, "an old attempt");
        }
        if state.open.contains_key(&key) && !has(Fault::RunsOpenAttempts) {
            return refuse(1006, "the attempt is open");
        }
        if has(Fault::WantsFirstAttempt) && newest.is_none() && attempt > 1 {
            return refuse(1006, "where is the first attempt");
        }
        if state.cancelled.contains(&task_id) {
            return refuse(-32800, "cancelled");
        }
        let most = MAX_CONCURRENT + usize::from(has(Fault::RunsOneMore))
            - usize::from(has(Fault::RunsOneLess));
        if state.open.len() >= most {
            if has(Fault::QueuesTasks) {
                state.queue.push_back((id.clone(), params.clone()));
                return Ok(());
            }
            return refuse(if has(Fault::BusyIsInternal) { -32603 } else { 1003 }, "busy");
        }
        if has(Fault::AnswersFromMemory)
            && let Some(answer) = state.answers.get(&key)
        {
            let answer = result(id, answer["result"].clone());
            drop(state);
            self.answer(answer);
            return Ok(());
        }
        if has(Fault::NewerEndsOlder) {
            let older = state.open.iter().filter(|((name, _), _)| *name == task_id);
            older.for_each(|(_, control)| control.stop(Stop::Cancel));
        }
        let lasts = params["params"]["ticks"].as_u64() > Some(0);
        let control = Arc::new(Control::new(lasts));
        state.open.insert(key.clone(), control.clone());
        state.open_ids.insert(id.to_string());
        state.remember(&task_id, attempt);
        drop(state);
        let outbox = self.outbox.clone();
        let params = params["params"].clone();
        let (id, grace) = (id.clone(), self.grace);
        let task = Task { id, task_id, attempt, params, control, grace, outbox };
        self.begin(key, task);
        Ok(())
    }

    fn begin(self: &Arc<Self>, key: Key, task: Task) {
        if has(Fault::PrintsToStdout) {
            self.outbox.send_line(b"a library prints\n".to_vec());
        }
        if has(Fault::SendsRequests) {
            self.outbox.send(&json!({
                "jsonrpc": "2.0", "id": "mine", "method": "log/message",
                "params": {"level": "info", "message": "may I"},
            }));
        }
        let helper = helper();
        if !task.control.lasts {
            return self.finish(key, &task, helper);
        }
        let session = self.clone();
        let thread = thread::spawn(move || session.finish(key, &task, helper));
        if has(Fault::ReadsAfterTheTask) {
            // A thread that panics has answered nothing.
            let _ = thread.join();
        }
    }

    fn finish(self: &Arc<Self>, key: Key, task: &Task, helper: Option<Child>) {
        let mut answer = task.run();
        if let Some(mut helper) = helper {
            // It may have ended already.
            let _ = helper.kill();
            let _ = helper.wait();
        }
        if has(Fault::ErrorsWithoutData)
            && let Some(error) = answer.as_mut().and_then(|answer| answer.get_mut("error"))
            && let Some(members) = error.as_object_mut()
        {
            members.remove("data");
        }
        let mut state = self.state();
        state.open.remove(&key);
        state.open_ids.remove(&task.id.to_string());
        if has(Fault::AnswersFromMemory)
            && let Some(answer) = &answer
        {
            state.answers.insert(key, answer.clone());
        }
        let queued = state.queue.pop_front();
        // Sent within the lock, so that whoever sees no open task finds all answers on their way.
        if !task.id.is_null()
            && let Some(answer) = &answer
        {
            self.send(answer.clone());
        }
        task.after(answer.as_ref());
        drop(state);
        self.changed.notify_all();
        if let Some((id, params)) = queued {
            self.run(id, params);
        }
    }
}

impl State {
    fn remember(&mut self, task_id: &str, attempt: u64) {
        let newest = self.newest.entry(task_id.to_owned()).or_insert_with(|| {
            self.order.push_back(task_id.to_owned());
            attempt
        });
        *newest = attempt.max(*newest);
        let most = if has(Fault::ForgetsAttempts) { 100 } else { REMEMBERED_TASKS };
        if self.order.len() > most
            && let Some(oldest) = self.order.pop_front()
        {
            self.newest.remove(&oldest);
        }
    }
}
