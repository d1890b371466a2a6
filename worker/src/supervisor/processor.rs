// SPDX-License-Identifier: MIT OR Apache-2.0

//! One entry of the configuration, with a process that comes and goes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use sealpipe_protocol::method::{ShutdownMode, StageOffer};
use tokio::sync::{mpsc, watch};

use super::{
    ProcessorId, ProcessorSpec, StartError,
    care::Care,
    connection::{Condemned, Connection},
    placed::Placed,
    program_files::ProgramFiles,
    spec::Name,
};
use crate::event::Observer;

/// What an entry's process is doing.
#[derive(Clone)]
pub enum State {
    /// It has not been asked for.
    Idle,
    /// It has been started, and has not answered yet.
    Starting,
    /// It takes tasks.
    Ready(Ready),
    /// It died and is started again after a while.
    Restarting,
    /// It is not started again. Why is said once, to every waiter.
    Degraded(Arc<StartError>),
    /// It was stopped.
    Stopped,
}

impl State {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Ready(_) => "ready",
            Self::Restarting => "restarting",
            Self::Degraded(_) => "degraded",
            Self::Stopped => "stopped",
        }
    }
}

/// A process that takes tasks.
#[derive(Clone)]
pub struct Ready {
    /// The connection.
    pub link: Connection,
    /// What it offers for the entry's stage.
    pub offer: StageOffer,
    /// Its process id.
    pub pid: i32,
    /// What holds it to its cpus.
    pub placed: Placed,
}

/// How an entry has fared so far.
#[derive(Clone, Debug)]
pub struct Health {
    /// Since when it is in its state.
    pub since: Instant,
    /// How often its process was started again.
    pub restarts: u32,
    /// What went wrong last, if anything has.
    pub last_error: Option<Arc<StartError>>,
}

pub(super) enum Command {
    Start,
    Revive,
    Stop(ShutdownMode),
}

/// What an entry and the task that looks after its process both know.
pub(super) struct Shared {
    pub name: Name,
    spec: Mutex<Arc<ProcessorSpec>>,
    health: Mutex<Health>,
    state: watch::Sender<State>,
    /// Of the process that was started last.
    files: Mutex<Option<ProgramFiles>>,
}

impl Shared {
    pub fn spec(&self) -> Arc<ProcessorSpec> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a process is about to be started from.
    pub fn starts_from(&self, files: ProgramFiles) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
    }

    pub fn set(&self, state: State) {
        self.health().since = Instant::now();
        self.state.send_replace(state);
    }
}

/// An entry, and the task that looks after its process. The process is stopped when this is dropped.
pub struct Processor {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    asked: AtomicBool,
}

impl Processor {
    /// An entry whose process is started with [`start`](Self::start).
    pub fn new(spec: ProcessorSpec, observer: Observer) -> Self {
        let health = Health { since: Instant::now(), restarts: 0, last_error: None };
        let shared = Arc::new(Shared {
            name: Name::new(spec.id),
            spec: Mutex::new(Arc::new(spec)),
            health: Mutex::new(health),
            state: watch::Sender::new(State::Idle),
            files: Mutex::default(),
        });
        // A start and a stop are sent once; a revival by a person.
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let care = Care::new(shared.clone(), commands_rx, observer);
        tokio::spawn(care.take());
        Self { shared, commands, asked: AtomicBool::new(false) }
    }

    /// Which entry it is, as the configuration is now.
    pub fn id(&self) -> ProcessorId {
        self.shared.name.id()
    }

    /// What is started.
    pub fn spec(&self) -> Arc<ProcessorSpec> {
        self.shared.spec()
    }

    /// Takes over a spec of the [same process](ProcessorSpec::is_same_process), at once, and its name.
    pub fn tune(&self, spec: ProcessorSpec) {
        if let State::Ready(ready) = &*self.shared.state.borrow() {
            ready.link.tune(&spec);
        }
        self.shared.name.set(spec.id);
        *self.shared.spec.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(spec);
    }

    /// Whether another program lies now where its process was started from.
    pub fn is_outdated(&self) -> bool {
        let files = self.shared.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.as_ref().is_some_and(|files| *files != ProgramFiles::of(&self.spec().program))
    }

    /// What it is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// How it has fared so far.
    pub fn health(&self) -> Health {
        self.shared.health().clone()
    }

    /// Tasks that it takes at a time, as it is now.
    pub fn capacity(&self) -> usize {
        match &*self.shared.state.borrow() {
            State::Ready(ready) if !ready.link.is_condemned() => {
                let offered = ready.offer.max_concurrent as usize;
                self.spec().concurrent.map_or(offered, |own| own.min(offered))
            }
            _ => 0,
        }
    }

    /// Starts its process, unless that has been done.
    pub fn start(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            let _ = self.commands.send(Command::Start);
        }
    }

    /// Starts a degraded one again: somebody has looked. Any other goes on as it is.
    pub fn revive(&self) {
        if matches!(*self.shared.state.borrow(), State::Degraded(_)) {
            let _ = self.commands.send(Command::Revive);
        }
    }

    /// Trusts its process no more: it is given no task from this moment on, is stopped, and is
    /// [degraded](State::Degraded) with this reason, until somebody has looked. Whether an error of a
    /// task is such a reason is decided where tasks are driven.
    pub fn condemn(&self, why: Condemned) {
        if let State::Ready(ready) = &*self.shared.state.borrow() {
            ready.link.condemn(why);
        }
    }

    /// Waits until its process takes tasks.
    ///
    /// # Errors
    /// Why it never will.
    pub async fn ready(&self) -> Result<Ready, Arc<StartError>> {
        let mut state = self.state();
        let settled =
            |s: &State| matches!(s, State::Ready(_) | State::Degraded(_) | State::Stopped);
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Ready(ready)) => Ok(ready.clone()),
            Ok(State::Degraded(error)) => Err(error.clone()),
            _ => Err(Arc::new(StartError {
                processor: self.id().to_string(),
                message: "it was stopped".to_owned(),
                hint: None,
                last_words: Vec::new(),
            })),
        }
    }

    /// Stops its process; the future ends when it is gone, at the latest when the entry's grace is
    /// over.
    pub fn stopped(&self, mode: ShutdownMode) -> impl Future<Output = ()> + Send + 'static {
        let _ = self.commands.send(Command::Stop(mode));
        let commands = self.commands.clone();
        // The channel closes when the supervising task ends, even by a panic, which kills the child.
        async move { commands.closed().await }
    }
}
