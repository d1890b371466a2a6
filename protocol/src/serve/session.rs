// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the handshake to the end: the registry of methods, the open tasks, and the ways to stop.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use jsonrpsee::{RpcModule, types::Params};
use serde::de::DeserializeOwned;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, oneshot},
    time::timeout,
};

use super::{
    Descriptors, Done, Processor,
    context::{PROGRESS_INTERVAL, Stop, TaskContext, stop_error},
    exit,
};
use crate::{
    Code, Stage, TaskError, TaskId, Version,
    codec::FrameLimit,
    error::RetryWhere,
    method::{
        Initialize, InitializeParams, Ping, PingResult, ProcessorState, ProcessorStatus, Request,
        Shutdown, ShutdownMode, ShutdownParams, StageOffer, TaskCancel, TaskCancelParams,
        TaskCancelResult, TaskRun, TaskRunParams, TaskRunResult,
    },
    peer::{Options, Peer},
    sector_lock::SectorLock,
    stage::Job,
};

/// Finished tasks whose newest attempt is remembered, so that a late older one is refused.
const REMEMBERED_TASKS: usize = 10_000;

/// How long a worker should wait after `Busy`, in milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;

struct Session<P> {
    processor: P,
    offers: Vec<StageOffer>,
    peer: OnceLock<Peer>,
    tasks: Mutex<Tasks>,
    shutdown: AtomicBool,
    /// Whether the worker was told so; held while it is told of any state.
    draining: Mutex<bool>,
    idle: Notify,
}

#[derive(Default)]
struct Tasks {
    open: HashMap<(TaskId, u32), (Stage, Arc<TaskContext>)>,
    newest: HashMap<TaskId, u32>,
    order: VecDeque<TaskId>,
}

/// Serves until the worker has had enough.
pub fn run(
    descriptors: Descriptors,
    processor: impl Processor,
    granted: InitializeParams,
    offers: Vec<StageOffer>,
    already_read: BytesMut,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(descriptors, processor, granted, offers, already_read));
    // Threads of tasks that did not stop within the grace must not keep the process.
    std::process::exit(code.into())
}

async fn serve<P: Processor>(
    descriptors: Descriptors,
    processor: P,
    granted: InitializeParams,
    offers: Vec<StageOffer>,
    already_read: BytesMut,
) -> u8 {
    let session = Arc::new(Session {
        processor,
        offers,
        peer: OnceLock::new(),
        tasks: Mutex::default(),
        shutdown: AtomicBool::new(false),
        draining: Mutex::new(false),
        idle: Notify::new(),
    });
    let grace = Duration::from_millis(granted.limits.grace_ms);
    let outgoing = usize::try_from(granted.limits.max_frame_bytes).unwrap_or(usize::MAX);
    let (reader, writer) = match descriptors.into_async() {
        Ok(ends) => ends,
        Err(error) => {
            eprintln!("error: cannot wait for stdin and stdout: {error}");
            return exit::ABANDONED;
        }
    };
    let options = Options {
        limit: FrameLimit::new(crate::DEFAULT_FRAME_BYTES),
        outgoing_limit: FrameLimit::new(outgoing),
        answer_oddities: true,
        on_oddity: Box::new(|oddity| eprintln!("warning: from the worker: {oddity}")),
        already_read,
    };
    let peer = Peer::spawn(reader, writer, methods(&session), options);
    let peer = session.peer.get_or_init(|| peer);
    match session.processor.warming() {
        None => session.say(ProcessorState::Ready, None),
        Some(reason) => {
            session.say(ProcessorState::Warming, Some(reason));
            Session::warm_up(&session);
        }
    }
    let ticker = tokio::spawn(tick(session.clone()));
    let asked = wait_for_end(peer).await;
    session.stop_all(Stop::Interrupt);
    let stopped = timeout(grace, session.wait_idle()).await.is_ok();
    ticker.abort();
    // What is still to be said leaves, unless nobody reads.
    let _ = timeout(Duration::from_secs(1), peer.flush()).await;
    match (session.shutdown.load(Ordering::SeqCst), asked, stopped) {
        (true, End::Eof, true) => exit::SHUTDOWN,
        _ => exit::ABANDONED,
    }
}

#[derive(Clone, Copy)]
enum End {
    Eof,
    Signal,
}

/// Waits until stdin ends or a signal comes.
async fn wait_for_end(peer: &Peer) -> End {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        peer.closed().await;
        return End::Eof;
    };
    tokio::select! {
        _ = peer.closed() => End::Eof,
        _ = terminate.recv() => End::Signal,
        _ = interrupt.recv() => End::Signal,
    }
}

async fn tick<P: Processor>(session: Arc<Session<P>>) {
    let mut interval = tokio::time::interval(PROGRESS_INTERVAL / 2);
    loop {
        interval.tick().await;
        let open: Vec<_> = session.tasks().open.values().map(|(_, task)| task.clone()).collect();
        open.iter().for_each(|task| task.tick());
    }
}

/// Reads parameters as the method's type.
fn read<T: DeserializeOwned>(method: &str, params: &Params<'_>) -> Result<T, TaskError> {
    serde_json::from_str(params.as_str().unwrap_or("{}")).map_err(|error| {
        TaskError::new(Code::InvalidParams, format!("parameters of `{method}`: {error}"))
    })
}

fn methods<P: Processor>(session: &Arc<Session<P>>) -> RpcModule<Arc<Session<P>>> {
    let mut module = RpcModule::new(session.clone());
    let registered = [
        module
            .register_method(Initialize::METHOD, |_, _, _| {
                let text = "`initialize` was answered already";
                Err::<(), _>(TaskError::new(Code::InvalidRequest, text))
            })
            .map(drop),
        module
            .register_method(Ping::METHOD, |_, session, _| {
                Ok::<_, TaskError>(session.ping_result())
            })
            .map(drop),
        module
            .register_method(TaskCancel::METHOD, |params, session, _| {
                let params: TaskCancelParams = read(TaskCancel::METHOD, &params)?;
                Ok::<_, TaskError>(TaskCancelResult { open: session.cancel(&params.task_id) })
            })
            .map(drop),
        module
            .register_method(Shutdown::METHOD, |params, session, _| {
                let params: ShutdownParams = read(Shutdown::METHOD, &params)?;
                Ok::<_, TaskError>(session.shut_down(params.mode))
            })
            .map(drop),
        module
            .register_async_method(TaskRun::METHOD, |params, session, _| async move {
                let params: TaskRunParams = read(TaskRun::METHOD, &params)?;
                if params.attempt == 0 {
                    return Err(TaskError::new(Code::InvalidParams, "`attempt` is from 1, got 0"));
                }
                Session::run_task((*session).clone(), params).await
            })
            .map(drop),
    ];
    registered.into_iter().collect::<Result<(), _>>().expect("five names, all different");
    module
}

impl<P: Processor> Session<P> {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ping_result(&self) -> PingResult {
        PingResult { open_tasks: u32::try_from(self.tasks().open.len()).unwrap_or(u32::MAX) }
    }

    /// Stops the newest attempt of a task; whether it was open.
    fn cancel(&self, task_id: &TaskId) -> bool {
        let tasks = self.tasks();
        let newest = tasks.open.iter().filter(|((id, _), _)| id == task_id);
        let newest = newest.max_by_key(|((_, attempt), _)| *attempt).map(|(_, (_, task))| task);
        newest.inspect(|task| task.request_stop(Stop::Cancel)).is_some()
    }

    fn stop_all(&self, stop: Stop) {
        self.tasks().open.values().for_each(|(_, task)| task.request_stop(stop));
    }

    fn shut_down(&self, mode: ShutdownMode) -> PingResult {
        self.shutdown.store(true, Ordering::SeqCst);
        if mode == ShutdownMode::Interrupt {
            self.stop_all(Stop::Interrupt);
        }
        self.say(ProcessorState::Draining, None);
        self.ping_result()
    }

    /// Tells the worker of this process' state; nothing comes after `draining`.
    fn say(&self, state: ProcessorState, reason: Option<String>) {
        let mut draining = self.draining.lock().unwrap_or_else(PoisonError::into_inner);
        if *draining {
            return;
        }
        *draining = state == ProcessorState::Draining;
        if let Some(peer) = self.peer.get() {
            peer.notify(&ProcessorStatus { state, reason });
        }
    }

    /// Has the processor get ready on a thread of its own, and says how that ended.
    fn warm_up(self: &Arc<Self>) {
        let session = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("warm-up".to_owned()).spawn(move || {
            let warm_up = AssertUnwindSafe(|| session.processor.warm_up());
            let outcome = catch_unwind(warm_up).unwrap_or_else(|panic| Err(panic_error(&*panic)));
            match outcome {
                Ok(()) => session.say(ProcessorState::Ready, None),
                Err(error) => session.say(ProcessorState::Degraded, Some(error.to_string())),
            }
        });
        if let Err(error) = spawned {
            let reason = format!("cannot start a thread: {error}");
            self.say(ProcessorState::Degraded, Some(reason));
        }
    }

    async fn wait_idle(&self) {
        loop {
            let ended = self.idle.notified();
            if self.tasks().open.is_empty() {
                return;
            }
            ended.await;
        }
    }

    async fn run_task(self: Arc<Self>, params: TaskRunParams) -> Result<TaskRunResult, TaskError> {
        let stage = self.check_stage(&params)?;
        let job = Job::parse(stage, &params.params)?;
        let key = (params.task_id.clone(), params.attempt);
        let task = self.admit(stage, &job, &params)?;
        let (done_to, done) = oneshot::channel();
        let session = self.clone();
        let context = task.clone();
        let spawned = std::thread::Builder::new().name(stage.name().to_owned()).spawn(move || {
            let run = AssertUnwindSafe(|| session.processor.run(job, &context));
            let outcome = catch_unwind(run).unwrap_or_else(|panic| Err(panic_error(&*panic)));
            // The sector's lock is given back before the worker hears of the end.
            drop(context);
            // Nobody listens only while the process ends.
            let _ = done_to.send(outcome);
        });
        let outcome = match spawned {
            Ok(_) => done.await.unwrap_or_else(|_| {
                Err(TaskError::new(Code::InternalError, "the task's thread is gone"))
            }),
            Err(error) => {
                Err(TaskError::io(Code::ResourceExhausted, "cannot start a thread", &error))
            }
        };
        task.end();
        self.tasks().open.remove(&key);
        let stop = task.stop();
        drop(task);
        self.idle.notify_waiters();
        match (outcome, stop) {
            (Ok(Done { output, resumed_from }), _) => Ok(TaskRunResult { output, resumed_from }),
            (Err(_), Some(stop)) => Err(stop_error(stop)),
            (Err(error), None) => Err(error),
        }
    }

    /// The stage, if it is served in this version.
    fn check_stage(&self, params: &TaskRunParams) -> Result<Stage, TaskError> {
        let stage: Stage = params.stage.parse()?;
        if !self.offers.iter().any(|offer| offer.stage == stage.name()) {
            let served: Vec<_> = self.offers.iter().map(|o| o.stage.as_str()).collect();
            return Err(TaskError::new(
                Code::UnsupportedStage,
                format!("`{stage}` is not served here, but {}", served.join(", ")),
            ));
        }
        if params.schema_version.major != Version::V1_0.major {
            return Err(TaskError::new(
                Code::UnsupportedStage,
                format!("parameters of `{stage}` are read as 1.x, not {}", params.schema_version),
            ));
        }
        Ok(stage)
    }

    /// Opens a task if there is room for it, its attempt is not an old one, and nobody else works
    /// on its sector.
    fn admit(
        &self,
        stage: Stage,
        job: &Job,
        params: &TaskRunParams,
    ) -> Result<Arc<TaskContext>, TaskError> {
        let TaskRunParams { task_id, attempt, .. } = params;
        let mut tasks = self.tasks();
        if self.shutdown.load(Ordering::SeqCst) {
            return Err(TaskError::new(Code::Busy, "this processor is shutting down")
                .retry(RetryWhere::OtherProcess, 0));
        }
        let newest = tasks.newest.get(task_id).copied().unwrap_or(0);
        if *attempt < newest {
            return Err(TaskError::new(
                Code::InvalidInput,
                format!("attempt {attempt} of `{task_id}`, of which {newest} was seen"),
            ));
        }
        if tasks.open.contains_key(&(task_id.clone(), *attempt)) {
            return Err(TaskError::new(
                Code::InvalidInput,
                format!("attempt {attempt} of `{task_id}` is open already"),
            ));
        }
        let offered = self.offers.iter().find(|o| o.stage == stage.name());
        let most = offered.map_or(0, |o| o.max_concurrent as usize);
        let running = tasks.open.values().filter(|(s, _)| *s == stage).count();
        if running >= most {
            return Err(TaskError::new(
                Code::Busy,
                format!("`{stage}` runs {running} of {most} tasks"),
            )
            .retry(RetryWhere::Same, BUSY_RETRY_MS));
        }
        let lock = job.sector_dir().map(SectorLock::acquire).transpose()?;
        let peer = self.peer.get().expect("set before the first line is read").clone();
        let task = Arc::new(TaskContext::new(task_id.clone(), *attempt, peer, lock));
        tasks.remember(task_id, *attempt);
        tasks.open.insert((task_id.clone(), *attempt), (stage, task.clone()));
        Ok(task)
    }
}

impl Tasks {
    fn remember(&mut self, task_id: &TaskId, attempt: u32) {
        if self.newest.insert(task_id.clone(), attempt).is_none() {
            self.order.push_back(task_id.clone());
        }
        if self.order.len() > REMEMBERED_TASKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.newest.remove(&oldest);
        }
    }
}

/// What a task ends with whose thread panicked.
pub(super) fn panic_error(panic: &(dyn std::any::Any + Send)) -> TaskError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    TaskError::new(Code::InternalError, format!("the stage panicked: {text}"))
}
