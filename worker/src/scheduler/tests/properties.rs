// SPDX-License-Identifier: MIT OR Apache-2.0

//! What holds in every state: random rules, and random walks through requests, ends, processes that
//! come and go, other configurations, full disks, and people who hold and pause. Everything is
//! counted here a second time, from the grants alone.

mod model;

use self::model::{LOCKS, Model, STAGES, Task};
use super::*;
use crate::simulate::Random;

/// Walks, each with rules of its own.
const WALKS: u64 = 100;
/// Steps of a walk.
const STEPS: usize = 200;
/// Disks that sectors need room on.
const DISKS: usize = 2;

fn one_in(random: &mut Random, n: usize) -> bool {
    random.below(n) == 0
}

fn random_place(random: &mut Random, stage: Stage) -> Place {
    let mut locks = LOCKS.map(str::to_owned).to_vec();
    locks.retain(|_| one_in(random, 3));
    let (capacity, weight) = (1 + random.below(3), 1 + random.below(3) as u32);
    let (rank, is_counted) = (random.below(9), random.below(4) > 0);
    Place { stage, rank, capacity, locks: locks.into_iter().collect(), weight, is_counted }
}

/// Rules under which every stage can run.
fn random_rules(random: &mut Random) -> Rules {
    let limits = STAGES.map(|stage| {
        let concurrent = one_in(random, 2).then(|| 1 + random.below(3));
        let staggered = one_in(random, 4).then(|| Duration::from_secs(3));
        (stage, StageLimit { concurrent, staggered })
    });
    let policy = match random.below(4) {
        0 => Policy::Fifo,
        n => Policy::LaterFirst { overtakes: n as u32 - 1 },
    };
    Rules {
        limits: limits.into(),
        locks: LOCKS.map(|name| (name.to_owned(), 1 + random.below(2))).into(),
        policy,
        sectors_in_flight: match random.below(3) {
            0 => Cap::AtMost(1 + random.below(5)),
            1 => Cap::Auto,
            _ => Cap::Unbounded,
        },
    }
}

struct Walk {
    model: Model,
    scheduler: Scheduler,
    sectors: Sector,
}

impl Walk {
    fn new(random: &mut Random) -> Self {
        let rules = random_rules(random);
        let scheduler = Scheduler::new(rules.clone(), Vec::new());
        let mut walk = Self { model: Model::new(rules), scheduler, sectors: 0 };
        // One place of each stage at least, so that no stage waits for ever.
        let stages = STAGES.into_iter().chain((0..3).map(|_| STAGES[random.below(4)]));
        for stage in stages.collect::<Vec<_>>() {
            walk.add_place(random_place(random, stage));
        }
        walk
    }

    fn add_place(&mut self, place: Place) {
        let id = self.scheduler.add_place(place.clone());
        self.model.add_place(id, place);
    }

    fn set_capacity(&mut self, place: PlaceId, capacity: usize) {
        self.scheduler.set_capacity(place, capacity);
        self.model.change_place(place, |place| place.capacity = capacity);
    }

    fn set_rules(&mut self, rules: Rules) {
        self.scheduler.set_rules(rules.clone());
        self.model.rules = rules;
    }

    fn set_room(&mut self, disk: Disk, bytes: u64) {
        self.scheduler.set_room(disk, bytes);
        self.model.rooms.insert(disk, bytes);
    }

    fn request(&mut self, stage: Stage, sector: Option<Sector>, avoid: Option<PlaceId>) {
        let ticket = self.scheduler.request(stage, sector, avoid);
        self.model.waiting.push(Task { ticket, stage, sector, avoid });
    }

    fn begin_sector(&mut self, random: &mut Random) {
        self.sectors += 1;
        let disk = random.below(DISKS + 1) as Disk;
        let bytes = 1 + random.below(3) as u64;
        let need = (disk > 0).then_some(Need { disk, bytes });
        self.scheduler.enroll(self.sectors, need);
        self.model.needs.extend(need.map(|need| (self.sectors, need)));
        // Some of them were under way before the worker was started again.
        let stage = STAGES[random.below(2)];
        self.request(stage, Some(self.sectors), None);
    }

    fn settle(&mut self) {
        let (grants, wake) = self.scheduler.grants(self.model.now);
        grants.into_iter().for_each(|grant| self.model.take(grant));
        let again = self.scheduler.grants(self.model.now);
        assert_eq!(again, (vec![], wake), "asking twice changes nothing");
        // The oldest ones: those behind them wait for the same and for them.
        for task in self.model.waiting.iter().take(4) {
            let why = self.scheduler.explain(task.ticket, self.model.now);
            assert!(!why.is_empty(), "it waits for nothing");
        }
        self.model.check_nothing_is_idle(&self.scheduler);
        for (place, is_there) in self.model.known_places() {
            assert_eq!(self.scheduler.has_place(place), is_there, "{place:?}");
        }
        assert_eq!(self.scheduler.in_flight(), self.model.begun.len());
        assert_eq!(self.scheduler.cap(), self.model.cap());
    }

    fn end(&mut self, index: usize) -> (Task, PlaceId) {
        let (task, place) = self.model.end(index);
        self.scheduler.release(task.ticket);
        (task, place)
    }

    /// A task ends: its sector goes on, or leaves, or the task is tried again.
    fn end_one(&mut self, random: &mut Random) {
        let (task, place) = self.end(random.below(self.model.running.len()));
        if one_in(random, 5) {
            let avoid = one_in(random, 2).then_some(place);
            return self.request(task.stage, task.sector, avoid);
        }
        let Some(sector) = task.sector else { return };
        let next = STAGES.iter().position(|stage| *stage == task.stage).map_or(4, |i| i + 1);
        match STAGES.get(next) {
            Some(stage) => self.request(*stage, Some(sector), None),
            None => self.leave(sector),
        }
    }

    fn leave(&mut self, sector: Sector) {
        self.model.leave(sector);
        self.scheduler.leave(sector);
    }

    /// Somebody gives up waiting, and with it the sector.
    fn withdraw(&mut self, random: &mut Random) {
        let task = self.model.withdraw(random.below(self.model.waiting.len()));
        self.scheduler.release(task.ticket);
        if let Some(sector) = task.sector {
            self.leave(sector);
        }
    }

    /// A process dies, and its tasks wait again; or one comes back.
    fn kill_or_revive(&mut self, random: &mut Random) {
        let Some(place) = self.model.any_place(random.below(99)) else { return };
        let is_dead = self.model.capacity(place) == 0;
        self.set_capacity(place, if is_dead { 2 } else { 0 });
        while let Some(index) = self.model.running.iter().position(|(_, r)| r.place == place) {
            let (task, place) = self.end(index);
            self.request(task.stage, task.sector, Some(place));
        }
    }

    /// The configuration changes.
    fn reload(&mut self, random: &mut Random) {
        let place = self.model.any_place(random.below(99));
        match (random.below(4), place) {
            (0, Some(place)) => {
                // Another process takes over.
                self.add_place(random_place(random, self.model.stage(place)));
                self.scheduler.retire_place(place);
                self.model.retire(place);
            }
            (1, Some(place)) => {
                let new = random_place(random, self.model.stage(place));
                let Place { rank, locks, weight, .. } = new;
                let change = |old: &mut Place| {
                    (old.rank, old.locks, old.weight) = (rank, locks.clone(), weight);
                };
                self.scheduler.update_place(place, change);
                self.model.change_place(place, change);
            }
            (2, _) => {
                let stage = STAGES[random.below(4)];
                self.add_place(random_place(random, stage));
            }
            _ => self.set_rules(random_rules(random)),
        }
    }

    fn meddle(&mut self, random: &mut Random) {
        match random.below(4) {
            0 if self.sectors > 0 => {
                let sector = 1 + random.below(self.sectors as usize) as Sector;
                match self.model.held.insert(sector) {
                    true => self.scheduler.hold(sector),
                    false => {
                        self.model.held.remove(&sector);
                        self.scheduler.unhold(sector);
                    }
                }
                self.model.forget_held_of_the_unknown();
            }
            1 if one_in(random, 3) => {
                self.model.paused = !self.model.paused;
                match self.model.paused {
                    true => self.scheduler.pause(),
                    false => self.scheduler.resume(),
                }
            }
            2 if !self.model.waiting.is_empty() => self.withdraw(random),
            _ => self.set_room(1 + random.below(DISKS) as Disk, random.below(6) as u64),
        }
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(8) {
            0 | 1 => self.begin_sector(random),
            2 => self.request(STAGES[random.below(4)], None, None),
            3 | 4 if !self.model.running.is_empty() => self.end_one(random),
            5 if one_in(random, 3) => self.kill_or_revive(random),
            6 if one_in(random, 2) => self.reload(random),
            7 => self.meddle(random),
            _ => self.model.now += Duration::from_secs(1),
        }
    }

    /// With all processes there, nobody held, and tasks that end, everything is served.
    fn drain(&mut self, random: &mut Random) {
        for (place, _) in self.model.known_places() {
            self.set_capacity(place, self.model.capacity(place).max(1));
        }
        self.model.paused = false;
        self.scheduler.resume();
        for sector in std::mem::take(&mut self.model.held) {
            self.scheduler.unhold(sector);
        }
        let bound = 100 * (self.model.waiting.len() + self.model.running.len() + 1);
        for _ in 0..bound {
            (1..=DISKS as Disk).for_each(|disk| self.set_room(disk, 3));
            self.settle();
            self.model.now += Duration::from_secs(1);
            if !self.model.running.is_empty() {
                self.end_one(random);
            }
        }
        let Model { waiting, running, .. } = &self.model;
        assert!(waiting.is_empty() && running.is_empty(), "somebody is never served");
    }
}

#[test]
fn random_walks_keep_all_promises() {
    for seed in 0..WALKS {
        let mut random = Random::new(seed, &[]);
        let mut walk = Walk::new(&mut random);
        for _ in 0..STEPS {
            walk.step(&mut random);
            walk.settle();
        }
        walk.drain(&mut random);
    }
}
