// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a task waits, with the names that people know.

use std::fmt;

use indicatif::HumanBytes;
use sealpipe_protocol::Stage;
use serde::Serialize;

use super::{
    Fleet, Inner, Journey,
    status::{TaskStatus, rounded},
};
use crate::{
    event::millis,
    scheduler::{self, Disk, Ticket, Time},
    supervisor::State,
};

/// One thing that has to change before a task of a sector runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the names say it; units stand at the end of the names")]
pub enum Reason {
    /// No new task is given a place.
    Paused,
    /// No new task of this sector is given a place.
    Held,
    /// As many sectors are under way as may be.
    InFlight { sectors: usize, cap: usize },
    /// The disk has no room for the sector.
    Disk { disk: Disk, needed_bytes: u64, free_bytes: u64 },
    /// An older sector waits for room on the same disk.
    DiskKept { disk: Disk, sector: Option<String> },
    /// Older tasks of the stage wait too.
    Behind { stage: Stage, tasks: usize },
    /// As many tasks of the stage run as may.
    StageLimit { stage: Stage, limit: usize },
    /// The task before it has started too short a time ago.
    Staggered { stage: Stage, left_ms: u64 },
    /// No processor of the stage takes tasks.
    NoProcessor { stage: Stage, processors: Vec<Unready> },
    /// All slots of the stage's processors are taken.
    NoSlot { stage: Stage, slots: usize },
    /// The only free slot is where the task failed, and there are others.
    Avoids { processor: String },
    /// A lock is held, or is 0.
    Lock { name: String, count: usize, holders: Vec<TaskStatus> },
    /// A lock is free, and kept for a stage that was overtaken often enough.
    Kept { name: String },
}

/// A processor that takes no task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unready {
    /// Its name.
    pub processor: String,
    /// What it is doing.
    pub state: &'static str,
    /// For how long, in milliseconds.
    pub since_ms: u64,
    /// What went wrong last, or what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Fleet {
    /// Why a sector's tasks wait; empty when none of them does.
    pub fn explain(&self, journey: &Journey) -> Vec<Reason> {
        let now = self.now();
        let inner = self.inner();
        let mut reasons = Vec::new();
        for ticket in inner.scheduler.waiting_of(journey.sector) {
            for reason in inner.reasons(ticket, now) {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
        reasons
    }
}

impl Inner {
    fn reasons(&self, ticket: Ticket, now: Time) -> Vec<Reason> {
        let Some(stage) = self.scheduler.stage_of(ticket) else { return Vec::new() };
        let reasons = self.scheduler.explain(ticket, now).into_iter();
        reasons.map(|reason| self.named(stage, reason, now)).collect()
    }

    fn named(&self, stage: Stage, reason: scheduler::Reason, now: Time) -> Reason {
        match reason {
            scheduler::Reason::Paused => Reason::Paused,
            scheduler::Reason::Held => Reason::Held,
            scheduler::Reason::InFlight { sectors, cap } => Reason::InFlight { sectors, cap },
            scheduler::Reason::Disk { disk, needed, free } => {
                Reason::Disk { disk, needed_bytes: needed, free_bytes: free }
            }
            scheduler::Reason::DiskKept { disk, sector } => {
                let sector = sector.and_then(|sector| self.names.get(&sector).cloned());
                Reason::DiskKept { disk, sector }
            }
            scheduler::Reason::Behind { tasks } => Reason::Behind { stage, tasks },
            scheduler::Reason::StageLimit { limit } => Reason::StageLimit { stage, limit },
            scheduler::Reason::Staggered { until } => {
                Reason::Staggered { stage, left_ms: millis(until.saturating_sub(now)) }
            }
            scheduler::Reason::NoProcessor => {
                Reason::NoProcessor { stage, processors: self.unready(stage) }
            }
            scheduler::Reason::NoSlot { slots } => Reason::NoSlot { stage, slots },
            scheduler::Reason::Avoids { place } => {
                Reason::Avoids { processor: self.name_at(place).unwrap_or_default() }
            }
            scheduler::Reason::Lock { name, holders } => {
                let running = |ticket| self.scheduler.running().find(|(t, _)| *t == ticket);
                let holders = holders.into_iter().filter_map(|(ticket, ..)| running(ticket));
                let holders = holders.map(|(_, running)| self.task(now, running)).collect();
                Reason::Lock { count: self.scheduler.lock_count(&name), name, holders }
            }
            scheduler::Reason::Kept { name } => Reason::Kept { name },
        }
    }

    fn unready(&self, stage: Stage) -> Vec<Unready> {
        let unready = self.of_stage(stage).map(|processor| {
            let state = processor.state();
            let state = state.borrow();
            let health = processor.health();
            let why = match &*state {
                State::Ready(ready) if !ready.link.is_condemned() => {
                    Some("its `concurrent` is 0".to_owned())
                }
                State::Idle | State::Stopped => None,
                _ => health.last_error.map(|error| error.message.clone()),
            };
            Unready {
                processor: processor.id().to_string(),
                state: state.name(),
                since_ms: millis(health.since.elapsed()),
                why,
            }
        });
        unready.collect()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => write!(f, "the worker is paused"),
            Self::Held => write!(f, "the sector is held"),
            Self::InFlight { sectors, cap } => {
                write!(f, "{sectors} of at most {cap} sectors in flight have begun")
            }
            Self::Disk { needed_bytes, free_bytes, .. } => {
                let [needed, free] = [*needed_bytes, *free_bytes].map(HumanBytes);
                write!(f, "it needs {needed} on its disk, of which {free} are not spoken for")
            }
            Self::DiskKept { sector, .. } => {
                let sector = sector.as_deref().unwrap_or("an older sector");
                write!(f, "{sector} waits for room on the same disk")
            }
            Self::Behind { stage, tasks } => write!(f, "{tasks} older tasks of `{stage}` wait too"),
            Self::StageLimit { stage, limit: 0 } => {
                write!(f, "`limitation.concurrent.{stage}` is 0: the stage is switched off")
            }
            Self::StageLimit { stage, limit } => {
                write!(f, "{limit} tasks of `{stage}` run, which is its limit")
            }
            Self::Staggered { stage, left_ms } => {
                write!(f, "the next `{stage}` starts in {}", rounded(left_ms + 999))
            }
            Self::NoProcessor { stage, processors } => {
                write!(f, "no processor of `{stage}` is healthy")?;
                for (index, unready) in processors.iter().enumerate() {
                    write!(f, "{}{unready}", if index == 0 { ": " } else { "; " })?;
                }
                Ok(())
            }
            Self::NoSlot { stage, slots } => {
                write!(f, "all slots of `{stage}` are taken: {slots}")
            }
            Self::Avoids { processor } => {
                write!(f, "it failed on {processor} and waits for another processor")
            }
            Self::Lock { name, count: 0, .. } => write!(f, "the lock `{name}` is 0"),
            Self::Lock { name, holders, .. } => {
                write!(f, "the lock `{name}` is held")?;
                for (index, holder) in holders.iter().enumerate() {
                    write!(f, "{}{holder}", if index == 0 { " by " } else { ", " })?;
                }
                Ok(())
            }
            Self::Kept { name } => {
                write!(f, "the lock `{name}` is kept for a stage that was overtaken")
            }
        }
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, state, since_ms, why } = self;
        write!(f, "{processor} is {state} since {}", rounded(*since_ms))?;
        why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sector = self.sector.as_deref().unwrap_or("a task");
        write!(f, "{sector} ({}) since {}", self.stage, rounded(self.since_ms))
    }
}
