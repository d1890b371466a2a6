// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who decides in a simulation: the worker's own scheduler, or a model of another worker's.

use std::collections::BTreeMap;

use sealpipe_protocol::Stage;

use super::site::Site;
use crate::scheduler::{self, Cap, Rules, Scheduler, Sector, Ticket, Time};

/// A task, by its index in the trace.
pub type TaskId = usize;

/// A task that runs from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Which one.
    pub task: TaskId,
    /// Where: the index of the place.
    pub place: usize,
}

/// A task that will wait for ever, whatever ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// Which one.
    pub task: TaskId,
    /// What it holds meanwhile.
    pub holds: Vec<String>,
    /// What it waits for.
    pub waits_for: String,
}

/// Decides which waiting task runs where, and when.
pub trait Policy {
    /// A task of a sector wants to run.
    fn request(&mut self, task: TaskId, stage: Stage, sector: Sector, now: Time);
    /// A task that ran has ended.
    fn release(&mut self, task: TaskId, now: Time);
    /// A sector has ended.
    fn leave(&mut self, sector: Sector);
    /// The tasks that start now, in their order, and when to ask again although nothing else
    /// happens.
    fn grants(&mut self, now: Time) -> (Vec<Start>, Option<Time>);
    /// Tasks that hold something and will wait for ever.
    fn stuck(&self) -> Vec<Stuck> {
        Vec::new()
    }
}

/// The worker's own scheduler, as it runs.
pub struct Sealpipe {
    scheduler: Scheduler,
    tickets: BTreeMap<TaskId, Ticket>,
    tasks: BTreeMap<Ticket, TaskId>,
}

impl Sealpipe {
    /// The scheduler of a site whose processors are all ready, under the file's policy or another.
    pub fn new(site: &Site, policy: scheduler::Policy) -> Self {
        let cap = site.in_flight.map_or(Cap::Unbounded, Cap::AtMost);
        let rules = Rules { policy, sectors_in_flight: cap, ..site.rules.clone() };
        let scheduler = site.scheduler(rules);
        Self { scheduler, tickets: BTreeMap::new(), tasks: BTreeMap::new() }
    }
}

impl Policy for Sealpipe {
    fn request(&mut self, task: TaskId, stage: Stage, sector: Sector, _now: Time) {
        let ticket = self.scheduler.request(stage, Some(sector), None);
        self.tickets.insert(task, ticket);
        self.tasks.insert(ticket, task);
    }

    fn release(&mut self, task: TaskId, _now: Time) {
        if let Some(ticket) = self.tickets.remove(&task) {
            self.tasks.remove(&ticket);
            self.scheduler.release(ticket);
        }
    }

    fn leave(&mut self, sector: Sector) {
        self.scheduler.leave(sector);
    }

    fn grants(&mut self, now: Time) -> (Vec<Start>, Option<Time>) {
        let (grants, wake) = self.scheduler.grants(now);
        let start = |grant: scheduler::Grant| {
            let task = *self.tasks.get(&grant.ticket)?;
            let place = usize::try_from(grant.place.number()).ok()?;
            Some(Start { task, place })
        };
        (grants.into_iter().filter_map(start).collect(), wake)
    }
}
