// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connection to one running process: tasks, their progress, and signs of life.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jsonrpsee::RpcModule;
use sealpipe_protocol::{
    Code, Stage, TaskError, TaskId,
    codec::FrameLimit,
    legacy,
    method::{
        LogMessage, Notification, ProcessorLimits, ProcessorState, ProcessorStatus, Request,
        Shutdown, ShutdownMode, ShutdownParams, TaskCancel, TaskCancelParams, TaskProgress,
        TaskRun, TaskRunParams, TaskRunResult,
    },
    peer::{CallError, Oddity, Options, Peer, read_result},
};
use serde::Serialize;
use tokio::{
    process::{ChildStdin, ChildStdout},
    sync::Notify,
    time::{sleep, timeout},
};

use super::ProcessorSpec;
use crate::event::{Event, Observer, millis};

/// Lines that are no message, after which a process is taken for defective.
const DEFECTIVE_AFTER: u32 = 1_000;

/// Oddities of one process that are shown: the first ones tell, more of them would hide the rest.
const SHOWN_ODDITIES: u32 = 3;

/// How often silence is looked for, unless a time that is watched for is so short that it is more often.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// How often at most.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// How long a processor may take to answer `shutdown` and `task/cancel`: ten times what the
/// protocol allows.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why a task ended without an answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lost {
    /// The processor refused or failed it.
    #[error("{0}")]
    Failed(TaskError),
    /// The process died or broke the connection; the task may be run again.
    #[error("the processor is gone: {0}")]
    Gone(String),
    /// The process lives and does nothing.
    #[error("{0}")]
    Stalled(String),
}

/// How a task is doing.
pub type TaskReport = dyn Fn(&TaskProgress) + Send + Sync;

/// A task whose progress stands still.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StalledTask {
    /// Its id.
    pub task: String,
    /// For how long, in milliseconds.
    pub silent_ms: u64,
}

type Reports = HashMap<(TaskId, u32), Watched>;

struct Watched {
    report: Arc<TaskReport>,
    done: Option<u64>,
    advanced_at: Instant,
    /// Whether it was said that it stands still.
    is_reported: bool,
}

/// What silence means.
#[derive(Clone, Copy)]
struct Patience {
    stalled_after: Duration,
    stuck_after: Duration,
    report_after: Duration,
}

impl Patience {
    fn of(spec: &ProcessorSpec) -> Self {
        let ProcessorSpec { stalled_after, stuck_after, stall_report_after, .. } = *spec;
        Self { stalled_after, stuck_after, report_after: stall_report_after }
    }

    /// How often it is looked whether a time is over: a few times within the shortest.
    fn interval(self) -> Duration {
        let shortest = self.stalled_after.min(self.stuck_after).min(self.report_after);
        (shortest / 4).clamp(SHORTEST_INTERVAL, WATCH_INTERVAL)
    }
}

struct Shared {
    processor: String,
    stage: Stage,
    patience: Mutex<Patience>,
    observer: Observer,
    tasks: Mutex<Reports>,
    heard_at: Mutex<Instant>,
    oddities: AtomicU32,
    first_oddity: Mutex<Option<String>>,
    legacy_line: String,
    is_legacy: AtomicBool,
    odd: Arc<Notify>,
    ended: Notify,
    tasks_done: AtomicU64,
}

impl Shared {
    fn tasks(&self) -> MutexGuard<'_, Reports> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn patience(&self) -> Patience {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which tasks have come to stand still.
    fn report_stalls(&self, report_after: Duration) {
        let mut stalled = Vec::new();
        for ((task, _), watched) in &mut *self.tasks() {
            let silence = watched.advanced_at.elapsed();
            if silence > report_after && !watched.is_reported {
                watched.is_reported = true;
                stalled.push((task.to_string(), silence));
            }
        }
        for (task, silence) in stalled {
            let (processor, stage) = (self.processor.clone(), self.stage);
            let silent_ms = millis(silence);
            self.observer.tell(&Event::TaskStalled { processor, task, stage, silent_ms });
        }
    }

    fn silence(&self) -> Duration {
        self.heard_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    fn oddity(&self, oddity: &Oddity) {
        let said = match oddity {
            Oddity::NotAMessage { excerpt, .. } => excerpt.trim() == self.legacy_line,
            _ => false,
        };
        if said && !self.is_legacy.swap(true, Ordering::Relaxed) {
            return self.odd.notify_one();
        }
        let text = oddity.to_string();
        let count = self.oddities.fetch_add(1, Ordering::Relaxed) + 1;
        if count <= SHOWN_ODDITIES {
            let (processor, oddity) = (self.processor.clone(), text.clone());
            self.observer.tell(&Event::ProcessorOddity { processor, oddity });
        }
        self.first_oddity.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
        self.odd.notify_one();
    }
}

/// The connection.
pub struct Link {
    peer: Peer,
    shared: Arc<Shared>,
    limit: FrameLimit,
    outgoing_limit: FrameLimit,
}

impl Link {
    /// Starts reading and writing. `odd` is notified of each line that is no message.
    pub fn new(
        spec: &ProcessorSpec,
        stdin: ChildStdin,
        stdout: ChildStdout,
        observer: Observer,
        odd: Arc<Notify>,
    ) -> Self {
        let shared = Arc::new(Shared {
            processor: spec.id.to_string(),
            stage: spec.id.stage,
            patience: Mutex::new(Patience::of(spec)),
            observer,
            tasks: Mutex::default(),
            heard_at: Mutex::new(Instant::now()),
            oddities: AtomicU32::new(0),
            first_oddity: Mutex::default(),
            legacy_line: legacy::ready_line(spec.id.stage),
            is_legacy: AtomicBool::new(false),
            odd,
            ended: Notify::new(),
            tasks_done: AtomicU64::new(0),
        });
        let noticed = shared.clone();
        let (limit, outgoing_limit) = (FrameLimit::default(), FrameLimit::default());
        let options = Options {
            limit: limit.clone(),
            outgoing_limit: outgoing_limit.clone(),
            answer_oddities: false,
            on_oddity: Box::new(move |oddity| noticed.oddity(&oddity)),
            already_read: Default::default(),
        };
        let peer = Peer::spawn(stdout, stdin, methods(&shared), options);
        Self { peer, shared, limit, outgoing_limit }
    }

    /// Takes over the times of a spec.
    pub fn tune(&self, spec: &ProcessorSpec) {
        *self.shared.patience.lock().unwrap_or_else(PoisonError::into_inner) = Patience::of(spec);
    }

    /// The tasks whose progress stands still for longer than is to be reported.
    pub fn stalled(&self) -> Vec<StalledTask> {
        let Patience { report_after, .. } = self.shared.patience();
        let tasks = self.shared.tasks();
        let still = tasks.iter().map(|((task, _), watched)| (task, watched.advanced_at.elapsed()));
        let stalled = still.filter(|(_, silence)| *silence > report_after);
        let stalled = stalled.map(|(task, silence)| StalledTask {
            task: task.to_string(),
            silent_ms: millis(silence),
        });
        stalled.collect()
    }

    /// Applies the limits that both sides have announced in `initialize`.
    pub fn agree_on(&self, limits: &ProcessorLimits) {
        self.limit.set(sealpipe_protocol::DEFAULT_FRAME_BYTES);
        self.outgoing_limit.set(usize::try_from(limits.max_frame_bytes).unwrap_or(usize::MAX));
    }

    /// Waits until no task is open.
    pub async fn idle(&self) {
        loop {
            let ended = self.shared.ended.notified();
            if self.shared.tasks().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// The peer, for the handshake.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether it said what only a processor of vc-processors says.
    pub fn is_legacy(&self) -> bool {
        self.shared.is_legacy.load(Ordering::Relaxed)
    }

    /// Lines so far that were no message.
    pub fn oddities(&self) -> u32 {
        self.shared.oddities.load(Ordering::Relaxed)
    }

    /// The first of them.
    pub fn first_oddity(&self) -> Option<String> {
        self.shared.first_oddity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tasks that ended well.
    pub fn tasks_done(&self) -> u64 {
        self.shared.tasks_done.load(Ordering::Relaxed)
    }

    /// Waits until the process has to be given up, and says why.
    pub async fn defect(&self) -> String {
        loop {
            let patience = self.shared.patience();
            tokio::select! {
                why = self.peer.closed() => return why.to_string(),
                () = self.shared.odd.notified() => {}
                () = sleep(patience.interval()) => {}
            }
            if self.oddities() > DEFECTIVE_AFTER {
                return format!("it printed {} lines that are no messages", self.oddities());
            }
            self.shared.report_stalls(patience.report_after);
            let tasks = self.shared.tasks();
            let silence = self.shared.silence();
            if !tasks.is_empty() && silence > patience.stalled_after {
                return format!("it said nothing for {} s with tasks open", silence.as_secs());
            }
            let too_long = |task: &Watched| task.advanced_at.elapsed() > patience.stuck_after;
            let stuck = tasks.iter().find(|(_, task)| too_long(task));
            if let Some(((task_id, _), _)) = stuck {
                let limit = patience.stuck_after.as_secs();
                return format!("task {task_id} did not advance in {limit} s");
            }
        }
    }

    /// Runs a task. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn run(
        &self,
        params: &TaskRunParams,
        report: Arc<TaskReport>,
    ) -> Result<TaskRunResult, Lost> {
        let mut call = self.peer.call(TaskRun::METHOD, params).map_err(lost)?;
        let key = (params.task_id.clone(), params.attempt);
        let advanced_at = Instant::now();
        let watched = Watched { report, done: None, advanced_at, is_reported: false };
        self.shared.heard();
        self.shared.tasks().insert(key.clone(), watched);
        let mut open = OpenTask { link: self, key, cancel: true };
        // A cancel must not overtake the task that it is about.
        call.written().await;
        let answer = call.answer().await;
        self.shared.heard();
        open.cancel = false;
        drop(open);
        let result = read_result(TaskRun::METHOD, &answer.map_err(lost)?).map_err(lost)?;
        self.shared.tasks_done.fetch_add(1, Ordering::Relaxed);
        Ok(result)
    }

    /// Asks the process to stop; true once it has answered.
    pub async fn shut_down(&self, mode: ShutdownMode) -> bool {
        let params = ShutdownParams { mode };
        let asked = timeout(ANSWER_WITHIN, self.peer.request::<Shutdown>(&params)).await;
        matches!(asked, Ok(Ok(_)))
    }
}

/// A task that is cancelled when nobody waits for it any more.
struct OpenTask<'a> {
    link: &'a Link,
    key: (TaskId, u32),
    cancel: bool,
}

impl Drop for OpenTask<'_> {
    fn drop(&mut self) {
        self.link.shared.tasks().remove(&self.key);
        self.link.shared.ended.notify_waiters();
        if self.cancel {
            let peer = self.link.peer.clone();
            let params = TaskCancelParams { task_id: self.key.0.clone() };
            tokio::spawn(async move {
                let _ = timeout(ANSWER_WITHIN, peer.request::<TaskCancel>(&params)).await;
            });
        }
    }
}

fn lost(error: CallError) -> Lost {
    match error {
        CallError::Answered(error) => Lost::Failed(error),
        CallError::Closed(why) => Lost::Gone(why.to_string()),
        CallError::TooLong { .. } => {
            Lost::Failed(TaskError::new(Code::InvalidParams, error.to_string()))
        }
        CallError::Unreadable { .. } => {
            Lost::Failed(TaskError::new(Code::InternalError, error.to_string()))
        }
    }
}

fn methods(shared: &Arc<Shared>) -> RpcModule<Arc<Shared>> {
    let mut module = RpcModule::new(shared.clone());
    let registered = [
        module
            .register_method(TaskProgress::METHOD, |params, shared, _| {
                let progress: TaskProgress = read(params.as_str())?;
                on_progress(shared, &progress);
                Ok::<_, TaskError>(())
            })
            .map(drop),
        module
            .register_method(ProcessorStatus::METHOD, |params, shared, _| {
                let status: ProcessorStatus = read(params.as_str())?;
                on_status(shared, &status);
                Ok::<_, TaskError>(())
            })
            .map(drop),
        module
            .register_method(LogMessage::METHOD, |params, shared, _| {
                let log: LogMessage = read(params.as_str())?;
                shared.heard();
                let (processor, level, message) =
                    (shared.processor.clone(), log.level, log.message);
                shared.observer.tell(&Event::ProcessorLog { processor, level, message });
                Ok::<_, TaskError>(())
            })
            .map(drop),
    ];
    registered.into_iter().collect::<Result<(), _>>().expect("three names, all different");
    module
}

fn read<T: serde::de::DeserializeOwned>(params: Option<&str>) -> Result<T, TaskError> {
    serde_json::from_str(params.unwrap_or("{}"))
        .map_err(|error| TaskError::new(Code::InvalidParams, error.to_string()))
}

fn on_progress(shared: &Shared, progress: &TaskProgress) {
    shared.heard();
    let mut tasks = shared.tasks();
    let key = (progress.task_id.clone(), progress.attempt);
    let Some(task) = tasks.get_mut(&key) else {
        drop(tasks);
        let reason = format!("task {} is not open", progress.task_id);
        let method = TaskProgress::METHOD.to_owned();
        return shared.oddity(&Oddity::BadNotification { method, reason });
    };
    if task.done != Some(progress.done) {
        task.done = Some(progress.done);
        task.advanced_at = Instant::now();
        task.is_reported = false;
    }
    let report = task.report.clone();
    drop(tasks);
    report(progress);
}

fn on_status(shared: &Shared, status: &ProcessorStatus) {
    shared.heard();
    let level = match status.state {
        ProcessorState::Degraded => sealpipe_protocol::method::LogLevel::Warn,
        _ => sealpipe_protocol::method::LogLevel::Debug,
    };
    let reason = status.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
    let message = format!("{:?}{reason}", status.state).to_lowercase();
    let processor = shared.processor.clone();
    shared.observer.tell(&Event::ProcessorLog { processor, level, message });
}
