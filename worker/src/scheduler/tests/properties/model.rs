// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a walk knows of the world by itself, and what it therefore expects of each grant.

use super::super::*;

pub const STAGES: [Stage; 4] = [Stage::Pc1, Stage::Pc2, Stage::C1, Stage::C2];
pub const LOCKS: [&str; 3] = ["a", "b", "c"];

/// A task as the walk knows it.
#[derive(Clone, Debug)]
pub struct Task {
    pub ticket: Ticket,
    pub stage: Stage,
    pub sector: Option<Sector>,
    pub avoid: Option<PlaceId>,
}

/// Where a task runs, and what it took when it began.
#[derive(Debug)]
pub struct Runs {
    pub place: PlaceId,
    locks: BTreeSet<String>,
}

struct Known {
    place: Place,
    slots: usize,
    is_retired: bool,
}

/// The world without the scheduler.
pub struct Model {
    pub rules: Rules,
    pub now: Time,
    pub paused: bool,
    pub held: BTreeSet<Sector>,
    pub rooms: BTreeMap<Disk, u64>,
    pub needs: BTreeMap<Sector, Need>,
    pub waiting: Vec<Task>,
    pub running: Vec<(Task, Runs)>,
    pub begun: BTreeSet<Sector>,
    places: BTreeMap<PlaceId, Known>,
    /// How often older tasks of a stage were deprived of a lock since the stage's last grant.
    deprived: BTreeMap<Stage, u32>,
    last_start: BTreeMap<Stage, Time>,
}

impl Model {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: Time::ZERO,
            paused: false,
            held: BTreeSet::new(),
            rooms: BTreeMap::new(),
            needs: BTreeMap::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            begun: BTreeSet::new(),
            places: BTreeMap::new(),
            deprived: BTreeMap::new(),
            last_start: BTreeMap::new(),
        }
    }

    pub fn add_place(&mut self, id: PlaceId, place: Place) {
        let known = Known { slots: place.capacity.max(1), place, is_retired: false };
        assert!(self.places.insert(id, known).is_none(), "{id:?} is used twice");
    }

    pub fn change_place(&mut self, id: PlaceId, change: impl FnOnce(&mut Place)) {
        let known = self.places.get_mut(&id).unwrap();
        change(&mut known.place);
        if known.place.capacity > 0 {
            known.slots = known.place.capacity;
        }
    }

    pub fn retire(&mut self, id: PlaceId) {
        self.places.get_mut(&id).unwrap().is_retired = true;
    }

    /// Some place that is not retired.
    pub fn any_place(&self, n: usize) -> Option<PlaceId> {
        let places: Vec<_> = self.places.iter().filter(|(_, known)| !known.is_retired).collect();
        places.get(n % places.len().max(1)).map(|(id, _)| **id)
    }

    /// All places so far, and whether they are still there: retired ones as long as a task runs there.
    pub fn known_places(&self) -> Vec<(PlaceId, bool)> {
        let is_there = |(id, known): (&PlaceId, &Known)| {
            (*id, !known.is_retired || self.running.iter().any(|(_, runs)| runs.place == *id))
        };
        self.places.iter().map(is_there).collect()
    }

    pub fn capacity(&self, place: PlaceId) -> usize {
        self.places[&place].place.capacity
    }

    pub fn stage(&self, place: PlaceId) -> Stage {
        self.places[&place].place.stage
    }

    pub fn cap(&self) -> Option<usize> {
        let slots = |stage: &Stage| {
            let counted = self.places.values().filter(|known| {
                known.place.stage == *stage && known.place.is_counted && !known.is_retired
            });
            let slots = counted.map(|known| known.slots).sum::<usize>();
            slots.min(self.rules.limits[stage].concurrent.unwrap_or(usize::MAX))
        };
        match self.rules.sectors_in_flight {
            Cap::Auto => Some((2 * STAGES.iter().map(slots).sum::<usize>()).max(1)),
            Cap::AtMost(n) => Some(n),
            Cap::Unbounded => None,
        }
    }

    pub fn end(&mut self, index: usize) -> (Task, PlaceId) {
        let (task, runs) = self.running.swap_remove(index);
        (task, runs.place)
    }

    pub fn withdraw(&mut self, index: usize) -> Task {
        let task = self.waiting.remove(index);
        if self.waiting.iter().all(|other| other.stage != task.stage) {
            self.deprived.remove(&task.stage);
        }
        task
    }

    pub fn leave(&mut self, sector: Sector) {
        self.begun.remove(&sector);
        self.needs.remove(&sector);
        self.held.remove(&sector);
    }

    /// A sector that has left, or has no task, is not known to be held.
    pub fn forget_held_of_the_unknown(&mut self) {
        let tasks = self.waiting.iter().chain(self.running.iter().map(|(task, _)| task));
        let known: BTreeSet<Sector> = tasks.filter_map(|task| task.sector).collect();
        self.held.retain(|sector| known.contains(sector));
    }

    fn n_at(&self, place: PlaceId) -> usize {
        self.running.iter().filter(|(_, runs)| runs.place == place).count()
    }

    fn n_held(&self, lock: &str) -> usize {
        self.running.iter().filter(|(_, runs)| runs.locks.contains(lock)).count()
    }

    fn n_free(&self, lock: &str) -> usize {
        self.rules.locks[lock].saturating_sub(self.n_held(lock))
    }

    /// Whether a waiting task may start, as far as places and locks allow.
    fn may_start(&self, task: &Task) -> bool {
        let limit = self.rules.limits[&task.stage];
        let running = self.running.iter().filter(|(other, _)| other.stage == task.stage).count();
        let is_early = limit.staggered.is_some_and(|interval| {
            self.last_start.get(&task.stage).is_some_and(|last| *last + interval > self.now)
        });
        !self.paused
            && limit.concurrent.is_none_or(|limit| running < limit)
            && !is_early
            && task.sector.is_none_or(|sector| self.lets_through(sector, task))
    }

    /// Whether a sector is not held, and has begun or may begin.
    fn lets_through(&self, sector: Sector, task: &Task) -> bool {
        if self.held.contains(&sector) || self.begun.contains(&sector) {
            return !self.held.contains(&sector);
        }
        if self.cap().is_some_and(|cap| self.begun.len() >= cap) {
            return false;
        }
        let older = self.fresh_on(self.needs.get(&sector).map(|need| need.disk));
        let mut older = older.filter(|other| other.ticket < task.ticket);
        if self.needs.contains_key(&sector) && !self.fits(sector) {
            return false;
        }
        // Of its stage it is the first on this disk, and the first ones of others fit.
        let mut seen = BTreeSet::new();
        older.all(|other| {
            other.stage != task.stage
                && (!seen.insert(other.stage) || other.sector.is_none_or(|s| self.fits(s)))
        })
    }

    fn fits(&self, sector: Sector) -> bool {
        let room = |disk| self.rooms.get(&disk).copied().unwrap_or(0);
        self.needs.get(&sector).is_none_or(|need| room(need.disk) >= need.bytes)
    }

    /// Waiting tasks of sectors that have not begun, on a disk or on none.
    fn fresh_on(&self, disk: Option<Disk>) -> impl Iterator<Item = &Task> {
        self.waiting.iter().filter(move |task| {
            task.sector.is_some_and(|sector| {
                !self.begun.contains(&sector)
                    && !self.held.contains(&sector)
                    && self.needs.get(&sector).map(|need| need.disk) == disk
            })
        })
    }

    /// The place that a task avoids, if another one is healthy.
    fn avoided(&self, task: &Task) -> Option<PlaceId> {
        let is_other = |(id, known): (&PlaceId, &Known)| {
            let place = &known.place;
            Some(*id) != task.avoid
                && place.stage == task.stage
                && !known.is_retired
                && place.capacity > 0
        };
        task.avoid.filter(|_| self.places.iter().any(is_other))
    }

    /// Places with a free slot that a task could take.
    fn open(&self, task: &Task) -> impl Iterator<Item = (PlaceId, &Place)> {
        let (stage, avoid) = (task.stage, self.avoided(task));
        let open = self.places.iter().filter(move |(id, known)| {
            known.place.stage == stage
                && !known.is_retired
                && Some(**id) != avoid
                && known.place.capacity > self.n_at(**id)
        });
        open.map(|(id, known)| (*id, &known.place))
    }

    /// Expects a grant to be right, and remembers it.
    pub fn take(&mut self, grant: Grant) {
        let index = self.waiting.iter().position(|task| task.ticket == grant.ticket);
        let task = self.waiting[index.expect("only what waits is granted")].clone();
        assert!(self.may_start(&task), "limits, holds, cap and room let it through");
        let mut open = self.open(&task);
        let (_, place) = open.find(|(id, _)| *id == grant.place).expect("a slot is free");
        for lock in &place.locks {
            assert!(self.n_free(lock) > 0, "a lock is free");
        }
        let before = self.waiting.iter().filter(|other| {
            other.stage == task.stage
                && other.ticket < task.ticket
                && self.may_start(other)
                && self.open(other).any(|(id, _)| id == grant.place)
        });
        assert_eq!(before.count(), 0, "a stage is served in order");
        let locks = place.locks.clone();
        drop(open);
        self.deprive(&task, &locks);
        self.waiting.remove(index.unwrap_or(0));
        self.last_start.insert(task.stage, self.now);
        self.deprived.remove(&task.stage);
        if let Some(sector) = task.sector
            && self.begun.insert(sector)
            && let Some(need) = self.needs.get(&sector)
        {
            *self.rooms.get_mut(&need.disk).unwrap() -= need.bytes;
        }
        self.running.push((task, Runs { place: grant.place, locks }));
    }

    fn deprive(&mut self, task: &Task, locks: &BTreeSet<String>) {
        let taken: Vec<&String> = locks.iter().filter(|lock| self.n_free(lock) == 1).collect();
        let loses = |other: &&Task| {
            other.stage != task.stage
                && other.ticket < task.ticket
                && self.is_candidate(other)
                && self.open(other).any(|(_, p)| p.locks.iter().any(|lock| taken.contains(&lock)))
        };
        let losing: BTreeSet<Stage> =
            self.waiting.iter().filter(loses).map(|other| other.stage).collect();
        for stage in losing {
            let times = self.deprived.entry(stage).or_default();
            *times += 1;
            let bound = self.rules.policy.overtakes();
            assert!(*times <= bound, "{stage} is overtaken {times} times of {bound}");
        }
    }

    /// Whether a task may start, and no older one of its stage takes any place.
    fn is_candidate(&self, task: &Task) -> bool {
        let mut older = self.waiting.iter().filter(|other| {
            other.stage == task.stage && other.ticket < task.ticket && self.may_start(other)
        });
        self.may_start(task)
            && older.all(|other| {
                let avoid = self.avoided(other);
                avoid.is_some() && avoid != self.avoided(task)
            })
    }

    /// No slot is idle beside a task that could have it, unless a due stage keeps a lock for itself.
    pub fn check_nothing_is_idle(&self, scheduler: &Scheduler) {
        for task in self.waiting.iter().filter(|task| self.may_start(task)) {
            let free = |place: &Place| place.locks.iter().all(|lock| self.n_free(lock) > 0);
            let Some((_, idle)) = self.open(task).find(|(_, place)| free(place)) else { continue };
            let bound = self.rules.policy.overtakes();
            let may_keep = |other: &&Task| {
                self.deprived.get(&other.stage).copied().unwrap_or(0) >= bound
                    && other.ticket != task.ticket
                    && self.is_candidate(other)
            };
            assert!(
                !idle.locks.is_empty() && self.waiting.iter().any(|other| may_keep(&other)),
                "{task:?} waits beside an idle place: {:?}",
                scheduler.explain(task.ticket, self.now)
            );
            if self.is_candidate(task) {
                let why = scheduler.explain(task.ticket, self.now);
                assert!(why.iter().any(|why| matches!(why, Reason::Kept { .. })), "{why:?}");
            }
        }
    }
}
