// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a task waits. Pure, and made from the same questions that a grant asks.

use sealpipe_protocol::Stage;

use super::{Kept, Scheduler, Sector, Ticket, Time};

/// One thing that has to change before a task runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Older tasks of its stage wait too.
    Behind {
        /// How many.
        tasks: usize,
    },
    /// Its sector may not begin yet.
    InFlight {
        /// Sectors that have begun.
        sectors: usize,
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
    /// A lock is held.
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
        let queues = self.waiting.iter();
        let found = queues.filter_map(|(stage, queue)| Some((*stage, *queue.get(&ticket)?))).next();
        let Some((stage, sector)) = found else { return Vec::new() };
        let mut reasons = Vec::new();
        reasons.extend(self.behind(stage, ticket));
        reasons.extend(self.held_back(sector));
        let limit = self.rules.limits.get(&stage).and_then(|limit| limit.concurrent);
        reasons.extend(
            limit.filter(|_| self.at_limit(stage)).map(|limit| Reason::StageLimit { limit }),
        );
        let until = self.staggered_until(stage).filter(|at| *at > now);
        reasons.extend(until.map(|until| Reason::Staggered { until }));
        reasons.extend(self.nowhere(stage));
        reasons
    }

    fn behind(&self, stage: Stage, ticket: Ticket) -> Option<Reason> {
        let queue = self.waiting.get(&stage)?;
        let tasks = queue.range(..ticket).count();
        (tasks > 0 && self.candidate(stage) != Some(ticket)).then_some(Reason::Behind { tasks })
    }

    fn held_back(&self, sector: Option<Sector>) -> Option<Reason> {
        let begun = sector.is_none_or(|sector| self.in_flight.contains(&sector));
        let is_held_back = !begun && !self.may_begin();
        is_held_back.then_some(Reason::InFlight { sectors: self.in_flight.len() })
    }

    /// Why no place of a stage takes a task.
    fn nowhere(&self, stage: Stage) -> Vec<Reason> {
        let kept = self.kept_before(stage);
        if self.best_place(stage, &kept).is_some() {
            return Vec::new();
        }
        let places = || self.places.iter().enumerate().filter(move |(_, p)| p.stage == stage);
        let slots = places().map(|(_, place)| place.capacity).sum();
        if slots == 0 {
            return vec![Reason::NoProcessor];
        }
        let open = places().filter(|(index, place)| place.capacity > self.running_at(*index));
        let mut names: Vec<&String> = open.flat_map(|(_, place)| &place.locks).collect();
        if names.is_empty() {
            return vec![Reason::NoSlot { slots }];
        }
        names.sort();
        names.dedup();
        names.into_iter().filter_map(|name| self.taken(name, &kept)).collect()
    }

    fn taken(&self, name: &str, kept: &Kept) -> Option<Reason> {
        let name = name.to_owned();
        if self.free_units(&name, &Kept::new()) == 0 {
            let holders = self.holders(&name);
            let holders = holders.map(|(t, r)| (t, self.places[r.place].stage, r.since)).collect();
            return Some(Reason::Lock { name, holders });
        }
        (self.free_units(&name, kept) == 0).then_some(Reason::Kept { name })
    }

    /// What due stages keep before it is a stage's turn.
    fn kept_before(&self, stage: Stage) -> Kept {
        let mut kept = Kept::new();
        let order = self.order();
        for due in order.into_iter().take_while(|other| *other != stage) {
            if self.is_due(due) {
                self.keep(due, &mut kept);
            }
        }
        kept
    }
}
