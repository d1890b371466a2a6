// SPDX-License-Identifier: MIT OR Apache-2.0

//! Looks after the process of one entry: starts it, starts it again, and ends it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use sealpipe_protocol::method::ShutdownMode;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    StartError,
    child::{Child, describe_exit},
    connection::{Condemned, Connection, Dialect},
    handshake::{self, Started},
    lifecycle::{self, Life, Lifecycle},
    placed::Watch,
    processor::{Command, Ready, Shared, State},
    program_files::ProgramFiles,
};
use crate::event::{Event, Observer, millis};

/// How long a process may take to be gone once its stdout ended.
const EXIT_AFTER_EOF: Duration = Duration::from_secs(1);

/// What looks after the process of an entry, as long as anybody may want it.
pub(super) struct Care {
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

impl Care {
    pub fn new(
        shared: Arc<Shared>,
        commands: mpsc::UnboundedReceiver<Command>,
        observer: Observer,
    ) -> Self {
        Self { shared, commands, observer }
    }

    /// Starts the process when it is asked for, and stops it when it is asked to or nobody can ask any
    /// more.
    pub async fn take(mut self) {
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
            self.shared.starts_from(ProgramFiles::of(&spec.program));
            let started = tokio::select! {
                started = handshake::start(&spec, &self.shared.name, &mut dialect, &self.observer) => started,
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

    fn name(&self) -> String {
        self.shared.name.to_string()
    }

    fn error(&self, message: String, last_words: Vec<String>) -> StartError {
        StartError { processor: self.name(), message, hint: None, last_words }
    }

    fn restarting(&self, error: StartError, delay: Duration, deaths_in_a_row: u32) {
        {
            let mut health = self.shared.health();
            health.restarts += 1;
            health.last_error = Some(Arc::new(error));
        }
        self.shared.set(State::Restarting);
        let (processor, delay_ms) = (self.name(), millis(delay));
        self.observer.tell(&Event::ProcessorRestarting { processor, delay_ms, deaths_in_a_row });
    }

    fn degrade(&self, error: StartError) {
        self.observer.tell(&Event::ProcessorDegraded {
            processor: self.name(),
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
        self.observer.tell(&Event::ProcessorReady {
            processor: self.name(),
            pid,
            program: self.shared.spec().program.bin.display().to_string(),
            identity: format!("{} {}", identity.name, identity.version).trim_end().to_owned(),
            max_concurrent: offer.max_concurrent,
            device: offer.device.clone(),
            implied: self.shared.name.id().index.is_none(),
            placed: child.placed().clone(),
        });
        let _watch = Watch::over(child.pid(), &self.shared, self.observer.clone());
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
        let lasted = since.elapsed();
        // It takes no task any more, however long it takes to clean up after it.
        self.shared.set(State::Restarting);
        child.kill().await;
        let last_words = child.last_words().await;
        // Whoever has inherited its stdout may hold that open for ever.
        link.abandon();
        self.observer.tell(&Event::ProcessorDied {
            processor: self.name(),
            pid,
            reason: reason.clone(),
            last_words: last_words.clone(),
        });
        let life = Life { lasted, tasks_done: link.tasks_done() };
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
        let processor = self.name();
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
