// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connection to one running process of vc-processors.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sealpipe_protocol::{
    Code, TaskError, TaskId,
    error::RetryWhere,
    legacy::{self, Response},
    method::{ShutdownMode, TaskProgress, TaskRunParams, TaskRunResult},
    sector_lock::SectorLock,
    stage::Job,
};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{ChildStdin, ChildStdout},
    sync::{Notify, mpsc, oneshot},
    time::interval,
};

use super::{
    super::{
        ProcessorSpec,
        link::{Lost, TaskReport},
        spec::Name,
    },
    files,
};
use crate::{
    config::entry::DEFAULT_STUCK_AFTER,
    event::{Event, Observer},
};

/// Longest answer, in bytes: the largest of the stages here is a proof of some 10 KB. A longer line
/// is no answer.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// How long a task may take unless the entry's `stuck_after` says otherwise: nothing is heard of it
/// before its end, and a pc1 takes hours.
const TASK_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Lines before the ready line that are tolerated.
const MAX_NOISE_LINES: u32 = 20;

/// Lines that are no answer, after which a process is taken for defective.
const DEFECTIVE_AFTER: u32 = 1_000;

/// Lines of one process that are shown: the first ones tell, more of them would hide the rest.
const SHOWN_ODDITIES: u32 = 3;

/// Bytes of such a line that are shown.
const SHOWN_BYTES: usize = 200;

/// Bytes of an error's text that are kept: some carry backtraces.
const MAX_ERROR_BYTES: usize = 4_096;

/// How often it is looked whether a task takes too long.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

type Answer = Result<Box<RawValue>, Lost>;

struct Open {
    task_id: TaskId,
    since: Instant,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct State {
    ready: bool,
    /// Why nothing more is heard.
    closed: Option<String>,
    /// Why the process is to be ended.
    given_up: Option<String>,
    oddities: u32,
    last_id: u64,
    open: HashMap<u64, Open>,
    /// Sectors that the process may still write to, whether somebody waits for it or not.
    locks: HashMap<u64, Arc<SectorLock>>,
    tasks_done: u64,
}

struct Shared {
    name: Name,
    ready_line: String,
    observer: Observer,
    state: Mutex<State>,
    changed: Notify,
}

/// The connection.
pub struct Session {
    shared: Arc<Shared>,
    /// At most one line for each open task.
    lines: Mutex<Option<mpsc::UnboundedSender<Vec<u8>>>>,
    task_limit: Mutex<Duration>,
}

impl Session {
    /// Starts reading and writing.
    pub fn new(
        spec: &ProcessorSpec,
        name: &Name,
        stdin: ChildStdin,
        stdout: ChildStdout,
        observer: Observer,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: name.clone(),
            ready_line: legacy::ready_line(spec.id.stage),
            observer,
            state: Mutex::default(),
            changed: Notify::new(),
        });
        let (lines, written) = mpsc::unbounded_channel();
        tokio::spawn(write(stdin, written));
        tokio::spawn(read(stdout, shared.clone()));
        let task_limit = Mutex::new(task_limit(spec));
        Self { shared, lines: Mutex::new(Some(lines)), task_limit }
    }

    /// Takes over the times of a spec.
    pub fn tune(&self, spec: &ProcessorSpec) {
        *self.task_limit.lock().unwrap_or_else(PoisonError::into_inner) = task_limit(spec);
    }

    /// Waits for the ready line.
    ///
    /// # Errors
    /// Why it will not come.
    pub async fn ready(&self) -> Result<(), String> {
        self.shared
            .wait(|state| {
                if state.ready {
                    return Some(Ok(()));
                }
                if state.oddities >= MAX_NOISE_LINES {
                    return Some(Err(format!("it printed {} other lines", state.oddities)));
                }
                state.closed.clone().map(Err)
            })
            .await
    }

    /// Waits until no task is open.
    pub async fn idle(&self) {
        self.shared.wait(|state| state.open.is_empty().then_some(())).await;
    }

    /// Closes the process' stdin once everything is written.
    pub fn close(&self) {
        *self.lines.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Gives up all open tasks of a process that is gone.
    pub fn abandon(&self) {
        self.close();
        let open: Vec<_> = self.shared.state().open.drain().map(|(_, open)| open).collect();
        for open in open {
            let _ = open.answer.send(Err(Lost::Gone("its process has ended".to_owned())));
        }
        self.shared.changed.notify_waiters();
    }

    /// Gives up all open tasks, when they are to be interrupted: the process cannot be asked, and its
    /// end comes with that of its stdin.
    pub fn shut_down(&self, mode: ShutdownMode) {
        if mode == ShutdownMode::Drain {
            return;
        }
        let open: Vec<_> = self.shared.state().open.drain().map(|(_, open)| open).collect();
        for open in open {
            let text = "a processor of vc-processors keeps no checkpoint when it is stopped";
            let error = TaskError::new(Code::Interrupted, text);
            let _ = open.answer.send(Err(Lost::Failed(error)));
        }
        self.shared.changed.notify_waiters();
    }

    /// Tasks that ended well.
    pub fn tasks_done(&self) -> u64 {
        self.shared.state().tasks_done
    }

    /// Waits until the process has to be given up, and says why.
    pub async fn defect(&self) -> String {
        let mut watch = interval(WATCH_INTERVAL);
        let why = |state: &mut State| {
            let limit = *self.task_limit.lock().unwrap_or_else(PoisonError::into_inner);
            if state.oddities > DEFECTIVE_AFTER {
                return Some(format!("it printed {} lines that are no answers", state.oddities));
            }
            let late = state.open.values().find(|open| open.since.elapsed() > limit);
            let late = late
                .map(|open| format!("task {} did not end in {} s", open.task_id, limit.as_secs()));
            state.given_up.clone().or(late).or(state.closed.clone())
        };
        loop {
            tokio::select! {
                why = self.shared.wait(why) => return why,
                // Time passes without any change.
                _ = watch.tick() => {}
            }
        }
    }

    /// Runs a task. Dropping the future ends the process: there is no other way to cancel.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run(
        &self,
        params: &TaskRunParams,
        report: Arc<TaskReport>,
    ) -> Result<TaskRunResult, Lost> {
        let stage = params.stage.parse().map_err(Lost::Failed)?;
        let job = Arc::new(Job::parse(stage, &params.params).map_err(Lost::Failed)?);
        // The process knows of no lock, so the worker holds it.
        let lock = job.sector_dir().map(SectorLock::acquire).transpose().map_err(Lost::Failed)?;
        let lock = lock.map(Arc::new);
        report(&running(params));
        let task = on_thread(&job, &lock, files::prepare).await?;
        let answered = self.ask(params, &task, lock.clone()).await;
        if matches!(answered, Err(Lost::Failed(_))) {
            let _ = on_thread(&job, &lock, |job| {
                files::sweep(job);
                Ok(())
            })
            .await;
        }
        let answer = answered?;
        let output = on_thread(&job, &lock, move |job| files::finish(job, &answer)).await?;
        self.shared.state().tasks_done += 1;
        Ok(TaskRunResult { output, resumed_from: None })
    }

    /// Sends a task and waits for its output.
    async fn ask(
        &self,
        params: &TaskRunParams,
        task: &RawValue,
        lock: Option<Arc<SectorLock>>,
    ) -> Answer {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.shared.state();
            if let Some(why) = state.closed.clone().or(state.given_up.clone()) {
                return Err(Lost::Gone(why));
            }
            state.last_id += 1;
            let id = state.last_id;
            let (task_id, since) = (params.task_id.clone(), Instant::now());
            state.open.insert(id, Open { task_id, since, answer });
            state.locks.extend(lock.map(|lock| (id, lock)));
            id
        };
        let mut asked = Asked { shared: &self.shared, id, answered: false };
        let line = format!("{{\"id\":{id},\"task\":{task}}}\n").into_bytes();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if lines.is_none_or(|lines| lines.send(line).is_err()) {
            return Err(Lost::Gone("its stdin is closed".to_owned()));
        }
        let answer = answered.await;
        asked.answered = true;
        answer.unwrap_or_else(|_| Err(Lost::Gone("its connection was given up".to_owned())))
    }
}

fn task_limit(spec: &ProcessorSpec) -> Duration {
    match spec.stuck_after == DEFAULT_STUCK_AFTER {
        true => TASK_LIMIT,
        false => spec.stuck_after,
    }
}

/// A request that ends the process when nobody waits for it any more.
struct Asked<'a> {
    shared: &'a Shared,
    id: u64,
    answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let open = state.open.remove(&self.id);
        if let (Some(open), false) = (open, self.answered) {
            state.given_up = Some(format!("its task {} was cancelled", open.task_id));
        }
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds something in the state.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = look(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    fn heard(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let mut state = self.state();
        if !state.ready && text.trim() == self.ready_line {
            state.ready = true;
        } else if text.trim().is_empty() {
            return;
        } else {
            match serde_json::from_slice::<Response>(line) {
                Ok(response) => match state.open.remove(&response.id) {
                    Some(open) => {
                        state.locks.remove(&response.id);
                        let _ = open.answer.send(outcome(response));
                    }
                    None => {
                        drop(state);
                        let text = format!("nobody waits for an answer to {}", response.id);
                        return self.oddity(text);
                    }
                },
                Err(error) => {
                    drop(state);
                    let text = text.trim_end();
                    let end = text.floor_char_boundary(SHOWN_BYTES);
                    return self.oddity(format!("no answer ({error}): {:?}", &text[..end]));
                }
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn oddity(&self, oddity: String) {
        let (count, ready) = {
            let mut state = self.state();
            state.oddities += 1;
            (state.oddities, state.ready)
        };
        // Noise before the ready line was shown when the dialect was found out.
        if ready && count <= SHOWN_ODDITIES {
            let processor = self.name.to_string();
            self.observer.tell(&Event::ProcessorOddity { processor, oddity });
        }
        self.changed.notify_waiters();
    }

    fn closed(&self, why: &str) {
        let mut state = self.state();
        state.closed = Some(why.to_owned());
        // Whoever held the other end is gone: nobody writes to these sectors any more.
        state.locks.clear();
        let open: Vec<_> = state.open.drain().map(|(_, open)| open).collect();
        drop(state);
        for open in open {
            let _ = open.answer.send(Err(Lost::Gone(why.to_owned())));
        }
        self.changed.notify_waiters();
    }
}

fn outcome(response: Response) -> Answer {
    let failed = |mut text: String| {
        text.truncate(text.floor_char_boundary(MAX_ERROR_BYTES));
        // Whether it helps to try again is not said, so it is tried, a few times.
        let error = TaskError::new(Code::InternalError, text).retry(RetryWhere::OtherProcess, 0);
        Err(Lost::Failed(error))
    };
    match (response.err_msg, response.output) {
        (Some(text), _) => failed(text),
        (None, Some(output)) => Ok(output),
        (None, None) => failed("the answer has neither an error nor an output".to_owned()),
    }
}

/// All that is ever known of a task that runs.
fn running(params: &TaskRunParams) -> TaskProgress {
    TaskProgress {
        task_id: params.task_id.clone(),
        attempt: params.attempt,
        phase: "running".to_owned(),
        done: 0,
        total: 0,
        unit: "steps".to_owned(),
        checkpoint: None,
    }
}

/// Does what takes long with files on a thread of its own, which nobody waits for when the worker
/// ends. The sector stays locked meanwhile.
async fn on_thread<T: Send + 'static>(
    job: &Arc<Job>,
    lock: &Option<Arc<SectorLock>>,
    work: impl FnOnce(&Job) -> Result<T, TaskError> + Send + 'static,
) -> Result<T, Lost> {
    let (job, lock) = (job.clone(), lock.clone());
    let (done_to, done) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("files".to_owned()).spawn(move || {
        let outcome = work(&job);
        drop(lock);
        let _ = done_to.send(outcome);
    });
    let outcome = match spawned {
        Ok(_) => done.await.unwrap_or_else(|_| {
            Err(TaskError::new(Code::InternalError, "the thread for files is gone"))
        }),
        Err(error) => Err(TaskError::io(Code::ResourceExhausted, "cannot start a thread", &error)),
    };
    outcome.map_err(Lost::Failed)
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        let written = async {
            stdin.write_all(&line).await?;
            stdin.flush().await
        };
        // The process is gone or going: its stdout ends too.
        if written.await.is_err() {
            return;
        }
    }
}

async fn read(stdout: ChildStdout, shared: Arc<Shared>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_ANSWER_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) => return shared.closed("its stdout ended"),
            Ok(_) => shared.heard(&line),
            Err(error) => return shared.closed(&format!("its stdout failed: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_output_or_an_error() {
        let check = |line: &str, expected: Result<&str, &str>| {
            let answer = outcome(serde_json::from_str(line).unwrap());
            let answer = answer.map(|output| output.get().to_owned());
            let answer = answer.map_err(|lost| lost.to_string());
            assert_eq!(answer, expected.map(str::to_owned).map_err(str::to_owned), "{line}");
        };
        check(r#"{"id":1,"err_msg":null,"output":true}"#, Ok("true"));
        check(r#"{"id":1,"err_msg":"no gpu","output":null}"#, Err("no gpu"));
        let neither = "the answer has neither an error nor an output";
        check(r#"{"id":1,"err_msg":null,"output":null}"#, Err(neither));
    }
}
