// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which waiting task runs where, and when: slots, limits, locks and fairness.
//!
//! Pure: it does no I/O, starts nothing, and time is an argument, real or virtual. `docs/scheduling.md`
//! says what users may rely on.
//!
//! A task takes its slot and *all* of its locks at once or none of them, so that nobody holds one
//! thing and waits for another, and no order of names can deadlock. Tasks of one stage are served in
//! the order in which they came, but those of a sector that has not begun wait behind a bound on
//! sectors in flight. Between stages the [`Policy`] decides.
//!
//! What keeps a stage from starving: each time that a younger task of another stage takes the last of
//! a lock that its oldest task could use now, the stage is *passed*. Passed often enough it is *due*: it
//! comes before all others, and what it still lacks nobody else takes.

mod explain;
mod rules;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sealpipe_protocol::Stage;

pub use self::{
    explain::Reason,
    rules::{DEFAULT_OVERTAKES, Place, Policy, Rules, StageLimit},
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
    /// Where: the index of the place.
    pub place: usize,
}

/// A task that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    place: usize,
    since: Time,
}

/// The state of all places, locks and waiting tasks.
#[derive(Debug, Default)]
pub struct Scheduler {
    rules: Rules,
    places: Vec<Place>,
    running: BTreeMap<Ticket, Running>,
    waiting: BTreeMap<Stage, BTreeMap<Ticket, Option<Sector>>>,
    /// How often a stage was passed since a task of it was granted last.
    passed: BTreeMap<Stage, u32>,
    started: BTreeMap<Stage, Time>,
    in_flight: BTreeSet<Sector>,
    next: u64,
}

/// Units of locks that due stages keep for themselves in one round.
type Kept = BTreeMap<String, usize>;

impl Scheduler {
    /// A scheduler of places that are called by their index.
    pub fn new(rules: Rules, places: Vec<Place>) -> Self {
        Self { rules, places, ..Self::default() }
    }

    /// Adds a task at the end of its stage's queue. One of no sector is not held back by the bound on
    /// sectors in flight.
    pub fn request(&mut self, stage: Stage, sector: Option<Sector>) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.entry(stage).or_default().insert(ticket, sector);
        ticket
    }

    /// Forgets a task: one that waits, or one that runs and has ended.
    pub fn release(&mut self, ticket: Ticket) {
        self.running.remove(&ticket);
        for (stage, queue) in &mut self.waiting {
            if queue.remove(&ticket).is_some() && queue.is_empty() {
                self.passed.remove(stage);
            }
        }
    }

    /// A sector has ended, or is given up.
    pub fn leave(&mut self, sector: Sector) {
        self.in_flight.remove(&sector);
    }

    /// Whether the limits forbid a stage for ever: the keys that say so.
    pub fn forbidden(&self, stage: Stage) -> Option<String> {
        let limit = self.rules.limits.get(&stage).and_then(|limit| limit.concurrent);
        if limit == Some(0) {
            return Some(format!("`limitation.concurrent.{stage}` is 0"));
        }
        if self.rules.sectors_in_flight == Some(0) {
            return Some("`scheduling.sectors_in_flight` is 0".to_owned());
        }
        let is_never = |place: &Place| place.locks.iter().any(|lock| self.lock_count(lock) == 0);
        let mut places = self.places.iter().filter(|place| place.stage == stage);
        places.all(is_never).then(|| format!("all entries of `{stage}` name locks that are 0"))
    }

    /// Says how many tasks a place takes from now on. Those that run go on.
    pub fn set_capacity(&mut self, place: usize, capacity: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.capacity = capacity;
        }
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
        for stage in self.order() {
            let Some(ticket) = self.candidate(stage).filter(|_| self.may_start(stage, now)) else {
                continue;
            };
            if let Some(place) = self.best_place(stage, &kept) {
                self.start(stage, ticket, place, now);
                return Some(Grant { ticket, place });
            }
            if self.is_due(stage) {
                self.keep(stage, &mut kept);
            }
        }
        None
    }

    /// Stages with waiting tasks: those that are due by the age of their oldest task, then the later
    /// ones first.
    fn order(&self) -> Vec<Stage> {
        let waiting = self.waiting.keys().filter(|stage| self.candidate(**stage).is_some());
        let mut order: Vec<Stage> = waiting.copied().collect();
        order.sort_by_key(|stage| {
            let due = self.is_due(*stage).then(|| self.candidate(*stage)).flatten();
            (due.is_none(), due, Reverse(*stage))
        });
        order
    }

    fn is_due(&self, stage: Stage) -> bool {
        self.passed.get(&stage).copied().unwrap_or(0) >= self.rules.policy.overtakes()
    }

    /// The oldest task of a stage that the bound on sectors in flight lets through.
    fn candidate(&self, stage: Stage) -> Option<Ticket> {
        let queue = self.waiting.get(&stage)?;
        let may_begin = self.may_begin();
        let lets_through = |sector: &Option<Sector>| {
            may_begin || sector.is_none_or(|sector| self.in_flight.contains(&sector))
        };
        queue.iter().find(|(_, sector)| lets_through(sector)).map(|(ticket, _)| *ticket)
    }

    /// Whether another sector may begin.
    fn may_begin(&self) -> bool {
        self.rules.sectors_in_flight.is_none_or(|bound| self.in_flight.len() < bound)
    }

    fn may_start(&self, stage: Stage, now: Time) -> bool {
        !self.at_limit(stage) && self.staggered_until(stage).is_none_or(|at| at <= now)
    }

    fn start(&mut self, stage: Stage, ticket: Ticket, place: usize, now: Time) {
        self.pass_others(stage, ticket, place, now);
        let sector = self.waiting.get_mut(&stage).and_then(|queue| queue.remove(&ticket));
        self.in_flight.extend(sector.flatten());
        self.passed.remove(&stage);
        self.running.insert(ticket, Running { place, since: now });
        self.started.insert(stage, now);
    }

    /// Counts the stages that a grant passes: an older task of theirs could use one of its locks now,
    /// and of that lock nothing is left.
    fn pass_others(&mut self, stage: Stage, ticket: Ticket, place: usize, now: Time) {
        let is_last = |name: &&String| self.free_units(name, &Kept::new()) <= 1;
        let taken: BTreeSet<&String> = self.places[place].locks.iter().filter(is_last).collect();
        let is_passed = |other: &Stage| {
            let oldest = self.candidate(*other).filter(|_| self.may_start(*other, now));
            let mut open = self.places.iter().enumerate().filter(|(index, place)| {
                place.stage == *other && place.capacity > self.running_at(*index)
            });
            *other != stage
                && oldest.is_some_and(|oldest| oldest < ticket)
                && open.any(|(_, place)| place.locks.iter().any(|lock| taken.contains(lock)))
        };
        let passed: Vec<Stage> = self.waiting.keys().copied().filter(is_passed).collect();
        for stage in passed {
            *self.passed.entry(stage).or_default() += 1;
        }
    }

    /// When a stage that only waits for its interval may start.
    fn wake(&self, now: Time) -> Option<Time> {
        let waiting = self.waiting.keys().filter(|stage| self.candidate(**stage).is_some());
        let open = waiting.filter(|stage| !self.at_limit(**stage));
        open.filter_map(|stage| self.staggered_until(*stage)).filter(|at| *at > now).min()
    }

    fn running_at(&self, place: usize) -> usize {
        self.running.values().filter(|running| running.place == place).count()
    }

    fn at_limit(&self, stage: Stage) -> bool {
        let limit = self.rules.limits.get(&stage).and_then(|limit| limit.concurrent);
        limit.is_some_and(|limit| self.running_of(stage) >= limit)
    }

    fn running_of(&self, stage: Stage) -> usize {
        self.running.values().filter(|running| self.places[running.place].stage == stage).count()
    }

    fn staggered_until(&self, stage: Stage) -> Option<Time> {
        let interval = self.rules.limits.get(&stage)?.staggered?;
        self.started.get(&stage)?.checked_add(interval)
    }

    fn lock_count(&self, name: &str) -> usize {
        self.rules.locks.get(name).copied().unwrap_or(0)
    }

    /// The tasks that hold a lock.
    fn holders(&self, name: &str) -> impl Iterator<Item = (Ticket, &Running)> {
        let holds = move |running: &Running| self.places[running.place].locks.contains(name);
        self.running.iter().filter(move |(_, running)| holds(running)).map(|(t, r)| (*t, r))
    }

    fn free_units(&self, name: &str, kept: &Kept) -> usize {
        let used = self.holders(name).count() + kept.get(name).copied().unwrap_or(0);
        self.lock_count(name).saturating_sub(used)
    }

    /// The place of a stage with the most free slots by weight, among those whose locks are all free;
    /// the first of equals, so that a file that names node 0 first fills node 0 first.
    fn best_place(&self, stage: Stage, kept: &Kept) -> Option<usize> {
        let places = self.places.iter().enumerate().filter(|(_, place)| place.stage == stage);
        let free = places.filter_map(|(index, place)| {
            let free = place.capacity.saturating_sub(self.running_at(index));
            let has_locks = place.locks.iter().all(|lock| self.free_units(lock, kept) > 0);
            let share = free as u64 * u64::from(place.weight);
            (free > 0 && has_locks).then_some((share, Reverse(index)))
        });
        free.max().map(|(_, Reverse(index))| index)
    }

    /// Keeps for a due stage one unit of each lock that one of its places could use.
    fn keep(&self, stage: Stage, kept: &mut Kept) {
        let open = self.places.iter().enumerate().filter(|(index, place)| {
            place.stage == stage && place.capacity > self.running_at(*index)
        });
        let names: BTreeSet<&String> = open.flat_map(|(_, place)| &place.locks).collect();
        for name in names {
            *kept.entry(name.clone()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
