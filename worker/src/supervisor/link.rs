// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connection to one running process: tasks, their progress, and signs of life.

use std::{
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
use tokio::{
    process::{ChildStdin, ChildStdout},
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    ProcessorSpec,
    spec::Name,
    stall::{Patience, StalledTask, Watch},
};
use crate::event::{Event, Observer};

/// Lines that are no message, after which a process is taken for defective.
const DEFECTIVE_AFTER: u32 = 1_000;

/// Oddities of one process that are shown: the first ones tell, more of them would hide the rest.
const SHOWN_ODDITIES: u32 = 3;

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

struct Shared {
    name: Name,
    stage: Stage,
    patience: Mutex<Patience>,
    observer: Observer,
    tasks: Mutex<Watch>,
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
    fn tasks(&self) -> MutexGuard<'_, Watch> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn patience(&self) -> Patience {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner)
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
            let (processor, oddity) = (self.name.to_string(), text.clone());
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
        name: &Name,
        stdin: ChildStdin,
        stdout: ChildStdout,
        observer: Observer,
        odd: Arc<Notify>,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: name.clone(),
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
        let patience = self.shared.patience();
        self.shared.tasks().stalled(patience, Instant::now())
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
            let now = Instant::now();
            let silence = self.shared.silence();
            let (stalled, given_up) = {
                let mut tasks = self.shared.tasks();
                (tasks.newly_stalled(patience, now), tasks.given_up(patience, silence, now))
            };
            for StalledTask { task, silent_ms } in stalled {
                let (processor, stage) = (self.shared.name.to_string(), self.shared.stage);
                let event = Event::TaskStalled { processor, task, stage, silent_ms };
                self.shared.observer.tell(&event);
            }
            if let Some(why) = given_up {
                return why;
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
        self.shared.heard();
        self.shared.tasks().begin(key.clone(), report, Instant::now());
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
        self.link.shared.tasks().end(&self.key);
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
                let (processor, level, message) = (shared.name.to_string(), log.level, log.message);
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
    let report = shared.tasks().advance(progress, Instant::now());
    match report {
        Some(report) => report(progress),
        None => {
            let reason = format!("task {} is not open", progress.task_id);
            let method = TaskProgress::METHOD.to_owned();
            shared.oddity(&Oddity::BadNotification { method, reason });
        }
    }
}

fn on_status(shared: &Shared, status: &ProcessorStatus) {
    shared.heard();
    let level = match status.state {
        ProcessorState::Degraded => sealpipe_protocol::method::LogLevel::Warn,
        _ => sealpipe_protocol::method::LogLevel::Debug,
    };
    let reason = status.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
    let message = format!("{:?}{reason}", status.state).to_lowercase();
    let processor = shared.name.to_string();
    shared.observer.tell(&Event::ProcessorLog { processor, level, message });
}
