// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a task waits. Pure, and made from the same questions that a grant asks.

use sealpipe_protocol::Stage;

use super::{
    Disk, Kept, PlaceId, Scheduler, Sector, Ticket, Time,
    queue::Waiting,
    sectors::{Need, Obstacle},
};

/// One thing that has to change before a task runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No new task is granted at all.
    Paused,
    /// No new task of its sector is granted.
    Held,
    /// Its sector may not begin yet: so many are under way.
    InFlight {
        /// Sectors that have begun.
        sectors: usize,
        /// How many may.
        cap: usize,
    },
    /// Its sector may not begin yet: the disk is too full.
    Disk {
        /// Which disk.
        disk: Disk,
        /// What the sector will write, in bytes.
        needed: u64,
        /// What is free for it.
        free: u64,
    },
    /// Its sector may not begin yet: an older one waits for room on the same disk.
    DiskKept {
        /// Which disk.
        disk: Disk,
        /// The older one.
        sector: Option<Sector>,
    },
    /// Older tasks of its stage wait too.
    Behind {
        /// How many.
        tasks: usize,
    },
    /// As many tasks of its stage run as may.
    StageLimit {
        /// `limitation.concurrent` of the stage.
        limit: usize,
    },
    /// The task before it has started too short a time ago.
    Staggered {
        /// When it may start.
        until: Time,
    },
    /// No processor of the stage is ready.
    NoProcessor,
    /// All slots of the stage's processors are taken.
    NoSlot {
        /// All slots there are.
        slots: usize,
    },
    /// The only place with a free slot is the one where it failed, and there are others.
    Avoids {
        /// Where it failed.
        place: PlaceId,
    },
    /// A lock is held, or is 0.
    Lock {
        /// Its name.
        name: String,
        /// By whom, and since when.
        holders: Vec<(Ticket, Stage, Time)>,
    },
    /// A lock is free, and kept for a stage that was overtaken often enough.
    Kept {
        /// Its name.
        name: String,
    },
}

impl Scheduler {
    /// What a waiting task waits for; nothing for one that runs or may start at once.
    pub fn explain(&self, ticket: Ticket, now: Time) -> Vec<Reason> {
        let Some(Waiting { stage, sector, .. }) = self.waiting.get(&ticket).copied() else {
            return Vec::new();
        };
        let mut reasons = Vec::new();
        if self.paused {
            reasons.push(Reason::Paused);
        }
        let course = sector.and_then(|sector| self.sectors.get(&sector));
        if course.is_some_and(|course| course.held) {
            reasons.push(Reason::Held);
        }
        reasons.extend(self.held_back(ticket, course.and_then(|course| course.need)));
        reasons.extend(self.behind(stage, ticket));
        let limit = self.limit(stage).filter(|_| self.at_limit(stage));
        reasons.extend(limit.map(|limit| Reason::StageLimit { limit }));
        let until = self.staggered_until(stage).filter(|at| *at > now);
        reasons.extend(until.map(|until| Reason::Staggered { until }));
        reasons.extend(self.nowhere(stage, ticket, now));
        reasons
    }

    /// Why its sector may not begin.
    fn held_back(&self, ticket: Ticket, need: Option<Need>) -> Option<Reason> {
        Some(match (self.obstacle(ticket)?, need) {
            (Obstacle::Cap, _) => {
                Reason::InFlight { sectors: self.in_flight, cap: self.cap().unwrap_or(0) }
            }
            (Obstacle::Room, Some(Need { disk, bytes })) => {
                Reason::Disk { disk, needed: bytes, free: self.room(disk) }
            }
            (Obstacle::RoomOf(sector), Some(Need { disk, .. })) => {
                Reason::DiskKept { disk, sector }
            }
            (Obstacle::Room | Obstacle::RoomOf(_), None) => return None,
        })
    }

    fn behind(&self, stage: Stage, ticket: Ticket) -> Option<Reason> {
        let tasks = self.queues.get(&stage)?.before(ticket);
        let is_behind =
            tasks > 0 && self.candidates(stage).iter().all(|candidate| candidate.ticket != ticket);
        is_behind.then_some(Reason::Behind { tasks })
    }

    /// Why no place of a stage takes a task.
    fn nowhere(&self, stage: Stage, ticket: Ticket, now: Time) -> Vec<Reason> {
        let kept = self.kept_before(stage, ticket, now);
        let avoid = self.avoided(ticket);
        if self.best_place(stage, avoid, &kept).is_some() {
            return Vec::new();
        }
        let slots = self.sites_of(stage).map(|(_, site)| site.place.capacity).sum();
        if slots == 0 {
            return vec![Reason::NoProcessor];
        }
        let open = || self.open(stage, avoid).map(|(_, site)| site);
        let mut reasons = Vec::new();
        if open().next().is_none() {
            reasons.push(Reason::NoSlot { slots });
        }
        let mut names: Vec<&String> = open().flat_map(|site| &site.place.locks).collect();
        names.sort();
        names.dedup();
        reasons.extend(names.into_iter().filter_map(|name| self.taken(name, &kept)));
        let is_avoided = |place: &PlaceId| self.open(stage, None).any(|(id, _)| id == *place);
        reasons.extend(avoid.filter(is_avoided).map(|place| Reason::Avoids { place }));
        reasons
    }

    fn taken(&self, name: &str, kept: &Kept) -> Option<Reason> {
        if self.free_units(name, &Kept::new()) == 0 {
            let holds = |locks: &Vec<String>| locks.iter().any(|lock| lock == name);
            let holders = self.running.iter().filter(|(_, running)| holds(&running.locks));
            let holders = holders.map(|(ticket, r)| (*ticket, r.stage, r.since)).collect();
            return Some(Reason::Lock { name: name.to_owned(), holders });
        }
        let is_kept = self.free_units(name, kept) == 0;
        is_kept.then(|| Reason::Kept { name: name.to_owned() })
    }

    /// What due tasks keep before it is a task's turn, or that of the oldest one before it.
    fn kept_before(&self, stage: Stage, ticket: Ticket, now: Time) -> Kept {
        let order = self.in_order(now);
        let own = order.iter().position(|other| other.ticket == ticket);
        let turn = own.or_else(|| order.iter().position(|other| other.stage == stage));
        let mut kept = Kept::new();
        for due in order.iter().take(turn.unwrap_or(order.len())).filter(|other| other.is_due) {
            self.keep(due, &mut kept);
        }
        kept
    }
}
