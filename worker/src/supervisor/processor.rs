// SPDX-License-Identifier: MIT OR Apache-2.0

//! One entry of the configuration, with a process that comes and goes.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use sealpipe_protocol::method::{ShutdownMode, StageOffer};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    ProcessorSpec, StartError,
    child::{Child, describe_exit},
    connection::{Connection, Dialect},
    handshake::{self, Started},
    lifecycle::{Life, Lifecycle, Next},
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

/// A process that takes tasks.
#[derive(Clone)]
pub struct Ready {
    /// The connection.
    pub link: Connection,
    /// What it offers for the entry's stage.
    pub offer: StageOffer,
    /// Its process id.
    pub pid: i32,
}

enum Command {
    Start,
    Stop(ShutdownMode),
}

/// An entry, and the task that looks after its process.
pub struct Processor {
    spec: Arc<ProcessorSpec>,
    state: watch::Receiver<State>,
    commands: mpsc::UnboundedSender<Command>,
}

impl Processor {
    /// An entry whose process is started with [`start`](Self::start).
    pub fn new(spec: ProcessorSpec, observer: Observer) -> Self {
        let spec = Arc::new(spec);
        let (state_tx, state) = watch::channel(State::Idle);
        // At most a start and a stop are ever sent by one owner.
        let (commands, commands_rx) = mpsc::unbounded_channel();
        let supervisor =
            Supervisor { spec: spec.clone(), state: state_tx, commands: commands_rx, observer };
        tokio::spawn(supervisor.run());
        Self { spec, state, commands }
    }

    /// What is started.
    pub fn spec(&self) -> &ProcessorSpec {
        &self.spec
    }

    /// What it is doing, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Starts its process, unless that has been done.
    pub fn start(&self) {
        let _ = self.commands.send(Command::Start);
    }

    /// Waits until its process takes tasks.
    ///
    /// # Errors
    /// Why it never will.
    pub async fn ready(&self) -> Result<Ready, Arc<StartError>> {
        let mut state = self.state.clone();
        let settled =
            |s: &State| matches!(s, State::Ready(_) | State::Degraded(_) | State::Stopped);
        match state.wait_for(settled).await.as_deref() {
            Ok(State::Ready(ready)) => Ok(ready.clone()),
            Ok(State::Degraded(error)) => Err(error.clone()),
            _ => Err(Arc::new(StartError {
                processor: self.spec.id.to_string(),
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
    spec: Arc<ProcessorSpec>,
    state: watch::Sender<State>,
    commands: mpsc::UnboundedReceiver<Command>,
    observer: Observer,
}

enum Ended {
    Stopped,
    Died { reason: String, last_words: Vec<String>, life: Life },
}

impl Supervisor {
    async fn run(mut self) {
        if !self.wait_for_start().await {
            self.state.send_replace(State::Stopped);
            return;
        }
        let mut lifecycle = Lifecycle::default();
        let mut ever_started = false;
        let mut dialect = Dialect::default();
        loop {
            self.state.send_replace(State::Starting);
            let started = tokio::select! {
                started = handshake::start(&self.spec, &mut dialect, &self.observer) => started,
                // Dropping the half-started child kills it.
                () = stop_asked(&mut self.commands) => break,
            };
            let (error, life) = match started {
                Err(error) => (error, Life { lasted: Duration::ZERO, tasks_done: 0 }),
                Ok(started) => {
                    ever_started = true;
                    match self.live(started).await {
                        Ended::Stopped => break,
                        Ended::Died { reason, last_words, life } => {
                            (self.error(reason, last_words), life)
                        }
                    }
                }
            };
            // A program that never ran at all is a mistake to show now, not to retry.
            let auto_restart = self.spec.auto_restart && ever_started;
            let random = (RandomState::new().hash_one(0_u8) >> 32) as u32;
            match lifecycle.died(life, auto_restart, random) {
                Next::Restart(delay) => {
                    self.state.send_replace(State::Restarting);
                    self.observer.tell(&Event::ProcessorRestarting {
                        processor: self.spec.id.to_string(),
                        delay_ms: millis(delay),
                        deaths_in_a_row: lifecycle.deaths_in_a_row(),
                    });
                    tokio::select! {
                        () = sleep(delay) => {}
                        () = stop_asked(&mut self.commands) => break,
                    }
                }
                Next::Degraded => {
                    self.degrade(error);
                    stop_asked(&mut self.commands).await;
                    break;
                }
            }
        }
        self.state.send_replace(State::Stopped);
    }

    async fn wait_for_start(&mut self) -> bool {
        matches!(self.commands.recv().await, Some(Command::Start))
    }

    fn error(&self, message: String, last_words: Vec<String>) -> StartError {
        StartError { processor: self.spec.id.to_string(), message, hint: None, last_words }
    }

    fn degrade(&self, error: StartError) {
        self.observer.tell(&Event::ProcessorDegraded {
            processor: self.spec.id.to_string(),
            reason: error.message.clone(),
        });
        self.state.send_replace(State::Degraded(Arc::new(error)));
    }

    /// Looks after a process until it is gone.
    async fn live(&mut self, started: Started) -> Ended {
        let Started { mut child, link, identity, offer } = started;
        let pid = child.pid().as_raw_nonzero().get();
        let processor = self.spec.id.to_string();
        self.observer.tell(&Event::ProcessorReady {
            processor: processor.clone(),
            pid,
            program: self.spec.program.bin.display().to_string(),
            identity: format!("{} {}", identity.name, identity.version).trim_end().to_owned(),
            max_concurrent: offer.max_concurrent,
            device: offer.device.clone(),
            implied: self.spec.id.index.is_none(),
        });
        let since = Instant::now();
        self.state.send_replace(State::Ready(Ready { link: link.clone(), offer, pid }));
        let reason = loop {
            tokio::select! {
                status = child.wait() => break format!("it {}", describe_exit(status.ok())),
                why = link.defect() => break give_up(&mut child, why).await,
                command = self.commands.recv() => match command {
                    Some(Command::Start) => {}
                    Some(Command::Stop(mode)) => {
                        self.stop_child(&mut child, &link, mode).await;
                        return Ended::Stopped;
                    }
                    None => {
                        self.stop_child(&mut child, &link, ShutdownMode::Interrupt).await;
                        return Ended::Stopped;
                    }
                },
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
        self.state.send_replace(State::Stopped);
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
        let killed = timeout(self.spec.grace, graceful).await.is_err();
        // The process may have left members of its group behind.
        child.kill().await;
        let processor = self.spec.id.to_string();
        self.observer.tell(&Event::ProcessorStopped { processor, pid, killed });
    }
}

/// Waits until a stop is asked for, or nobody can ask any more.
async fn stop_asked(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(Command::Start) = commands.recv().await {}
}

/// Why a process ended whose connection did: by itself if it is gone in a moment.
async fn give_up(child: &mut Child, why: String) -> String {
    match timeout(EXIT_AFTER_EOF, child.wait()).await {
        Ok(status) => format!("it {}", describe_exit(status.ok())),
        Err(_) => format!("{why}; it was killed"),
    }
}
