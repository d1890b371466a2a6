// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which waiting task runs where, and when: slots, limits, locks and fairness.
//!
//! Pure: it does no I/O, starts nothing, and time is an argument, real or virtual. `docs/scheduling.md`
//! says what users may rely on.
//!
//! A task takes its slot and *all* of its locks at once or none of them, so that nobody holds one
//! thing and waits for another, and no order of names can deadlock. Tasks of one stage are served in
//! the order in which they came, but those of a sector that has not begun wait behind a bound on
//! sectors in flight and until there is room on its disk. Between stages the [`Policy`] decides.
//! Everything may change while tasks run: [`places`], [`Rules`], and which sectors are held.
//!
//! What keeps a stage from starving: each time that a younger task of another stage takes the last of
//! a lock that its oldest task could use now, the stage is *passed*. Passed often enough it is *due*: it
//! comes before all others, and what it still lacks nobody else takes.

mod explain;
pub mod places;
mod queue;
mod rules;
pub mod sectors;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sealpipe_protocol::Stage;

pub use self::{
    explain::Reason,
    places::{PlaceId, Running},
    rules::{Cap, DEFAULT_OVERTAKES, Place, Policy, Rules, StageLimit},
    sectors::{Disk, Need},
};
use self::{
    places::Site,
    queue::{Lane, Queue, Waiting},
    sectors::Course,
};

/// Time since a moment that stays the same for one scheduler.
pub type Time = Duration;

/// A sector, by a number that its user chooses.
pub type Sector = u64;

/// A task that waits or runs. Older ones are less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(u64);

/// A task that may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// Which one.
    pub ticket: Ticket,
    /// Where.
    pub place: PlaceId,
}

/// The state of all places, locks, sectors and waiting tasks.
#[derive(Debug, Default)]
pub struct Scheduler {
    rules: Rules,
    paused: bool,
    sites: BTreeMap<PlaceId, Site>,
    next_place: u64,
    /// Tasks that can run at once, for [`Cap::Auto`].
    slots: usize,
    running: BTreeMap<Ticket, Running>,
    running_of: BTreeMap<Stage, usize>,
    /// Units of locks that running tasks hold.
    held: BTreeMap<String, usize>,
    waiting: BTreeMap<Ticket, Waiting>,
    /// Of the stages with waiting tasks.
    queues: BTreeMap<Stage, Queue>,
    next_ticket: u64,
    /// How often a stage was passed since a task of it was granted last.
    passed: BTreeMap<Stage, u32>,
    started: BTreeMap<Stage, Time>,
    sectors: BTreeMap<Sector, Course>,
    in_flight: usize,
    rooms: BTreeMap<Disk, u64>,
}

/// Units of locks that due stages keep for themselves in one round.
type Kept = BTreeMap<String, usize>;

/// A task that may start wherever there is a place that it does not avoid.
#[derive(Clone, Copy)]
struct Candidate {
    stage: Stage,
    ticket: Ticket,
    avoid: Option<PlaceId>,
    is_due: bool,
}

impl Scheduler {
    /// A scheduler with places; their ids are numbered in their order.
    pub fn new(rules: Rules, places: Vec<Place>) -> Self {
        let mut scheduler = Self { rules, ..Self::default() };
        for place in places {
            scheduler.add_place(place);
        }
        scheduler
    }

    /// Adds a task at the end of its stage's queue. One of no sector is not held back by what bounds
    /// sectors. `avoid` is the place where it failed: another healthy place of the stage is taken if
    /// there is one.
    pub fn request(
        &mut self,
        stage: Stage,
        sector: Option<Sector>,
        avoid: Option<PlaceId>,
    ) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let lane = sector.map_or(Lane::Open(avoid), |sector| {
            let course = self.sectors.entry(sector).or_default();
            course.waiting.insert(ticket);
            course.standing().lane(avoid)
        });
        self.waiting.insert(ticket, Waiting { stage, sector, avoid });
        self.queues.entry(stage).or_default().insert(lane, ticket);
        ticket
    }

    /// Forgets a task: one that waits, or one that runs and has ended.
    pub fn release(&mut self, ticket: Ticket) {
        if self.vacate(ticket) {
            return;
        }
        if let Some(Waiting { stage, .. }) = self.unqueue(ticket)
            && !self.queues.contains_key(&stage)
        {
            self.passed.remove(&stage);
        }
    }

    /// Grants no new task until [`resume`](Self::resume).
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Grants tasks again.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// Whether no new task is granted.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Tasks of a stage that wait.
    pub fn queued(&self, stage: Stage) -> usize {
        self.queues.get(&stage).map_or(0, Queue::len)
    }

    /// The stage of a task that waits.
    pub fn stage_of(&self, ticket: Ticket) -> Option<Stage> {
        self.waiting.get(&ticket).map(|task| task.stage)
    }

    /// Whether the limits forbid a stage for ever: the keys that say so.
    pub fn forbidden(&self, stage: Stage) -> Option<String> {
        if self.limit(stage) == Some(0) {
            return Some(format!("`limitation.concurrent.{stage}` is 0"));
        }
        if self.cap() == Some(0) {
            return Some("`scheduling.sectors_in_flight` is 0".to_owned());
        }
        let is_never = |site: &Site| site.place.locks.iter().any(|l| self.lock_count(l) == 0);
        let mut places = self.sites_of(stage).peekable();
        let has_places = places.peek().is_some();
        (has_places && places.all(|(_, site)| is_never(site)))
            .then(|| format!("all entries of `{stage}` name locks that are 0"))
    }

    /// The tasks that may start now, and when to ask again although nothing else happens.
    pub fn grants(&mut self, now: Time) -> (Vec<Grant>, Option<Time>) {
        let mut grants = Vec::new();
        while let Some(grant) = self.grant(now) {
            grants.push(grant);
        }
        (grants, self.wake(now))
    }

    /// Grants one task, if any may start.
    fn grant(&mut self, now: Time) -> Option<Grant> {
        let mut kept = Kept::new();
        for candidate in self.in_order(now) {
            if let Some(place) = self.best_place(candidate.stage, candidate.avoid, &kept) {
                self.start(candidate, place, now);
                return Some(Grant { ticket: candidate.ticket, place });
            }
            if candidate.is_due {
                self.keep(&candidate, &mut kept);
            }
        }
        None
    }

    /// The tasks that lack nothing but a place: those of stages that are due by their age, then those
    /// of the later stages first.
    fn in_order(&self, now: Time) -> Vec<Candidate> {
        let stages = self.queues.keys().filter(|stage| self.may_start(**stage, now));
        let mut order: Vec<Candidate> = stages.flat_map(|stage| self.candidates(*stage)).collect();
        order.sort_by_key(|candidate| {
            let due = candidate.is_due.then_some(candidate.ticket);
            (due.is_none(), due, Reverse(candidate.stage), candidate.ticket)
        });
        order
    }

    fn is_due(&self, stage: Stage) -> bool {
        self.passed.get(&stage).copied().unwrap_or(0) >= self.rules.policy.overtakes()
    }

    /// The oldest task of a stage that takes any place, and those before it that avoid one; all of
    /// sectors that have begun or may begin.
    fn candidates(&self, stage: Stage) -> Vec<Candidate> {
        let Some(queue) = self.queues.get(&stage).filter(|_| !self.paused) else {
            return Vec::new();
        };
        let may_start = |lane: &Lane, ticket: Ticket| match lane {
            Lane::Fresh(_) => self.obstacle(ticket).is_none(),
            Lane::Open(_) | Lane::Held => true,
        };
        let heads = queue.heads().filter(|(lane, ticket)| may_start(lane, *ticket));
        let mut heads: Vec<Ticket> = heads.map(|(_, ticket)| ticket).collect();
        heads.sort();
        let is_due = self.is_due(stage);
        let mut candidates = Vec::new();
        for ticket in heads {
            let avoid = self.avoided(ticket);
            candidates.push(Candidate { stage, ticket, avoid, is_due });
            if avoid.is_none() {
                break;
            }
        }
        candidates
    }

    /// The place that a task avoids, if another one can take it.
    fn avoided(&self, ticket: Ticket) -> Option<PlaceId> {
        let Waiting { stage, avoid, .. } = self.waiting.get(&ticket)?;
        avoid.filter(|avoid| {
            let mut others = self.sites_of(*stage).filter(|(id, _)| id != avoid);
            others.any(|(_, site)| self.is_healthy(site))
        })
    }

    fn limit(&self, stage: Stage) -> Option<usize> {
        self.rules.limits.get(&stage).and_then(|limit| limit.concurrent)
    }

    fn at_limit(&self, stage: Stage) -> bool {
        self.limit(stage).is_some_and(|limit| self.running_of(stage) >= limit)
    }

    fn staggered_until(&self, stage: Stage) -> Option<Time> {
        let interval = self.rules.limits.get(&stage)?.staggered?;
        self.started.get(&stage)?.checked_add(interval)
    }

    fn may_start(&self, stage: Stage, now: Time) -> bool {
        !self.at_limit(stage) && self.staggered_until(stage).is_none_or(|at| at <= now)
    }

    fn start(&mut self, candidate: Candidate, place: PlaceId, now: Time) {
        self.pass_others(&candidate, place, now);
        let Candidate { stage, ticket, .. } = candidate;
        let sector = self.unqueue(ticket).and_then(|task| task.sector);
        if let Some(sector) = sector {
            self.begin(sector);
        }
        self.passed.remove(&stage);
        self.occupy(ticket, place, sector, now);
        self.started.insert(stage, now);
    }

    /// Takes a task out of its queue.
    fn unqueue(&mut self, ticket: Ticket) -> Option<Waiting> {
        let task = self.waiting.remove(&ticket)?;
        let course = task.sector.and_then(|sector| self.sectors.get_mut(&sector));
        let lane = course.map_or(Lane::Open(task.avoid), |course| {
            course.waiting.remove(&ticket);
            course.standing().lane(task.avoid)
        });
        if let Some(queue) = self.queues.get_mut(&task.stage) {
            queue.remove(lane, ticket);
            if queue.is_empty() {
                self.queues.remove(&task.stage);
            }
        }
        Some(task)
    }

    /// Counts the stages that a grant passes: an older task of theirs could use one of its locks now,
    /// and of that lock nothing is left.
    fn pass_others(&mut self, granted: &Candidate, place: PlaceId, now: Time) {
        let Some(site) = self.sites.get(&place) else { return };
        let is_last = |name: &&String| self.free_units(name, &Kept::new()) <= 1;
        let taken: BTreeSet<&String> = site.place.locks.iter().filter(is_last).collect();
        if taken.is_empty() {
            return;
        }
        let is_passed = |other: &Candidate| {
            let mut open = self.usable(other.stage, other.avoid);
            other.stage != granted.stage
                && other.ticket < granted.ticket
                && open.any(|(_, site)| site.place.locks.iter().any(|lock| taken.contains(lock)))
        };
        let passed = self.in_order(now).into_iter().filter(is_passed);
        let passed: BTreeSet<Stage> = passed.map(|candidate| candidate.stage).collect();
        for stage in passed {
            *self.passed.entry(stage).or_default() += 1;
        }
    }

    /// Keeps for a due task one unit of each lock that one of its places could use.
    fn keep(&self, due: &Candidate, kept: &mut Kept) {
        let open = self.usable(due.stage, due.avoid);
        let names: BTreeSet<&String> = open.flat_map(|(_, site)| &site.place.locks).collect();
        for name in names {
            *kept.entry(name.clone()).or_default() += 1;
        }
    }

    /// When a stage that only waits for its interval may start.
    fn wake(&self, now: Time) -> Option<Time> {
        let waiting = self.queues.keys().filter(|stage| !self.candidates(**stage).is_empty());
        let open = waiting.filter(|stage| !self.at_limit(**stage));
        open.filter_map(|stage| self.staggered_until(*stage)).filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
