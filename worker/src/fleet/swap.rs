// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes over another configuration while tasks run: all of it, or nothing.
//!
//! An entry that is as it was goes on undisturbed. One that differs only in what the worker minds is
//! changed in place. For any other a new process is started beside the old one; only when all of them
//! have answered they take over: the new ones get the next tasks, the old ones finish their own.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use sealpipe_protocol::{Stage, method::ShutdownMode};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{Fleet, Inner};
use crate::{
    config::Processors,
    event::{Event, Observer},
    scheduler::{Cap, Place, PlaceId, Policy, Rules, StageLimit},
    supervisor::{Processor, ProcessorSpec, StartError, State},
};

/// What a reload has done, by the processors' names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reload {
    /// As they were.
    pub kept: Vec<String>,
    /// Changed in place.
    pub changed: Vec<Changed>,
    /// Were degraded, and are started again as they are.
    pub revived: Vec<String>,
    /// New processes, which take the next tasks.
    pub started: Vec<String>,
    /// Old processes, which finish their tasks and end.
    pub draining: Vec<Draining>,
    /// Entries that are gone.
    pub removed: Vec<String>,
    /// Limits, locks and order: what was and what is.
    pub rules: Vec<String>,
}

/// An entry that was changed in place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Its name.
    pub processor: String,
    /// What was and what is.
    pub what: Vec<String>,
}

/// A process that takes no task any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// Its name.
    pub processor: String,
    /// Tasks that it still runs.
    pub tasks: usize,
}

/// Why a reload has changed nothing: what each new process has failed at.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ReloadError {
    /// At least one.
    pub failed: Vec<Arc<StartError>>,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<_> = self.failed.iter().map(ToString::to_string).collect();
        write!(f, "nothing was changed: {}", failed.join("; "))
    }
}

/// What the scheduler has to know of a configuration.
pub(super) fn rules(config: &Processors) -> Rules {
    let limits = Stage::ALL.iter().map(|stage| {
        let concurrent = config.limitation.concurrent.get(stage).copied();
        let staggered = config.limitation.staggered.get(stage).copied();
        (*stage, StageLimit { concurrent, staggered })
    });
    Rules {
        limits: limits.collect(),
        locks: config.ext_locks.clone(),
        policy: config.scheduling.policy,
        sectors_in_flight: config.scheduling.sectors_in_flight,
    }
}

/// What is started for a configuration, in the order of the file: its entries, and the implied
/// processors.
pub(super) fn specs(config: &Processors, worker_dir: &Path) -> Vec<ProcessorSpec> {
    let configured = config.entries.iter().map(|e| ProcessorSpec::of_entry(e, worker_dir));
    let implied = config.implied().map(|stage| ProcessorSpec::implied(stage, worker_dir));
    configured.chain(implied).collect()
}

/// A processor as the scheduler sees it. Of the stages without an entry only those count for the cap
/// on sectors in flight in which a sector spends its time.
pub(super) fn place(spec: &ProcessorSpec, rank: usize, capacity: usize) -> Place {
    let stage = spec.id.stage;
    let is_long = matches!(stage, Stage::Pc1 | Stage::Pc2 | Stage::C2);
    Place {
        stage,
        rank,
        capacity,
        locks: spec.locks.iter().cloned().collect(),
        weight: spec.weight,
        is_counted: spec.id.index.is_some() || is_long,
    }
}

/// What becomes of an entry of the new configuration.
enum Fate {
    Keep(PlaceId),
    Tune(PlaceId, Vec<String>),
    /// A new process, and the place that it takes over.
    Start(Option<PlaceId>),
}

fn fate(inner: &Inner, spec: &ProcessorSpec) -> Fate {
    let Some((place, processor)) = inner.active().find(|(_, p)| *p.id() == spec.id) else {
        return Fate::Start(None);
    };
    let old = processor.spec();
    if *old == *spec {
        Fate::Keep(place)
    } else if old.is_same_process(spec) {
        Fate::Tune(place, old.differences(spec))
    } else {
        Fate::Start(Some(place))
    }
}

/// Processors that are on probation, stopped unless they are taken over.
struct Candidates<'a> {
    fleet: &'a Arc<Fleet>,
    observed: Arc<AtomicBool>,
    all: Vec<Option<Arc<Processor>>>,
}

impl Drop for Candidates<'_> {
    fn drop(&mut self) {
        // The last owner of a processor stops it.
        self.fleet.inner().candidates.clear();
    }
}

impl Fleet {
    /// Takes over another configuration; a reload that is under way is waited for. Dropped before its
    /// end it has changed nothing.
    ///
    /// # Errors
    /// Which of the new processes did not answer well. Then nothing has changed, and those that did
    /// are stopped.
    pub async fn reload(
        self: &Arc<Self>,
        config: &Processors,
        worker_dir: &Path,
    ) -> Result<Reload, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let specs = specs(config, worker_dir);
        let mut candidates = self.candidates(&specs);
        candidates.ready().await?;
        let reload = self.swap(&specs, &mut candidates.all, rules(config));
        candidates.observed.store(true, Ordering::Relaxed);
        Ok(reload)
    }

    /// A new processor for each spec that needs one.
    fn candidates(self: &Arc<Self>, specs: &[ProcessorSpec]) -> Candidates<'_> {
        let observed = Arc::new(AtomicBool::new(false));
        let observer = on_probation(&self.observer, observed.clone());
        let mut inner = self.inner();
        let all: Vec<_> = specs
            .iter()
            .map(|spec| match fate(&inner, spec) {
                Fate::Start(_) => Some(Arc::new(Processor::new(spec.clone(), observer.clone()))),
                Fate::Keep(_) | Fate::Tune(..) => None,
            })
            .collect();
        inner.candidates = all.iter().flatten().cloned().collect();
        Candidates { fleet: self, observed, all }
    }

    /// Puts the new configuration in force. All at once: nobody sees a part of it.
    fn swap(
        self: &Arc<Self>,
        specs: &[ProcessorSpec],
        candidates: &mut [Option<Arc<Processor>>],
        rules: Rules,
    ) -> Reload {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let mut reload = Reload::default();
        let gone = inner.active().filter(|(_, p)| specs.iter().all(|spec| spec.id != *p.id()));
        let mut retiring: Vec<PlaceId> = Vec::new();
        for (place, processor) in gone {
            retiring.push(place);
            reload.removed.push(processor.id().to_string());
        }
        for ((rank, spec), candidate) in specs.iter().enumerate().zip(candidates) {
            let name = spec.id.to_string();
            let (place, processor) = match (fate(inner, spec), candidate.take()) {
                (Fate::Start(old), Some(processor)) => {
                    retiring.extend(old);
                    if spec.id.index.is_some() {
                        reload.started.push(name);
                    } else if inner.scheduler.queued(spec.id.stage) > 0 {
                        processor.start();
                    }
                    self.join(inner, rank, processor);
                    continue;
                }
                // Fates change only here.
                (Fate::Start(_), None) => continue,
                (Fate::Keep(place), _) => (place, None),
                (Fate::Tune(place, what), _) => (place, Some(what)),
            };
            inner.scheduler.update_place(place, |it| {
                *it = super::swap::place(spec, rank, it.capacity);
            });
            let Some(member) = inner.members.get(&place) else { continue };
            let is_degraded = matches!(*member.processor.state().borrow(), State::Degraded(_));
            match processor {
                Some(what) => {
                    member.processor.tune(spec.clone());
                    reload.changed.push(Changed { processor: name.clone(), what });
                }
                None if !is_degraded => reload.kept.push(name.clone()),
                None => {}
            }
            if is_degraded {
                member.processor.revive();
                reload.revived.push(name);
            }
        }
        for place in retiring {
            reload.draining.extend(self.retire(inner, place));
        }
        reload.rules = changes(inner.scheduler.rules(), &rules);
        inner.scheduler.set_rules(rules);
        drop(guard);
        self.changed.send_modify(|n| *n += 1);
        self.pump();
        reload
    }

    /// Lets a processor finish its tasks, and then end.
    fn retire(self: &Arc<Self>, inner: &mut Inner, place: PlaceId) -> Option<Draining> {
        let member = inner.members.get_mut(&place)?;
        member.is_retired = true;
        let tasks = inner.scheduler.running().filter(|(_, task)| task.place == place).count();
        inner.scheduler.retire_place(place);
        let was_started = !matches!(*member.processor.state().borrow(), State::Idle);
        tokio::spawn(drain(Arc::downgrade(self), place));
        was_started.then(|| Draining { processor: member.processor.id().to_string(), tasks })
    }
}

impl Candidates<'_> {
    /// Starts those that entries ask for, and waits until all of them are ready.
    async fn ready(&self) -> Result<(), ReloadError> {
        let mut starting = JoinSet::new();
        for processor in self.all.iter().flatten().filter(|p| p.id().index.is_some()) {
            processor.start();
            let processor = processor.clone();
            starting.spawn(async move { (processor.id().clone(), processor.ready().await.err()) });
        }
        let mut failed = Vec::new();
        while let Some(joined) = starting.join_next().await {
            if let Ok((id, Some(error))) = joined {
                failed.push((id, error));
            }
        }
        if failed.is_empty() && !self.fleet.is_stopping() {
            return Ok(());
        }
        let mut stopping = JoinSet::new();
        for processor in self.all.iter().flatten() {
            stopping.spawn(processor.stopped(ShutdownMode::Interrupt));
        }
        stopping.join_all().await;
        failed.sort_by(|(a, _), (b, _)| a.cmp(b));
        Err(ReloadError { failed: failed.into_iter().map(|(_, error)| error).collect() })
    }
}

/// Ends a retired processor once the last of its tasks has ended.
async fn drain(fleet: Weak<Fleet>, place: PlaceId) {
    let Some(mut forgotten) = fleet.upgrade().map(|fleet| fleet.forgotten.subscribe()) else {
        return;
    };
    let stopped = loop {
        {
            let Some(fleet) = fleet.upgrade() else { return };
            let inner = fleet.inner();
            if !inner.scheduler.has_place(place) {
                let Some(member) = inner.members.get(&place) else { return };
                break member.processor.stopped(ShutdownMode::Drain);
            }
        }
        if forgotten.changed().await.is_err() {
            return;
        }
    };
    stopped.await;
    if let Some(fleet) = fleet.upgrade() {
        let member = fleet.inner().members.remove(&place);
        if let Some(member) = member {
            member.watching.abort();
        }
    }
}

/// An observer that hears nothing of a new process that is degraded or stopped before it is taken
/// over: the old one of the same name goes on.
fn on_probation(observer: &Observer, observed: Arc<AtomicBool>) -> Observer {
    let observer = observer.clone();
    Observer::new(move |event| {
        let is_end = matches!(
            event,
            Event::ProcessorDegraded { .. }
                | Event::ProcessorStopped { .. }
                | Event::ProcessorDied { .. }
                | Event::ProcessorRestarting { .. }
        );
        if !is_end || observed.load(Ordering::Relaxed) {
            observer.tell(event);
        }
    })
}

/// What was and what is, for people.
fn changes(old: &Rules, new: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |key: String, old: String, new: String| {
        if old != new {
            found.push(format!("{key} {old} → {new}"));
        }
    };
    let count = |n: Option<usize>| n.map_or("no limit".to_owned(), |n| n.to_string());
    for stage in Stage::ALL.iter().copied() {
        let of = |rules: &Rules| rules.limits.get(&stage).copied().unwrap_or_default();
        let (was, is) = (of(old), of(new));
        let key = format!("limitation.concurrent.{stage}");
        compare(key, count(was.concurrent), count(is.concurrent));
        let interval = |limit: StageLimit| {
            limit.staggered.map_or("none".to_owned(), |t| humantime::format_duration(t).to_string())
        };
        compare(format!("limitation.staggered.{stage}"), interval(was), interval(is));
    }
    let mut locks: Vec<_> = old.locks.keys().chain(new.locks.keys()).collect();
    locks.sort();
    locks.dedup();
    for lock in locks {
        let of = |rules: &Rules| rules.locks.get(lock).map_or("none".to_owned(), usize::to_string);
        compare(format!("ext_locks.{lock}"), of(old), of(new));
    }
    let policy = |rules: &Rules| match rules.policy {
        Policy::Fifo => "fifo".to_owned(),
        Policy::LaterFirst { overtakes } => format!("later-first with {overtakes} overtakes"),
    };
    compare("scheduling.policy".to_owned(), policy(old), policy(new));
    let cap = |rules: &Rules| match rules.sectors_in_flight {
        Cap::Auto => "auto".to_owned(),
        Cap::AtMost(n) => n.to_string(),
        Cap::Unbounded => "unbounded".to_owned(),
    };
    compare("scheduling.sectors_in_flight".to_owned(), cap(old), cap(new));
    found
}
