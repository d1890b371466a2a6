// SPDX-License-Identifier: MIT OR Apache-2.0

//! One entry of the configuration, with a process that comes and goes.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealpipe_protocol::method::{ShutdownMode, StageOffer};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    ProcessorId, ProcessorSpec, StartError,
    child::{Child, describe_exit},
    connection::{Condemned, Connection, Dialect},
    handshake::{self, Started},
    lifecycle::{self, Life, Lifecycle},
    placed::{Placed, Watch},
};
use crate::event::{Event, Observer, millis};

/// How long a process may take to be gone once its stdout ended.
const EXIT_AFTER_EOF: Duration = Duration::from_secs(1);

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

enum Command {
    Start,
    Revive,
    Stop(ShutdownMode),
}

/// What an entry and the task that looks after its process both know.
struct Shared {
    spec: Mutex<Arc<ProcessorSpec>>,
    health: Mutex<Health>,
    state: watch::Sender<State>,
}

impl Shared {
    fn spec(&self) -> Arc<ProcessorSpec> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        self.health().since = Instant::now();
        self.state.send_replace(state);
    }
}

/// An entry, and the task that looks after its process. The process is stopped when this is dropped.
pub struct Processor {
    id: ProcessorId,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    asked: AtomicBool,
}

impl Processor {
    /// An entry whose process is started with [`start`](Self::start).
    pub fn new(spec: ProcessorSpec, observer: Observer) -> Self {
        let id = spec.id.clone();
        let health = Health { since: Instant::now(), restarts: 0, last_error: None };
        let shared = Arc::new(Shared {
            spec: Mutex::new(Arc::new(spec)),
            health: Mutex::new(health),
            state: watch::Sender::new(State::Idle),
        });
        // A start and a stop are sent once; a revival by a person.
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let supervisor =
            Supervisor { id: id.clone(), shared: shared.clone(), commands: commands_rx, observer };
        tokio::spawn(supervisor.run());
        Self { id, shared, commands, asked: AtomicBool::new(false) }
    }

    /// Which entry it is.
    pub fn id(&self) -> &ProcessorId {
        &self.id
    }

    /// What is started.
    pub fn spec(&self) -> Arc<ProcessorSpec> {
        self.shared.spec()
    }

    /// Takes over a spec of the [same process](ProcessorSpec::is_same_process), at once.
    pub fn tune(&self, spec: ProcessorSpec) {
        if let State::Ready(ready) = &*self.shared.state.borrow() {
            ready.link.tune(&spec);
        }
        *self.shared.spec.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(spec);
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
    /// [degraded](State::Degraded) with this reason. A critical error of a task does the same.
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
                processor: self.id.to_string(),
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

struct Supervisor {
    id: ProcessorId,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    observer: Observer,
}

/// What comes after a process that is not started again.
#[derive(PartialEq)]
enum Next {
    Stop,
    Degraded,
}

enum Ended {
    Stopped,
    /// It was stopped because its results are not trusted any more, and the entry is degraded.
    Condemned,
    Died {
        reason: String,
        last_words: Vec<String>,
        life: Life,
    },
}

impl Supervisor {
    async fn run(mut self) {
        // A start at first, later a revival.
        while self.start_asked().await {
            if self.keep_up().await == Next::Stop {
                break;
            }
        }
        self.shared.set(State::Stopped);
    }

    /// Starts the process, and again when it dies, until it is degraded or stopped.
    async fn keep_up(&mut self) -> Next {
        let mut lifecycle = Lifecycle::default();
        let mut ever_started = false;
        let mut dialect = Dialect::default();
        loop {
            self.shared.set(State::Starting);
            let spec = self.shared.spec();
            let started = tokio::select! {
                started = handshake::start(&spec, &mut dialect, &self.observer) => started,
                // Dropping the half-started child kills it.
                () = stop_asked(&mut self.commands) => return Next::Stop,
            };
            let (error, life) = match started {
                Err(error) => (error, Life { lasted: Duration::ZERO, tasks_done: 0 }),
                Ok(started) => {
                    ever_started = true;
                    match self.live(started).await {
                        Ended::Stopped => return Next::Stop,
                        Ended::Condemned => return Next::Degraded,
                        Ended::Died { reason, last_words, life } => {
                            (self.error(reason, last_words), life)
                        }
                    }
                }
            };
            // A program that never ran at all is a mistake to show now, not to retry.
            let auto_restart = self.shared.spec().auto_restart && ever_started;
            let random = (RandomState::new().hash_one(0_u8) >> 32) as u32;
            match lifecycle.died(life, auto_restart, random) {
                lifecycle::Next::Restart(delay) => {
                    self.restarting(error, delay, lifecycle.deaths_in_a_row());
                    tokio::select! {
                        () = sleep(delay) => {}
                        () = stop_asked(&mut self.commands) => return Next::Stop,
                    }
                }
                lifecycle::Next::Degraded => {
                    self.degrade(error);
                    return Next::Degraded;
                }
            }
        }
    }

    /// Waits until a start or a revival is asked for; false when it is never to start.
    async fn start_asked(&mut self) -> bool {
        matches!(self.commands.recv().await, Some(Command::Start | Command::Revive))
    }

    fn error(&self, message: String, last_words: Vec<String>) -> StartError {
        StartError { processor: self.id.to_string(), message, hint: None, last_words }
    }

    fn restarting(&self, error: StartError, delay: Duration, deaths_in_a_row: u32) {
        {
            let mut health = self.shared.health();
            health.restarts += 1;
            health.last_error = Some(Arc::new(error));
        }
        self.shared.set(State::Restarting);
        let (processor, delay_ms) = (self.id.to_string(), millis(delay));
        self.observer.tell(&Event::ProcessorRestarting { processor, delay_ms, deaths_in_a_row });
    }

    fn degrade(&self, error: StartError) {
        self.observer.tell(&Event::ProcessorDegraded {
            processor: self.id.to_string(),
            reason: error.message.clone(),
        });
        let error = Arc::new(error);
        self.shared.health().last_error = Some(error.clone());
        self.shared.set(State::Degraded(error));
    }

    /// Looks after a process until it is gone.
    async fn live(&mut self, started: Started) -> Ended {
        let Started { mut child, link, identity, offer } = started;
        let pid = child.pid().as_raw_nonzero().get();
        let processor = self.id.to_string();
        self.observer.tell(&Event::ProcessorReady {
            processor: processor.clone(),
            pid,
            program: self.shared.spec().program.bin.display().to_string(),
            identity: format!("{} {}", identity.name, identity.version).trim_end().to_owned(),
            max_concurrent: offer.max_concurrent,
            device: offer.device.clone(),
            implied: self.id.index.is_none(),
            placed: child.placed().clone(),
        });
        let _watch = Watch::over(child.pid(), &self.shared.spec(), self.observer.clone());
        let (since, placed) = (Instant::now(), child.placed().clone());
        self.shared.set(State::Ready(Ready { link: link.clone(), offer, pid, placed }));
        // It may have been changed while the process was starting.
        link.tune(&self.shared.spec());
        let reason = loop {
            tokio::select! {
                status = child.wait() => break format!("it {}", describe_exit(status.ok())),
                why = link.defect() => break give_up(&mut child, why).await,
                Condemned { message, hint } = link.condemned() => {
                    self.degrade(StartError { hint, ..self.error(message, Vec::new()) });
                    self.stop_child(&mut child, &link, ShutdownMode::Interrupt).await;
                    return Ended::Condemned;
                }
                command = self.commands.recv() => {
                    let mode = match command {
                        Some(Command::Start | Command::Revive) => continue,
                        Some(Command::Stop(mode)) => mode,
                        None => ShutdownMode::Interrupt,
                    };
                    self.shared.set(State::Stopped);
                    self.stop_child(&mut child, &link, mode).await;
                    return Ended::Stopped;
                }
            }
        };
        child.kill().await;
        let last_words = child.last_words().await;
        self.observer.tell(&Event::ProcessorDied {
            processor,
            pid,
            reason: reason.clone(),
            last_words: last_words.clone(),
        });
        let life = Life { lasted: since.elapsed(), tasks_done: link.tasks_done() };
        Ended::Died { reason, last_words, life }
    }

    /// Asks, closes stdin, waits for the grace, kills, reaps.
    async fn stop_child(&self, child: &mut Child, link: &Connection, mode: ShutdownMode) {
        let pid = child.pid().as_raw_nonzero().get();
        link.shut_down(mode).await;
        if mode == ShutdownMode::Drain {
            // However long that takes: what is drained is finished.
            tokio::select! {
                () = link.idle() => {}
                _ = link.defect() => {}
            }
        }
        let graceful = async {
            link.idle().await;
            link.close();
            child.wait().await
        };
        let killed = timeout(self.shared.spec().grace, graceful).await.is_err();
        // The process may have left members of its group behind.
        child.kill().await;
        let processor = self.id.to_string();
        self.observer.tell(&Event::ProcessorStopped { processor, pid, killed });
    }
}

/// Waits until a stop is asked for, or nobody can ask any more.
async fn stop_asked(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(Command::Start | Command::Revive) = commands.recv().await {}
}

/// Why a process ended whose connection did: by itself if it is gone in a moment.
async fn give_up(child: &mut Child, why: String) -> String {
    match timeout(EXIT_AFTER_EOF, child.wait()).await {
        Ok(status) => format!("it {}", describe_exit(status.ok())),
        Err(_) => format!("{why}; it was killed"),
    }
}
