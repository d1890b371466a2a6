// SPDX-License-Identifier: MIT OR Apache-2.0

//! Places that come, change and go, the tasks that run there, and the locks that these hold.

use std::{cmp::Reverse, collections::BTreeMap};

use sealpipe_protocol::Stage;

use super::{Cap, Kept, Place, Rules, Scheduler, Sector, Ticket, Time};

/// A place. No other one ever has the same id, not even after this one is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlaceId(u64);

impl PlaceId {
    /// How many places the scheduler had been given before it.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A task that runs. What it holds is its own: its place may change meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Running {
    /// Where.
    pub place: PlaceId,
    /// Of which stage.
    pub stage: Stage,
    /// Of which sector.
    pub sector: Option<Sector>,
    /// Since when.
    pub since: Time,
    /// The locks that it took when it began.
    pub locks: Vec<String>,
}

/// A place with what is going on there.
#[derive(Debug)]
pub(super) struct Site {
    pub place: Place,
    /// Tasks that run there.
    running: usize,
    /// Slots when they were last known; 1 before.
    slots: usize,
    retired: bool,
}

impl Site {
    /// Slots that a task could take.
    pub fn free(&self) -> usize {
        self.place.capacity.saturating_sub(self.running)
    }
}

impl Scheduler {
    /// Adds a place.
    pub fn add_place(&mut self, place: Place) -> PlaceId {
        let id = PlaceId(self.next_place);
        self.next_place += 1;
        let slots = place.capacity.max(1);
        self.sites.insert(id, Site { place, running: 0, slots, retired: false });
        self.count_slots();
        id
    }

    /// Gives a place no task any more. It is forgotten when the last of its tasks is released.
    pub fn retire_place(&mut self, id: PlaceId) {
        if let Some(site) = self.sites.get_mut(&id) {
            site.retired = true;
            if site.running == 0 {
                self.sites.remove(&id);
            }
        }
        self.count_slots();
    }

    /// Whether a place is there, retired or not.
    pub fn has_place(&self, id: PlaceId) -> bool {
        self.sites.contains_key(&id)
    }

    /// Changes a place; its stage stays. Tasks that run there keep the locks that they hold.
    pub fn update_place(&mut self, id: PlaceId, change: impl FnOnce(&mut Place)) {
        if let Some(site) = self.sites.get_mut(&id) {
            let stage = site.place.stage;
            change(&mut site.place);
            site.place.stage = stage;
            if site.place.capacity > 0 {
                site.slots = site.place.capacity;
            }
        }
        self.count_slots();
    }

    /// Says how many tasks a place takes from now on; 0 while its process is not there. Those that run
    /// go on.
    pub fn set_capacity(&mut self, id: PlaceId, capacity: usize) {
        if self.sites.get(&id).is_some_and(|site| site.place.capacity != capacity) {
            self.update_place(id, |place| place.capacity = capacity);
        }
    }

    /// Sets limits, locks, policy and cap. A limit or a lock that is lower than what runs or is held
    /// grants no more until it is not.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
        self.count_slots();
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Sectors that may have begun and not ended; `None` for no bound.
    pub fn cap(&self) -> Option<usize> {
        match self.rules.sectors_in_flight {
            Cap::Auto => Some((2 * self.slots).max(1)),
            Cap::AtMost(most) => Some(most),
            Cap::Unbounded => None,
        }
    }

    /// The tasks that run.
    pub fn running(&self) -> impl Iterator<Item = (Ticket, &Running)> {
        self.running.iter().map(|(ticket, running)| (*ticket, running))
    }

    /// Tasks of a stage that run.
    pub fn running_of(&self, stage: Stage) -> usize {
        self.running_of.get(&stage).copied().unwrap_or(0)
    }

    /// How many tasks may hold a lock at once.
    pub fn lock_count(&self, name: &str) -> usize {
        self.rules.locks.get(name).copied().unwrap_or(1)
    }

    /// Counts the tasks that can run at once, for [`Cap::Auto`].
    fn count_slots(&mut self) {
        let mut by_stage = BTreeMap::<Stage, usize>::new();
        for site in self.sites.values().filter(|site| !site.retired && site.place.is_counted) {
            let slots = by_stage.entry(site.place.stage).or_default();
            *slots = slots.saturating_add(site.slots);
        }
        let at_once = by_stage.into_iter().map(|(stage, slots)| {
            let limit = self.rules.limits.get(&stage).and_then(|limit| limit.concurrent);
            limit.map_or(slots, |limit| limit.min(slots))
        });
        self.slots = at_once.fold(0_usize, usize::saturating_add).min(usize::MAX / 2);
    }

    /// The places of a stage that are not retired.
    pub(super) fn sites_of(&self, stage: Stage) -> impl Iterator<Item = (PlaceId, &Site)> {
        let sites = self.sites.iter().map(|(id, site)| (*id, site));
        sites.filter(move |(_, site)| site.place.stage == stage && !site.retired)
    }

    /// The places of a stage with a free slot, but for one to avoid.
    pub(super) fn open(
        &self,
        stage: Stage,
        avoid: Option<PlaceId>,
    ) -> impl Iterator<Item = (PlaceId, &Site)> {
        self.sites_of(stage).filter(move |(id, site)| Some(*id) != avoid && site.free() > 0)
    }

    /// The [open](Self::open) places of a stage that can take tasks at all: for a place that is switched
    /// off by a lock of 0 nobody is passed, and nothing is kept.
    pub(super) fn usable(
        &self,
        stage: Stage,
        avoid: Option<PlaceId>,
    ) -> impl Iterator<Item = (PlaceId, &Site)> {
        self.open(stage, avoid).filter(|(_, site)| self.is_healthy(site))
    }

    /// Whether a place can take tasks at all.
    pub(super) fn is_healthy(&self, site: &Site) -> bool {
        site.place.capacity > 0 && site.place.locks.iter().all(|lock| self.lock_count(lock) > 0)
    }

    /// The place of a stage with the most free slots by weight, among those whose locks are all free;
    /// the first of equals, so that a file that names node 0 first fills node 0 first.
    pub(super) fn best_place(
        &self,
        stage: Stage,
        avoid: Option<PlaceId>,
        kept: &Kept,
    ) -> Option<PlaceId> {
        let free = self.open(stage, avoid).filter(|(_, site)| {
            site.place.locks.iter().all(|lock| self.free_units(lock, kept) > 0)
        });
        let best = free.max_by_key(|(id, site)| {
            let share = site.free() as u128 * u128::from(site.place.weight);
            (share, Reverse((site.place.rank, *id)))
        });
        best.map(|(id, _)| id)
    }

    /// Units of a lock that nobody holds and no due stage keeps.
    pub(super) fn free_units(&self, name: &str, kept: &Kept) -> usize {
        let held = self.held.get(name).copied().unwrap_or(0);
        let kept = kept.get(name).copied().unwrap_or(0);
        self.lock_count(name).saturating_sub(held + kept)
    }

    /// Puts a task at a place, with all of its locks.
    pub(super) fn occupy(
        &mut self,
        ticket: Ticket,
        place: PlaceId,
        sector: Option<Sector>,
        now: Time,
    ) {
        let Some(site) = self.sites.get_mut(&place) else { return };
        site.running += 1;
        let stage = site.place.stage;
        let locks: Vec<String> = site.place.locks.iter().cloned().collect();
        for lock in &locks {
            *self.held.entry(lock.clone()).or_default() += 1;
        }
        *self.running_of.entry(stage).or_default() += 1;
        self.running.insert(ticket, Running { place, stage, sector, since: now, locks });
    }

    /// Takes a task away from its place; false for one that runs nowhere.
    pub(super) fn vacate(&mut self, ticket: Ticket) -> bool {
        let Some(running) = self.running.remove(&ticket) else { return false };
        for lock in &running.locks {
            if let Some(held) = self.held.get_mut(lock) {
                *held -= 1;
            }
        }
        self.held.retain(|_, held| *held > 0);
        if let Some(count) = self.running_of.get_mut(&running.stage) {
            *count -= 1;
        }
        if let Some(site) = self.sites.get_mut(&running.place) {
            site.running -= 1;
            if site.retired && site.running == 0 {
                self.sites.remove(&running.place);
            }
        }
        true
    }
}
