// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which waiting task runs where, and when: slots, limits, locks and fairness.
//!
//! Pure: it does no I/O, starts nothing, and time is an argument. Tasks are served in the order in
//! which they came. A task takes its slot and all of its locks at once or none of them, so that
//! locks named in another order cannot deadlock; and what an older task waits for, a younger one of
//! another stage does not take, so that nobody starves.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use sealpipe_protocol::Stage;

/// Bounds on one stage, over all of its processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StageLimit {
    /// Tasks at a time; `None` for no bound, 0 for never.
    pub concurrent: Option<usize>,
    /// A task starts no sooner than so long after the one before it.
    pub staggered: Option<Duration>,
}

/// A place where tasks run: one entry of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The stage that it serves.
    pub stage: Stage,
    /// Tasks at a time; 0 while its process is not there.
    pub capacity: usize,
    /// The locks that each of its tasks holds.
    pub locks: BTreeSet<String>,
}

/// A task that waits.
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

/// The state of all places, locks and waiting tasks.
#[derive(Debug, Default)]
pub struct Scheduler {
    limits: BTreeMap<Stage, StageLimit>,
    lock_counts: BTreeMap<String, usize>,
    places: Vec<Place>,
    running: BTreeMap<Ticket, usize>,
    waiting: BTreeMap<Ticket, Stage>,
    started: BTreeMap<Stage, Instant>,
    next: u64,
}

impl Scheduler {
    /// A scheduler. A lock that `lock_counts` does not name is never free.
    pub fn new(
        limits: BTreeMap<Stage, StageLimit>,
        lock_counts: BTreeMap<String, usize>,
        places: Vec<Place>,
    ) -> Self {
        Self { limits, lock_counts, places, ..Self::default() }
    }

    /// Adds a task at the end of the queue.
    pub fn request(&mut self, stage: Stage) -> Ticket {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.waiting.insert(ticket, stage);
        ticket
    }

    /// Forgets a task: one that waits, or one that runs and has ended.
    pub fn release(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.running.remove(&ticket);
    }

    /// Whether the limits forbid a stage for ever: the keys that say so.
    pub fn forbidden(&self, stage: Stage) -> Option<String> {
        let limit = self.limits.get(&stage).and_then(|limit| limit.concurrent);
        if limit == Some(0) {
            return Some(format!("`limitation.concurrent.{stage}` is 0"));
        }
        let is_never = |place: &Place| {
            place.locks.iter().any(|lock| self.lock_counts.get(lock).is_none_or(|n| *n == 0))
        };
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
    pub fn grants(&mut self, now: Instant) -> (Vec<Grant>, Option<Instant>) {
        let mut grants = Vec::new();
        let mut wake: Option<Instant> = None;
        // Locks that an older task of another stage waits for.
        let mut claimed: BTreeMap<String, Stage> = BTreeMap::new();
        let waiting: Vec<_> = self.waiting.iter().map(|(t, s)| (*t, *s)).collect();
        for (ticket, stage) in waiting {
            if self.at_limit(stage) {
                continue;
            }
            if let Some(at) = self.staggered_until(stage).filter(|at| *at > now) {
                wake = Some(wake.map_or(at, |w| w.min(at)));
                continue;
            }
            match self.best_place(stage, &claimed) {
                Some(place) => {
                    self.waiting.remove(&ticket);
                    self.running.insert(ticket, place);
                    self.started.insert(stage, now);
                    grants.push(Grant { ticket, place });
                }
                None => self.claim(stage, &mut claimed),
            }
        }
        (grants, wake)
    }

    fn running_at(&self, place: usize) -> usize {
        self.running.values().filter(|p| **p == place).count()
    }

    fn at_limit(&self, stage: Stage) -> bool {
        let limit = self.limits.get(&stage).and_then(|limit| limit.concurrent);
        let running = self.running.values().filter(|p| self.places[**p].stage == stage).count();
        limit.is_some_and(|limit| running >= limit)
    }

    fn staggered_until(&self, stage: Stage) -> Option<Instant> {
        let interval = self.limits.get(&stage)?.staggered?;
        self.started.get(&stage)?.checked_add(interval)
    }

    fn lock_is_free(&self, name: &str) -> bool {
        let holders = self.running.values().filter(|p| self.places[**p].locks.contains(name));
        holders.count() < self.lock_counts.get(name).copied().unwrap_or(0)
    }

    /// The place of a stage with the most free slots, among those whose locks are all free; the
    /// first of equals, so that a file that names node 0 first fills node 0 first.
    fn best_place(&self, stage: Stage, claimed: &BTreeMap<String, Stage>) -> Option<usize> {
        let usable = |lock: &String| {
            self.lock_is_free(lock) && claimed.get(lock).is_none_or(|owner| *owner == stage)
        };
        let places = self.places.iter().enumerate().filter(|(_, place)| place.stage == stage);
        let free = places.filter_map(|(index, place)| {
            let free = place.capacity.saturating_sub(self.running_at(index));
            (free > 0 && place.locks.iter().all(usable)).then_some((free, index))
        });
        free.max_by_key(|(free, index)| (*free, std::cmp::Reverse(*index))).map(|(_, index)| index)
    }

    /// Claims the locks of a task that could run but for them.
    fn claim(&self, stage: Stage, claimed: &mut BTreeMap<String, Stage>) {
        for (index, place) in self.places.iter().enumerate() {
            if place.stage == stage && place.capacity > self.running_at(index) {
                for lock in &place.locks {
                    claimed.entry(lock.clone()).or_insert(stage);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
