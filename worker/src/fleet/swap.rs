// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes over another configuration while tasks run: all of it, or nothing.
//!
//! Entries are told by what they say, and only then by their place in the file: [`partners`]. An entry
//! that is as it was goes on undisturbed. One that differs only in what the worker minds is changed in
//! place. For any other a new process is started beside the old one; only when all of them
//! have answered they take over: the new ones get the next tasks, the old ones finish their own.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use sealpipe_protocol::{Stage, method::ShutdownMode};
use tokio::task::JoinSet;

use super::{
    Fleet, Inner, Member,
    reload::{Changed, Draining, Reload, ReloadError, changes},
};
use crate::{
    config::Processors,
    event::{Event, Observer},
    scheduler::{Place, PlaceId, Rules, StageLimit},
    supervisor::{Processor, ProcessorSpec, State},
};

/// What the scheduler has to know of a configuration.
pub fn rules(config: &Processors) -> Rules {
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

/// Whether a processor's slots count for the cap on sectors in flight. Of the stages without an entry
/// only those do in which a sector spends its time.
pub fn is_counted(stage: Stage, has_entry: bool) -> bool {
    has_entry || matches!(stage, Stage::Pc1 | Stage::Pc2 | Stage::C2)
}

/// A processor as the scheduler sees it.
pub(super) fn place(spec: &ProcessorSpec, rank: usize, capacity: usize) -> Place {
    let stage = spec.id.stage;
    Place {
        stage,
        rank,
        capacity,
        locks: spec.locks.iter().cloned().collect(),
        weight: spec.weight,
        is_counted: is_counted(stage, spec.id.index.is_some()),
    }
}

/// Which of the old entries each of the new ones goes on from. Equal ones come first and then those that
/// one process serves, of both the one at the same place before others; what is left goes by its place.
/// So one that comes in between, or goes, disturbs none of those behind it.
fn partners<'a, P: Copy>(
    old: &[(P, Arc<ProcessorSpec>)],
    new: &'a [ProcessorSpec],
) -> Vec<(&'a ProcessorSpec, Option<P>)> {
    type Alike = fn(&ProcessorSpec, &ProcessorSpec) -> bool;
    let rounds: [Alike; 5] = [
        |old, new| old == new,
        |old, new| old.is_same_entry(new),
        |old, new| old.id == new.id && old.is_same_process(new),
        |old, new| old.is_same_process(new),
        |old, new| old.id == new.id,
    ];
    let mut left: Vec<_> = old.iter().collect();
    let mut pairs: Vec<_> = new.iter().map(|spec| (spec, None)).collect();
    for alike in rounds {
        for (spec, partner) in pairs.iter_mut().filter(|(_, partner)| partner.is_none()) {
            let found = left.iter().position(|(_, old)| alike(old, spec));
            *partner = found.map(|at| left.remove(at).0);
        }
    }
    pairs
}

/// What becomes of an entry of the new configuration.
enum Fate {
    Keep(PlaceId),
    Tune(PlaceId, Vec<String>),
    /// A new process, and the place that it takes over.
    Start(Option<PlaceId>),
}

impl Fate {
    /// The old place that it goes on from.
    fn place(&self) -> Option<PlaceId> {
        match self {
            Self::Keep(place) | Self::Tune(place, _) => Some(*place),
            Self::Start(place) => *place,
        }
    }
}

/// What becomes of each.
fn fates(inner: &Inner, specs: &[ProcessorSpec]) -> Vec<Fate> {
    let old: Vec<_> = inner.active().map(|(place, p)| (place, p.spec())).collect();
    let pairs = partners(&old, specs).into_iter();
    pairs.map(|(spec, partner)| fate(inner, spec, partner)).collect()
}

fn fate(inner: &Inner, spec: &ProcessorSpec, partner: Option<PlaceId>) -> Fate {
    let member = partner.and_then(|place| Some((place, inner.members.get(&place)?)));
    let Some((place, Member { processor, .. })) = member else {
        return Fate::Start(None);
    };
    let old = processor.spec();
    let is_another = !old.is_same_process(spec) || processor.is_outdated();
    if is_another || outgrows(processor, &old, spec) {
        Fate::Start(Some(place))
    } else if *old == *spec {
        Fate::Keep(place)
    } else {
        Fate::Tune(place, old.differences(spec))
    }
}

/// Whether more tasks at once are asked for than a process has offered that was told of fewer.
fn outgrows(processor: &Processor, old: &ProcessorSpec, spec: &ProcessorSpec) -> bool {
    let state = processor.state();
    let state = state.borrow();
    let State::Ready(ready) = &*state else { return false };
    let offered = ready.offer.max_concurrent as usize;
    let was_bounded = old.concurrent.is_some_and(|old| offered >= old);
    was_bounded && spec.concurrent.is_none_or(|asked| asked > offered)
}

/// Processors that are on probation, stopped unless they are taken over.
struct Candidates<'a> {
    fleet: &'a Arc<Fleet>,
    probation: Arc<Probation>,
    all: Vec<Option<Arc<Processor>>>,
}

/// Keeps to itself what becomes of new processes until they are taken over: those of the same names
/// go on meanwhile. A few events for each of them.
struct Probation {
    observer: Observer,
    kept: Mutex<Option<Vec<Event>>>,
}

impl Probation {
    fn tell(&self, event: &Event) {
        let is_kept = matches!(
            event,
            Event::ProcessorReady { .. }
                | Event::ProcessorDegraded { .. }
                | Event::ProcessorDied { .. }
                | Event::ProcessorRestarting { .. }
                | Event::ProcessorStopped { .. }
        );
        match &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(kept) if is_kept => kept.push(event.clone()),
            _ => self.observer.tell(event),
        }
    }

    /// It is over, and well.
    fn end(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.iter().flatten().for_each(|event| self.observer.tell(event));
    }
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
        let reload = self.swap(&specs, &mut candidates.all, rules(config))?;
        candidates.probation.end();
        Ok(reload)
    }

    /// A new processor for each spec that needs one.
    fn candidates(self: &Arc<Self>, specs: &[ProcessorSpec]) -> Candidates<'_> {
        let kept = Mutex::new(Some(Vec::new()));
        let probation = Arc::new(Probation { observer: self.observer.clone(), kept });
        let observed = probation.clone();
        let observer = Observer::new(move |event| observed.tell(event));
        let mut inner = self.inner();
        let all: Vec<_> = specs
            .iter()
            .zip(fates(&inner, specs))
            .map(|(spec, fate)| match fate {
                Fate::Start(_) => Some(Arc::new(Processor::new(spec.clone(), observer.clone()))),
                Fate::Keep(_) | Fate::Tune(..) => None,
            })
            .collect();
        inner.candidates = all.iter().flatten().cloned().collect();
        Candidates { fleet: self, probation, all }
    }

    /// Puts the new configuration in force. All at once: nobody sees a part of it.
    fn swap(
        self: &Arc<Self>,
        specs: &[ProcessorSpec],
        candidates: &mut [Option<Arc<Processor>>],
        rules: Rules,
    ) -> Result<Reload, ReloadError> {
        let mut guard = self.inner();
        let inner = &mut *guard;
        // Whoever stops the fleet sees the new processors, or they are never taken over.
        if self.is_stopping() {
            return Err(ReloadError::stopping());
        }
        let mut reload = Reload::default();
        let fates = fates(inner, specs);
        let goes_on = |place: PlaceId| fates.iter().any(|fate| fate.place() == Some(place));
        let mut retiring: Vec<PlaceId> = Vec::new();
        for (place, processor) in inner.active().filter(|(place, _)| !goes_on(*place)) {
            retiring.push(place);
            reload.removed.push(processor.id().to_string());
        }
        for (((rank, spec), fate), candidate) in specs.iter().enumerate().zip(fates).zip(candidates)
        {
            match (fate, candidate.take()) {
                (Fate::Start(old), Some(processor)) => {
                    retiring.extend(old);
                    self.take_over(inner, rank, processor, &mut reload);
                }
                // Its program was replaced meanwhile: the next reload takes that over.
                (Fate::Start(Some(place)), None) => {
                    let old = inner.members.get(&place).map(|member| member.processor.spec());
                    let what = old.map(|old| old.differences(spec)).filter(|what| !what.is_empty());
                    keep(inner, place, rank, what, spec, &mut reload);
                }
                (Fate::Start(None), None) => {}
                (Fate::Keep(place), _) => keep(inner, place, rank, None, spec, &mut reload),
                (Fate::Tune(place, what), _) => {
                    keep(inner, place, rank, Some(what), spec, &mut reload);
                }
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
        Ok(reload)
    }

    /// Gives a new processor its place.
    fn take_over(
        self: &Arc<Self>,
        inner: &mut Inner,
        rank: usize,
        processor: Arc<Processor>,
        reload: &mut Reload,
    ) {
        let id = processor.id();
        if id.index.is_some() {
            reload.started.push(id.to_string());
        } else if inner.scheduler.queued(id.stage) > 0 {
            // Implied ones are started on first use, and somebody waits already.
            processor.start();
        }
        self.join(inner, rank, processor);
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

/// Keeps a processor at its place, with what is said of it now.
fn keep(
    inner: &mut Inner,
    id: PlaceId,
    rank: usize,
    what: Option<Vec<String>>,
    spec: &ProcessorSpec,
    reload: &mut Reload,
) {
    inner.scheduler.update_place(id, |it| *it = place(spec, rank, it.capacity));
    let Some(member) = inner.members.get(&id) else { return };
    let processor = spec.id.to_string();
    let is_degraded = matches!(*member.processor.state().borrow(), State::Degraded(_));
    if is_degraded {
        // Somebody has looked.
        member.processor.revive();
        reload.revived.push(processor.clone());
    }
    match what {
        Some(what) => {
            member.processor.tune(spec.clone());
            reload.changed.push(Changed { processor, what });
        }
        None if !is_degraded => reload.kept.push(processor),
        None => {}
    }
}

impl Candidates<'_> {
    /// Starts those that entries ask for, and waits until all of them are ready at once.
    async fn ready(&self) -> Result<(), ReloadError> {
        let asked_for: Vec<_> =
            self.all.iter().flatten().filter(|p| p.id().index.is_some()).collect();
        asked_for.iter().for_each(|processor| processor.start());
        let mut failed = Vec::new();
        loop {
            for processor in &asked_for {
                failed.extend(processor.ready().await.err());
            }
            // One that was ready first may be gone when the last one is.
            let is_ready = |processor: &Processor| processor.capacity() > 0;
            let is_off = |processor: &Processor| processor.spec().concurrent == Some(0);
            if !failed.is_empty() || asked_for.iter().all(|p| is_ready(p) || is_off(p)) {
                break;
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let mut stopping = JoinSet::new();
        for processor in self.all.iter().flatten() {
            stopping.spawn(processor.stopped(ShutdownMode::Interrupt));
        }
        stopping.join_all().await;
        Err(ReloadError { failed })
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{config, scheduler::Scheduler};

    /// The cap on sectors in flight of a file, with all of its processes ready.
    fn cap(name: &str) -> Option<usize> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
        let text = fs::read_to_string(path).unwrap();
        let parsed = config::parse(&config::Source::new(name, text));
        let config = &parsed.config().unwrap().processors;
        let specs = specs(config, Path::new("/opt"));
        // A pc2 or c2 without `concurrent` offers to run one task a GPU.
        let places = specs
            .iter()
            .enumerate()
            .map(|(rank, spec)| place(spec, rank, spec.concurrent.unwrap_or(1)));
        Scheduler::new(rules(config), places.collect()).cap()
    }

    /// The entries of a list of stages and marks, `+` where the worker alone minds the rest.
    fn entries(text: &str) -> Vec<ProcessorSpec> {
        let mut count = std::collections::BTreeMap::new();
        let entry = |word: &str| {
            let (stage, mark) = word.split_once(':').unwrap();
            let (mark, concurrent) = match mark.split_once('+') {
                Some((mark, n)) => (mark, Some(n.parse().unwrap())),
                None => (mark, None),
            };
            let stage: Stage = stage.parse().unwrap();
            let index: &mut usize = count.entry(stage).or_default();
            let mut spec = ProcessorSpec::implied(stage, Path::new("/opt"));
            spec.id.index = (mark != "implied").then_some(*index);
            *index += 1;
            spec.envs.insert("MARK".to_owned(), mark.to_owned());
            ProcessorSpec { concurrent, ..spec }
        };
        text.split(' ').filter(|word| !word.is_empty()).map(entry).collect()
    }

    #[test]
    fn entries_are_told_by_what_they_say_and_only_then_by_their_place() {
        let check = |old: &str, new: &str, expected: &[Option<usize>]| {
            let old = entries(old).into_iter().map(Arc::new);
            let old: Vec<_> = old.enumerate().collect();
            let new = entries(new);
            let found = partners(&old, &new).into_iter().map(|(_, place)| place);
            let found: Vec<Option<usize>> = found.collect();
            assert_eq!(found, expected, "{new:#?}");
        };
        check("pc1:a pc1:b", "pc1:a pc1:b", &[Some(0), Some(1)]);
        // One comes in on top, in between, and one goes.
        check("pc1:a pc1:b", "pc1:x pc1:a pc1:b", &[None, Some(0), Some(1)]);
        check("pc1:a pc1:b", "pc1:a pc1:x pc1:b", &[Some(0), None, Some(1)]);
        check("pc1:a pc1:b pc1:c", "pc1:a pc1:c", &[Some(0), Some(2)]);
        check("pc1:a pc1:b", "pc1:b pc1:a", &[Some(1), Some(0)]);
        // Of those that are alike the one at the same place, and then the first.
        check("pc1:a pc1:a", "pc1:a pc1:a", &[Some(0), Some(1)]);
        check("pc1:a pc1:a", "pc1:x pc1:a pc1:a", &[None, Some(1), Some(0)]);
        // What is equal comes before what the worker alone minds, and that before the place.
        check("pc1:a pc1:a+2", "pc1:a+2 pc1:a+3", &[Some(1), Some(0)]);
        check("pc1:a pc1:b", "pc1:x pc1:a+2 pc1:b+2", &[None, Some(0), Some(1)]);
        check("pc1:a pc1:b", "pc1:x pc1:b", &[Some(0), Some(1)]);
        check("pc1:a pc1:b", "pc1:b pc1:x", &[Some(1), None]);
        // Stages, and what is implied, are kept apart.
        check("pc1:a pc2:a", "pc2:a pc1:a", &[Some(1), Some(0)]);
        check("pc1:a", "pc2:a", &[None]);
        check("pc1:implied", "pc1:implied", &[Some(0)]);
        check("pc1:implied", "pc1:x", &[None]);
    }

    #[test]
    fn the_cap_that_nobody_set_keeps_all_places_busy_and_no_more() {
        // 28 pc1, and one or two of pc2 and c2 each; the implied ones of short stages do not count.
        assert_eq!(cap("scheme-a.toml"), Some(2 * (28 + 1 + 1)));
        assert_eq!(cap("scheme-b.toml"), Some(2 * (28 + 2 + 2)));
    }
}
