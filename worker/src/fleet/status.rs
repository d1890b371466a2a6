// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a fleet stands, as plain data.

use std::time::Duration;

use sealpipe_protocol::Stage;
use serde::Serialize;

use super::{Fleet, Inner};
use crate::{
    event::millis,
    scheduler::{PlaceId, Running, Time},
    supervisor::{Placed, Processor, StalledTask, State},
};

/// A fleet at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// Whether no new task is given a place.
    pub paused: bool,
    /// Sectors that have begun and not ended.
    pub sectors_in_flight: usize,
    /// How many of them there may be; absent for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
    /// All processors in the order of the file, and those that end after their last tasks.
    pub processors: Vec<ProcessorStatus>,
    /// All locks by name.
    pub locks: Vec<LockStatus>,
    /// All stages in the order of a sector's way.
    pub stages: Vec<StageStatus>,
}

/// A processor at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessorStatus {
    /// Its name, such as `pc2[0]`.
    pub processor: String,
    /// The stage that it serves.
    pub stage: Stage,
    /// Whether no entry names it.
    pub implied: bool,
    /// What is executed.
    pub program: String,
    /// What it is doing.
    pub state: &'static str,
    /// For how long, in milliseconds.
    pub state_ms: u64,
    /// The id of its process while it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// What it computes on, as it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What holds its process to its cpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// Tasks that it takes at a time, as it is now.
    pub slots: usize,
    /// Tasks that it runs.
    pub running: Vec<TaskStatus>,
    /// Those of them whose progress stands still.
    pub stalled: Vec<StalledTask>,
    /// How often its process was started again.
    pub restarts: u32,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether it takes no task any more, and ends after those that it runs.
    pub retired: bool,
}

/// A task that runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// Its sector, if it is of one that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
    /// Its stage.
    pub stage: Stage,
    /// For how long, in milliseconds.
    pub since_ms: u64,
}

/// A lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockStatus {
    /// Its name.
    pub name: String,
    /// How many tasks may hold it.
    pub count: usize,
    /// Those that do.
    pub holders: Vec<TaskStatus>,
}

/// A stage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Its name.
    pub stage: Stage,
    /// How many of its tasks may run; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// How many do.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
}

impl Fleet {
    /// How it stands.
    pub fn status(&self) -> FleetStatus {
        let now = self.now();
        let inner = self.inner();
        let scheduler = &inner.scheduler;
        let mut members: Vec<_> = inner.members.iter().collect();
        members.sort_by_key(|(_, member)| (member.is_retired, member.processor.id()));
        let processors = members.into_iter().map(|(place, member)| ProcessorStatus {
            retired: member.is_retired,
            running: inner.tasks(now, |task| task.place == *place),
            ..of_processor(&member.processor)
        });
        let locks = scheduler.rules().locks.iter().map(|(name, count)| LockStatus {
            name: name.clone(),
            count: *count,
            holders: inner.tasks(now, |task| task.locks.contains(name)),
        });
        let stages = Stage::ALL.iter().map(|stage| StageStatus {
            stage: *stage,
            limit: scheduler.rules().limits.get(stage).and_then(|limit| limit.concurrent),
            running: scheduler.running_of(*stage),
            waiting: scheduler.queued(*stage),
        });
        FleetStatus {
            paused: scheduler.is_paused(),
            sectors_in_flight: scheduler.in_flight(),
            cap: scheduler.cap(),
            processors: processors.collect(),
            locks: locks.collect(),
            stages: stages.collect(),
        }
    }
}

impl Inner {
    /// The tasks that run, as far as they are asked for.
    fn tasks(&self, now: Time, is_asked_for: impl Fn(&Running) -> bool) -> Vec<TaskStatus> {
        let running = self.scheduler.running().filter(|(_, running)| is_asked_for(running));
        running.map(|(_, running)| self.task(now, running)).collect()
    }

    pub(super) fn task(&self, now: Time, running: &Running) -> TaskStatus {
        TaskStatus {
            sector: running.sector.and_then(|sector| self.names.get(&sector).cloned()),
            stage: running.stage,
            since_ms: millis(now.saturating_sub(running.since)),
        }
    }

    /// The name of the processor at a place.
    pub(super) fn name_at(&self, place: PlaceId) -> Option<String> {
        Some(self.members.get(&place)?.processor.id().to_string())
    }
}

/// What a processor says of itself alone.
fn of_processor(processor: &Processor) -> ProcessorStatus {
    let spec = processor.spec();
    let health = processor.health();
    let state = processor.state();
    let state = state.borrow();
    let ready = match &*state {
        State::Ready(ready) => Some(ready),
        _ => None,
    };
    ProcessorStatus {
        processor: spec.id.to_string(),
        stage: spec.id.stage,
        implied: spec.id.index.is_none(),
        program: spec.program.bin.display().to_string(),
        state: state.name(),
        state_ms: millis(health.since.elapsed()),
        pid: ready.map(|ready| ready.pid),
        device: ready.and_then(|ready| ready.offer.device.clone()),
        placed: ready.map(|ready| ready.placed.clone()),
        slots: processor.capacity(),
        running: Vec::new(),
        stalled: ready.map(|ready| ready.link.stalled()).unwrap_or_default(),
        restarts: health.restarts,
        last_error: health.last_error.map(|error| error.message.clone()),
        retired: false,
    }
}

/// A duration for people, to the second.
pub(super) fn rounded(milliseconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(milliseconds / 1_000)).to_string()
}
