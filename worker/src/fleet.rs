// SPDX-License-Identifier: MIT OR Apache-2.0

//! All processors of a worker behind one door: a task asks for its stage and gets a process.
//!
//! The thin shell around the [`scheduler`](crate::scheduler), which decides.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use sealpipe_protocol::{Stage, method::ShutdownMode};
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::sleep_until,
};

use crate::{
    config::Processors,
    event::Observer,
    scheduler::{Place, Rules, Scheduler, Sector, StageLimit, Ticket, Time},
    supervisor::{Processor, ProcessorSpec, StartError, State},
};

struct Inner {
    scheduler: Scheduler,
    waiters: HashMap<Ticket, oneshot::Sender<usize>>,
    sectors: Sector,
}

/// A sector on its way through the stages, from its first task to its end: what the bound on sectors
/// in flight counts. It ends when this is dropped.
pub struct Journey {
    fleet: Arc<Fleet>,
    sector: Sector,
}

impl Drop for Journey {
    fn drop(&mut self) {
        self.fleet.inner().scheduler.leave(self.sector);
        self.fleet.pump();
    }
}

/// The processors, and the tasks that wait for them.
pub struct Fleet {
    processors: Vec<Processor>,
    inner: Mutex<Inner>,
    watching: Mutex<Vec<JoinHandle<()>>>,
    stopping: AtomicBool,
    /// What the scheduler's time counts from.
    epoch: Instant,
}

/// A place for one task, given back when dropped.
pub struct Slot {
    fleet: Arc<Fleet>,
    ticket: Ticket,
    place: usize,
}

impl Slot {
    /// The processor.
    pub fn processor(&self) -> &Processor {
        &self.fleet.processors[self.place]
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.fleet.inner().scheduler.release(self.ticket);
        self.fleet.pump();
    }
}

/// A request that is withdrawn when dropped unanswered.
struct Waiting<'a> {
    fleet: &'a Arc<Fleet>,
    ticket: Ticket,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let mut inner = self.fleet.inner();
            inner.waiters.remove(&self.ticket);
            inner.scheduler.release(self.ticket);
            drop(inner);
            self.fleet.pump();
        }
    }
}

impl Fleet {
    /// The processors of a configuration, and an implied one for each stage without an entry.
    /// Nothing is started yet.
    pub fn new(config: &Processors, worker_dir: &Path, observer: &Observer) -> Arc<Self> {
        let configured = config.entries.iter().map(|e| ProcessorSpec::of_entry(e, worker_dir));
        let implied = config.implied().map(|stage| ProcessorSpec::implied(stage, worker_dir));
        let processors: Vec<_> =
            configured.chain(implied).map(|spec| Processor::new(spec, observer.clone())).collect();
        let limits = Stage::ALL.iter().map(|stage| {
            let concurrent = config.limitation.concurrent.get(stage).copied();
            let staggered = config.limitation.staggered.get(stage).copied();
            (*stage, StageLimit { concurrent, staggered })
        });
        let places = processors.iter().map(|processor| Place {
            stage: processor.spec().id.stage,
            capacity: 0,
            locks: processor.spec().locks.iter().cloned().collect(),
            weight: processor.spec().weight,
        });
        let rules = Rules {
            limits: limits.collect(),
            locks: config.ext_locks.clone(),
            policy: config.scheduling.policy,
            sectors_in_flight: config.scheduling.sectors_in_flight,
        };
        let scheduler = Scheduler::new(rules, places.collect());
        let inner = Mutex::new(Inner { scheduler, waiters: HashMap::new(), sectors: 0 });
        let stopping = AtomicBool::new(false);
        let (watching, epoch) = (Mutex::default(), Instant::now());
        let fleet = Arc::new(Self { processors, inner, watching, stopping, epoch });
        let watching = (0..fleet.processors.len()).map(|i| tokio::spawn(watch(fleet.clone(), i)));
        *fleet.watching() = watching.collect();
        fleet
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watching(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &Processor> {
        self.processors.iter().filter(move |processor| processor.spec().id.stage == stage)
    }

    /// Starts all processors that the configuration names, and waits until each is ready.
    ///
    /// # Errors
    /// The first one that cannot be started.
    pub async fn start_configured(&self) -> Result<(), Arc<StartError>> {
        let configured = || self.processors.iter().filter(|p| p.spec().id.index.is_some());
        configured().for_each(Processor::start);
        for processor in configured() {
            processor.ready().await?;
        }
        Ok(())
    }

    /// A sector begins its way; it is in flight from its first task on.
    pub fn begin_sector(self: &Arc<Self>) -> Journey {
        let mut inner = self.inner();
        inner.sectors += 1;
        Journey { fleet: self.clone(), sector: inner.sectors }
    }

    /// Waits for a place for a task of a stage, and starts the stage's processors if need be. A task
    /// of no sector is not held back by the bound on sectors in flight.
    ///
    /// # Errors
    /// Why none of them will ever take it.
    pub async fn slot(
        self: &Arc<Self>,
        stage: Stage,
        journey: Option<&Journey>,
    ) -> Result<Slot, Arc<StartError>> {
        if let Some(why) = self.never(stage) {
            return Err(Arc::new(why));
        }
        self.of_stage(stage).for_each(Processor::start);
        let (granted_to, granted) = oneshot::channel();
        let ticket = {
            let mut inner = self.inner();
            let ticket = inner.scheduler.request(stage, journey.map(|journey| journey.sector));
            inner.waiters.insert(ticket, granted_to);
            ticket
        };
        let mut waiting = Waiting { fleet: self, ticket, answered: false };
        self.pump();
        tokio::select! {
            place = granted => match place {
                Ok(place) => {
                    waiting.answered = true;
                    Ok(Slot { fleet: self.clone(), ticket, place })
                }
                Err(_) => Err(self.all_given_up(stage).await),
            },
            error = self.all_given_up(stage) => Err(error),
        }
    }

    /// Why a stage will never run, by the configuration alone. Waiting in silence helps nobody.
    fn never(&self, stage: Stage) -> Option<StartError> {
        let off = self.of_stage(stage).all(|processor| processor.spec().concurrent == Some(0));
        let why = match off {
            true => Some(format!("`concurrent` is 0 in all entries of `{stage}`")),
            false => self.inner().scheduler.forbidden(stage),
        };
        why.map(|why| StartError {
            processor: stage.to_string(),
            message: format!("it never gets a task: {why}"),
            hint: Some("0 means never; leave the key out for no limit".to_owned()),
            last_words: Vec::new(),
        })
    }

    /// Waits until no processor of a stage can ever take a task again; why the last one cannot.
    async fn all_given_up(&self, stage: Stage) -> Arc<StartError> {
        let mut last = None;
        for processor in self.of_stage(stage) {
            let mut state = processor.state();
            let given_up = |s: &State| matches!(s, State::Degraded(_) | State::Stopped);
            last = match state.wait_for(given_up).await.as_deref() {
                Ok(State::Degraded(error)) => Some(error.clone()),
                _ => last,
            };
        }
        last.unwrap_or_else(|| {
            Arc::new(StartError {
                processor: stage.to_string(),
                message: "it was stopped".to_owned(),
                hint: None,
                last_words: Vec::new(),
            })
        })
    }

    fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    /// Hands out what can be handed out.
    fn pump(self: &Arc<Self>) {
        let mut inner = self.inner();
        let (grants, wake) = inner.scheduler.grants(self.now());
        for grant in grants {
            let waiter = inner.waiters.remove(&grant.ticket);
            if waiter.is_none_or(|waiter| waiter.send(grant.place).is_err()) {
                inner.scheduler.release(grant.ticket);
            }
        }
        drop(inner);
        if let Some(at) = wake {
            let fleet = self.clone();
            tokio::spawn(async move {
                sleep_until((fleet.epoch + at).into()).await;
                fleet.pump();
            });
        }
    }

    /// Whether the processors are being stopped: what fails now is not tried again.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Stops all processors and waits until their processes are gone.
    pub async fn stop(self: Arc<Self>, mode: ShutdownMode) {
        self.stopping.store(true, Ordering::SeqCst);
        for watching in self.watching().drain(..) {
            watching.abort();
        }
        let mut stopping = JoinSet::new();
        for processor in &self.processors {
            stopping.spawn(processor.stopped(mode));
        }
        stopping.join_all().await;
    }
}

/// Keeps the scheduler's capacity of a place to what its process takes.
async fn watch(fleet: Arc<Fleet>, place: usize) {
    let processor = &fleet.processors[place];
    let mut state = processor.state();
    loop {
        let capacity = match &*state.borrow_and_update() {
            State::Ready(ready) => {
                let offered = ready.offer.max_concurrent as usize;
                processor.spec().concurrent.map_or(offered, |own| own.min(offered))
            }
            _ => 0,
        };
        fleet.inner().scheduler.set_capacity(place, capacity);
        fleet.pump();
        if state.changed().await.is_err() {
            return;
        }
    }
}
