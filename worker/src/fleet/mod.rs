// SPDX-License-Identifier: MIT OR Apache-2.0

//! All processors of a worker behind one door: a task asks for its stage and gets a process.
//!
//! The thin shell around the [`scheduler`](crate::scheduler), which decides. Processors come and go
//! while tasks run and wait: [`swap`] takes over a new configuration, [`status`] says how things
//! stand, [`reason`] why a task waits.

pub mod reason;
pub mod reload;
pub mod slot;
pub mod status;
pub mod swap;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use sealpipe_protocol::{Stage, method::ShutdownMode};
use tokio::{
    sync::{oneshot, watch},
    task::{AbortHandle, JoinSet},
    time::sleep_until,
};

use self::slot::Given;
pub use self::{
    reason::Reason,
    reload::{Changed, Draining, Reload, ReloadError},
    slot::{Journey, Slot},
    status::FleetStatus,
    swap::{is_counted, rules},
};
use crate::{
    config::Processors,
    event::Observer,
    scheduler::{Disk, PlaceId, Scheduler, Sector, Ticket, Time},
    supervisor::{Processor, StartError},
};

/// How long a task waits for a stage that no processor serves any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Until all of the stage's processors are given up, or the configuration says never: for a
    /// command whose user waits.
    UntilGivenUp,
    /// Until the worker stops: for a daemon, whose processors may be mended.
    Endless,
}

/// A processor at its place.
struct Member {
    processor: Arc<Processor>,
    /// Its place takes no task any more, and its process ends after the last one.
    is_retired: bool,
    watching: AbortHandle,
}

struct Inner {
    scheduler: Scheduler,
    members: BTreeMap<PlaceId, Member>,
    waiters: HashMap<Ticket, oneshot::Sender<Given>>,
    names: HashMap<Sector, String>,
    last_sector: Sector,
    /// When the scheduler is asked again although nothing happens.
    alarm: Option<(Time, AbortHandle)>,
    /// Processors of a configuration that is not in force yet.
    candidates: Vec<Arc<Processor>>,
}

impl Inner {
    /// The processors of a stage that take its tasks, in the order of the file.
    fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &Arc<Processor>> {
        self.active().map(|(_, processor)| processor).filter(move |p| p.id().stage == stage)
    }

    /// The processors that are not retired, in the order of the file.
    fn active(&self) -> impl Iterator<Item = (PlaceId, &Arc<Processor>)> {
        let active = self.members.iter().filter(|(_, member)| !member.is_retired);
        let mut active: Vec<_> = active.map(|(id, member)| (*id, &member.processor)).collect();
        active.sort_by_key(|(_, processor)| processor.id());
        active.into_iter()
    }
}

/// The processors, and the tasks that wait for them.
pub struct Fleet {
    inner: Mutex<Inner>,
    patience: Patience,
    observer: Observer,
    /// Counts changes of what processors do, and of which there are.
    changed: watch::Sender<u64>,
    /// Counts retired places that are forgotten.
    forgotten: watch::Sender<u64>,
    reloading: tokio::sync::Mutex<()>,
    stopping: AtomicBool,
    /// What the scheduler's time counts from.
    epoch: Instant,
}

impl Fleet {
    /// The processors of a configuration, and an implied one for each stage without an entry.
    /// Nothing is started yet.
    pub fn new(
        config: &Processors,
        worker_dir: &Path,
        observer: &Observer,
        patience: Patience,
    ) -> Arc<Self> {
        let scheduler = Scheduler::new(swap::rules(config), Vec::new());
        let inner = Inner {
            scheduler,
            members: BTreeMap::new(),
            waiters: HashMap::new(),
            names: HashMap::new(),
            last_sector: 0,
            alarm: None,
            candidates: Vec::new(),
        };
        let fleet = Arc::new(Self {
            inner: Mutex::new(inner),
            patience,
            observer: observer.clone(),
            changed: watch::Sender::default(),
            forgotten: watch::Sender::default(),
            reloading: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            epoch: Instant::now(),
        });
        for (rank, spec) in swap::specs(config, worker_dir).into_iter().enumerate() {
            let processor = Arc::new(Processor::new(spec, observer.clone()));
            fleet.join(&mut fleet.inner(), rank, processor);
        }
        fleet
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a processor a place.
    fn join(self: &Arc<Self>, inner: &mut Inner, rank: usize, processor: Arc<Processor>) {
        let place = swap::place(&processor.spec(), rank, processor.capacity());
        let id = inner.scheduler.add_place(place);
        let watching = tokio::spawn(watch(Arc::downgrade(self), processor.clone())).abort_handle();
        inner.members.insert(id, Member { processor, is_retired: false, watching });
    }

    /// Starts all processors that the configuration names, and waits for none.
    pub fn start(&self) {
        let inner = self.inner();
        let configured = inner.active().filter(|(_, processor)| processor.id().index.is_some());
        configured.for_each(|(_, processor)| processor.start());
    }

    /// Starts all processors that the configuration names, and waits until each is ready.
    ///
    /// # Errors
    /// The first one that cannot be started.
    pub async fn start_configured(&self) -> Result<(), Arc<StartError>> {
        self.start();
        let configured: Vec<_> = self.inner().active().map(|(_, p)| p.clone()).collect();
        for processor in configured.iter().filter(|p| p.id().index.is_some()) {
            processor.ready().await?;
        }
        Ok(())
    }

    /// Starts a degraded processor again, by its name such as `pc2[0]`; true if there is one of that
    /// name. One that is not degraded goes on as it is.
    pub fn revive(&self, processor: &str) -> bool {
        let inner = self.inner();
        let named: Vec<_> =
            inner.active().filter(|(_, p)| p.id().to_string() == processor).collect();
        named.iter().for_each(|(_, processor)| processor.revive());
        !named.is_empty()
    }

    /// Says how many bytes a disk takes beyond what sectors that have begun will still write. Sectors
    /// with a need on a disk of which nothing was said wait.
    pub fn set_room(self: &Arc<Self>, disk: Disk, bytes_free: u64) {
        self.inner().scheduler.set_room(disk, bytes_free);
        self.pump();
    }

    /// Gives no new task a place until [`resume`](Self::resume). Those that run go on.
    pub fn pause(&self) {
        self.inner().scheduler.pause();
    }

    /// Gives tasks places again.
    pub fn resume(self: &Arc<Self>) {
        self.inner().scheduler.resume();
        self.pump();
    }

    fn now(&self) -> Time {
        self.epoch.elapsed()
    }

    /// Hands out what can be handed out.
    fn pump(self: &Arc<Self>) {
        let mut guard = self.inner();
        let inner = &mut *guard;
        for (place, member) in &inner.members {
            inner.scheduler.set_capacity(*place, member.processor.capacity());
        }
        let (grants, wake) = inner.scheduler.grants(self.now());
        for grant in grants {
            let waiter = inner.waiters.remove(&grant.ticket);
            let processor = inner.members.get(&grant.place).map(|m| m.processor.clone());
            let given = processor.map(|processor| Given { place: grant.place, processor });
            let taken = waiter.zip(given).map(|(waiter, given)| waiter.send(given));
            if !matches!(taken, Some(Ok(()))) {
                // Whoever waited is about to withdraw, and asks again for the others.
                inner.scheduler.release(grant.ticket);
            }
        }
        self.set_alarm(inner, wake);
    }

    /// Sees to it that the scheduler is asked again in time.
    fn set_alarm(self: &Arc<Self>, inner: &mut Inner, wake: Option<Time>) {
        if inner.alarm.as_ref().map(|(at, _)| *at) == wake {
            return;
        }
        if let Some((_, alarm)) = inner.alarm.take() {
            alarm.abort();
        }
        // An interval beyond all time never ends.
        let until = wake.and_then(|at| Some((at, self.epoch.checked_add(at)?)));
        inner.alarm = until.map(|(at, until)| {
            let fleet = Arc::downgrade(self);
            let ringing = tokio::spawn(async move {
                sleep_until(until.into()).await;
                if let Some(fleet) = fleet.upgrade() {
                    fleet.inner().alarm = None;
                    fleet.pump();
                }
            });
            (at, ringing.abort_handle())
        });
    }

    /// Whether the processors are being stopped: what fails now is not tried again.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Stops all processors and waits until their processes are gone.
    pub async fn stop(self: Arc<Self>, mode: ShutdownMode) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut stopping = JoinSet::new();
        {
            let inner = self.inner();
            for member in inner.members.values() {
                member.watching.abort();
                stopping.spawn(member.processor.stopped(mode));
            }
            for processor in &inner.candidates {
                stopping.spawn(processor.stopped(mode));
            }
        }
        self.changed.send_modify(|n| *n += 1);
        stopping.join_all().await;
    }
}

/// Hands out what can be handed out whenever a processor does something else.
async fn watch(fleet: Weak<Fleet>, processor: Arc<Processor>) {
    let mut state = processor.state();
    drop(processor);
    loop {
        {
            let Some(fleet) = fleet.upgrade() else { return };
            fleet.changed.send_modify(|n| *n += 1);
            fleet.pump();
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}
