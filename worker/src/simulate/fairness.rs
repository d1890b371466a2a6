// SPDX-License-Identifier: MIT OR Apache-2.0

//! Watches what a policy grants, and counts what is unfair or wasted in it, by the grants alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sealpipe_protocol::Stage;

use super::{policy::TaskId, site::Site};
use crate::scheduler::{Sector, Time};

/// What tasks of one stage went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How often a younger task of another stage took the last of a lock that the stage's oldest
    /// task could have used then.
    pub times: u64,
    /// The longest row of these without a task of the stage between them: what the worker's
    /// scheduler bounds.
    pub most_in_a_row: u32,
    in_a_row: u32,
    /// Tasks that began before an older one of their own stage that could have begun as well.
    pub out_of_order: u64,
}

/// The watcher.
#[derive(Debug)]
pub struct Fairness {
    site: Site,
    /// Tasks at once by place; `None` for no bound.
    capacities: Vec<Option<usize>>,
    running_at: Vec<usize>,
    held: Vec<usize>,
    running_of: BTreeMap<Stage, usize>,
    last_start: BTreeMap<Stage, Time>,
    waiting: BTreeMap<Stage, BTreeMap<TaskId, Sector>>,
    begun: BTreeSet<Sector>,
    passed: BTreeMap<Stage, Passed>,
    /// Places that are idle beside a waiting task, and since when.
    idle_since: Vec<Option<Time>>,
    idle: Vec<Duration>,
}

impl Fairness {
    /// A site where nothing runs. Places take as many tasks as `capacities` says.
    pub fn new(site: &Site, capacities: Vec<Option<usize>>) -> Self {
        let n_places = site.places.len();
        Self {
            site: site.clone(),
            capacities,
            running_at: vec![0; n_places],
            held: vec![0; site.locks.len()],
            running_of: BTreeMap::new(),
            last_start: BTreeMap::new(),
            waiting: BTreeMap::new(),
            begun: BTreeSet::new(),
            passed: BTreeMap::new(),
            idle_since: vec![None; n_places],
            idle: vec![Duration::ZERO; n_places],
        }
    }

    /// A task waits from now on.
    pub fn request(&mut self, task: TaskId, stage: Stage, sector: Sector) {
        self.waiting.entry(stage).or_default().insert(task, sector);
    }

    /// A task starts.
    pub fn start(&mut self, task: TaskId, stage: Stage, place: usize, now: Time) {
        self.count_passed(task, stage, place, now);
        let waiting = self.waiting.get_mut(&stage).and_then(|queue| queue.remove(&task));
        self.begun.extend(waiting);
        self.running_at[place] += 1;
        for lock in &self.site.places[place].locks {
            self.held[*lock] += 1;
        }
        *self.running_of.entry(stage).or_default() += 1;
        self.last_start.insert(stage, now);
    }

    /// A task ends.
    pub fn end(&mut self, stage: Stage, place: usize) {
        self.running_at[place] -= 1;
        for lock in &self.site.places[place].locks {
            self.held[*lock] -= 1;
        }
        *self.running_of.entry(stage).or_default() -= 1;
    }

    /// A sector ends.
    pub fn leave(&mut self, sector: Sector) {
        self.begun.remove(&sector);
    }

    /// All that is granted now has started: what is idle from now on beside a waiting task?
    pub fn settle(&mut self, now: Time) {
        for place in 0..self.site.places.len() {
            let stage = self.site.places[place].stage;
            let waits = self.waiting.get(&stage).is_some_and(|queue| !queue.is_empty());
            let idle = waits
                && self.is_open(place)
                && self.site.places[place].locks.iter().all(|lock| self.is_free(*lock))
                && self.oldest(stage, now).is_some();
            match (idle, self.idle_since[place]) {
                (true, None) => self.idle_since[place] = Some(now),
                (false, Some(since)) => {
                    self.idle[place] += now - since;
                    self.idle_since[place] = None;
                }
                _ => {}
            }
        }
    }

    /// What was counted, until the end.
    pub fn finish(mut self, end: Time) -> (BTreeMap<Stage, Passed>, Vec<Duration>) {
        for (idle, since) in self.idle.iter_mut().zip(&self.idle_since) {
            *idle += since.map_or(Duration::ZERO, |since| end.saturating_sub(since));
        }
        (self.passed, self.idle)
    }

    fn count_passed(&mut self, task: TaskId, stage: Stage, place: usize, now: Time) {
        let locks = &self.site.places[place].locks;
        let last: Vec<usize> = locks.iter().copied().filter(|lock| self.is_last(*lock)).collect();
        let is_passed = |other: &Stage| {
            let mut open = self.site.of_stage(*other).filter(|(place, _)| self.is_open(*place));
            *other != stage
                && self.oldest(*other, now).is_some_and(|oldest| oldest < task)
                && open.any(|(_, place)| place.locks.iter().any(|lock| last.contains(lock)))
        };
        let passed: Vec<Stage> = match last.is_empty() {
            true => Vec::new(),
            false => self.waiting.keys().copied().filter(is_passed).collect(),
        };
        for other in passed {
            let count = self.passed.entry(other).or_default();
            count.times += 1;
            count.in_a_row += 1;
            count.most_in_a_row = count.most_in_a_row.max(count.in_a_row);
        }
        let out_of_order = self.oldest(stage, now).is_some_and(|oldest| oldest < task);
        let own = self.passed.entry(stage).or_default();
        own.out_of_order += u64::from(out_of_order);
        own.in_a_row = 0;
    }

    /// The oldest task of a stage that limits, intervals and the bound on sectors let start.
    fn oldest(&self, stage: Stage, now: Time) -> Option<TaskId> {
        let limit = self.site.limit(stage);
        let running = self.running_of.get(&stage).copied().unwrap_or(0);
        let early = limit.staggered.is_some_and(|interval| {
            self.last_start.get(&stage).is_some_and(|last| last.saturating_add(interval) > now)
        });
        if early || limit.concurrent.is_some_and(|limit| running >= limit) {
            return None;
        }
        let may_begin = self.site.in_flight.is_none_or(|bound| self.begun.len() < bound);
        let queue = self.waiting.get(&stage)?;
        let mut let_through =
            queue.iter().filter(|(_, sector)| may_begin || self.begun.contains(sector));
        let_through.next().map(|(task, _)| *task)
    }

    fn is_open(&self, place: usize) -> bool {
        self.capacities[place].is_none_or(|capacity| self.running_at[place] < capacity)
    }

    fn is_free(&self, lock: usize) -> bool {
        self.site.locks[lock].units.is_none_or(|units| self.held[lock] < units)
    }

    fn is_last(&self, lock: usize) -> bool {
        self.site.locks[lock].units.is_some_and(|units| self.held[lock] + 1 >= units)
    }
}
