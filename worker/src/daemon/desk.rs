// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the parts of a daemon share: the book of jobs, the processors, and the jobs that are on their
//! way just now.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sealpipe_protocol::stage::proof::SealProof;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};

use super::{
    book::Book,
    disk,
    job::Work,
    state::{Refusal, Step},
    way,
};
use crate::{
    config::Config,
    control::status::{DiskStatus, Progress},
    event::{Event, Observer, now_ms},
    fleet::{Fleet, Journey, Patience},
    journal::Journals,
    pipeline::{store, task::Driver},
    scheduler::Disk,
};

/// What a daemon runs with.
pub struct Settings {
    /// The configuration's file; none for the processors that go without saying.
    pub config_path: Option<PathBuf>,
    /// The daemon's directory.
    pub state_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// The directory of the worker's program.
    pub worker_dir: PathBuf,
}

/// A job that is on its way.
pub struct Live {
    /// Its way, as the fleet knows it.
    pub journey: Arc<Journey>,
    /// Where it writes; none for a demonstration.
    pub place: Option<Place>,
    /// How far its stage is.
    pub progress: Option<Progress>,
    /// What else is to be said of it.
    pub note: Option<String>,
    /// Told when somebody has said what it waits for.
    pub wake: Arc<Notify>,
    abort: Option<AbortHandle>,
    /// Closed once nothing goes on with it any more.
    going: watch::Receiver<()>,
}

/// Where a sector writes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The disk.
    pub disk: Disk,
    /// A directory of it.
    pub dir: PathBuf,
    /// The sector's proof.
    pub proof: SealProof,
}

/// The desk.
pub struct Desk {
    /// With what it runs.
    pub settings: Settings,
    /// The jobs.
    pub book: Book,
    /// The processors.
    pub fleet: Arc<Fleet>,
    /// Who wants to know.
    pub observer: Observer,
    /// The journals of the sectors.
    pub journals: Arc<Journals>,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// Sizes whose parameters were seen.
    pub parameters: tokio::sync::Mutex<BTreeSet<SealProof>>,
    /// Told when the daemon is to end after what runs.
    pub drained: Notify,
    /// Told when room on disks is to be looked at.
    pub room: Notify,
    /// What the disks look like.
    pub disks: Mutex<Vec<DiskStatus>>,
    config: Mutex<Arc<Config>>,
    live: Arc<Mutex<LiveJobs>>,
    draining: AtomicBool,
}

/// The jobs on their way, by name.
pub type LiveJobs = HashMap<String, Live>;

/// Writes down how far stages are, for whoever asks.
pub fn watching(live: Arc<Mutex<LiveJobs>>, shown: Observer) -> Observer {
    Observer::new(move |event| {
        if let Some(name) = event.sector() {
            let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(job) = live.get_mut(name) {
                match event {
                    Event::StageProgress { phase, done, total, unit, .. } => {
                        let (phase, unit) = (phase.clone(), unit.clone());
                        let (done, total) = (*done, *total);
                        job.progress = Some(Progress { phase, done, total, unit });
                    }
                    Event::StageRetried { reason, .. } => {
                        (job.progress, job.note) = (None, Some(reason.clone()));
                    }
                    Event::StageStarted { .. } => job.progress = None,
                    Event::StageFinished { .. } => (job.progress, job.note) = (None, None),
                    _ => {}
                }
            }
        }
        shown.tell(event);
    })
}

impl Desk {
    /// A desk without anything on its way. `live` is what [`watching`] was given.
    pub fn new(
        settings: Settings,
        config: Config,
        book: Book,
        fleet: Arc<Fleet>,
        (observer, journals): (Observer, Arc<Journals>),
        live: Arc<Mutex<LiveJobs>>,
    ) -> Self {
        Self {
            settings,
            book,
            fleet,
            observer,
            journals,
            started_ms: now_ms(),
            parameters: tokio::sync::Mutex::default(),
            drained: Notify::new(),
            room: Notify::new(),
            disks: Mutex::default(),
            config: Mutex::new(Arc::new(config)),
            live,
            draining: AtomicBool::new(false),
        }
    }

    /// The configuration as it is now.
    pub fn config(&self) -> Arc<Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over a configuration that the processors have taken over.
    pub fn set_config(&self, config: Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// How tasks are run now.
    pub fn driver(&self) -> Driver {
        Driver {
            fleet: self.fleet.clone(),
            observer: self.observer.clone(),
            patience: Patience::Endless,
            static_tree_d: self.config().processors.static_tree_d.clone(),
        }
    }

    /// Tells of an event.
    pub fn tell(&self, event: &Event) {
        self.observer.tell(event);
    }

    /// The jobs on their way.
    pub fn live(&self) -> MutexGuard<'_, LiveJobs> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something of a job that is on its way.
    pub fn note(&self, name: &str, note: Option<String>) {
        if let Some(live) = self.live().get_mut(name) {
            live.note = note;
        }
    }

    /// What tells a job that something it waits for is there.
    pub fn wake(&self, name: &str) -> Option<Arc<Notify>> {
        self.live().get(name).map(|live| live.wake.clone())
    }

    /// Sends a job on its way, unless it is on it.
    pub fn send(self: &Arc<Self>, name: &str) {
        let name = name.to_owned();
        if self.live().contains_key(&name) {
            return;
        }
        let Some(entry) = self.book.get(&name).filter(|entry| !entry.life.state.is_over()) else {
            return;
        };
        let room = match &entry.job.work {
            Work::Sector(job) => {
                let record = store::peek(&job.dir);
                disk::need(&job.dir, job.proof, record.as_ref()).map(|room| (room, job.proof))
            }
            Work::Echo(_) => None,
        };
        // One that has begun is promised its room already, and is not asked to wait for it.
        let need = room.as_ref().map(|((need, _), _)| *need).filter(|_| !entry.life.has_begun());
        let journey = Arc::new(self.fleet.begin_sector(&name, need));
        if entry.life.has_begun() {
            journey.begin();
        }
        if entry.life.held {
            journey.hold();
        }
        let (gone_told, going) = watch::channel(());
        let live = Live {
            journey: journey.clone(),
            place: room.map(|((need, dir), proof)| Place { disk: need.disk, dir, proof }),
            progress: None,
            note: None,
            wake: Arc::default(),
            abort: None,
            going,
        };
        self.live().insert(name.clone(), live);
        self.room.notify_one();
        let going = tokio::spawn(way::go(self.clone(), entry, journey));
        if let Some(live) = self.live().get_mut(&name) {
            live.abort = Some(going.abort_handle());
        }
        let desk = self.clone();
        tokio::spawn(async move {
            let gone = going.await;
            desk.live().remove(&name);
            drop(gone_told);
            desk.room.notify_one();
            if let Err(error) = gone
                && error.is_panic()
            {
                way::panicked(&desk, &name).await;
            }
        });
    }

    /// Gives a job up: nothing more happens to it, and what runs of it is cancelled.
    ///
    /// # Errors
    /// It is over.
    pub async fn cancel(&self, name: &str) -> Result<(), Refusal> {
        self.book.step(name, &Step::Cancel).await?;
        self.stop(name).await;
        self.moved(name, None);
        Ok(())
    }

    /// Stops what goes on with a job and waits until that is so.
    async fn stop(&self, name: &str) {
        let abort = self.live().get_mut(name).and_then(|live| live.abort.take());
        let Some(abort) = abort else { return };
        abort.abort();
        self.gone(name).await;
    }

    /// Waits until nothing goes on with a job that is over.
    pub async fn gone(&self, name: &str) {
        let going = self.live().get(name).map(|live| live.going.clone());
        if let Some(mut going) = going {
            while going.changed().await.is_ok() {}
        }
    }

    /// Stops everything that still waits.
    pub async fn stop_all(&self) {
        let names: Vec<String> = self.live().keys().cloned().collect();
        for name in names {
            self.stop(&name).await;
        }
    }

    /// Tells where a job stands.
    pub fn moved(&self, name: &str, reason: Option<String>) {
        let Some(entry) = self.book.get(name) else { return };
        let (sector, state) = (name.to_owned(), entry.life.word().to_owned());
        self.tell(&Event::SectorMoved { sector, state, reason });
    }

    /// Whether the daemon ends after what runs.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Ends the daemon after what runs.
    pub fn drain(&self) {
        if !self.draining.swap(true, Ordering::SeqCst) {
            self.tell(&Event::Draining);
        }
        self.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, time::Duration};

    use tokio::time::timeout;

    use super::*;
    use crate::daemon::job::tests::job;

    /// A desk with one sector, which nothing is ready for, and its directory.
    async fn desk() -> (tempfile::TempDir, Arc<Desk>) {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let book = Book::open(at("jobs.redb")).unwrap();
        book.add(|_, _| Ok::<_, super::super::store::StoreError>(vec![job(1)])).await.unwrap();
        let observer = Observer::new(|_| {});
        let config = Config::default();
        let fleet = Fleet::new(&config.processors, temp.path(), &observer, Patience::Endless);
        // Nothing is asked for a place, so nothing is started.
        fleet.pause();
        let settings = Settings {
            config_path: None,
            state_dir: at("state"),
            socket: at("socket"),
            worker_dir: at("bin"),
        };
        let told = (observer, Arc::new(Journals::default()));
        (temp, Arc::new(Desk::new(settings, config, book, fleet, told, Arc::default())))
    }

    #[tokio::test]
    async fn who_waits_for_the_end_of_a_job_does_not_spin() {
        let (_temp, desk) = desk().await;
        let name = job(1).name;
        desk.send(&name);
        let mut polls = 0;
        let mut gone = pin!(desk.gone(&name));
        let counted = poll_fn(|cx| {
            polls += 1;
            gone.as_mut().poll(cx)
        });
        timeout(Duration::from_millis(100), counted).await.unwrap_err();
        assert!(polls < 10, "looked {polls} times");
        desk.stop(&name).await;
        // Both have seen the same end.
        gone.await;
        desk.gone(&name).await;
        assert!(desk.live().is_empty());
    }
}
