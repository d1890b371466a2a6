// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a daemon says about itself.

use std::{collections::BTreeMap, path::PathBuf};

use sealpipe_protocol::Stage;
use serde::{Deserialize, Serialize};

use crate::{daemon::state::Trouble, supervisor::Placed};

/// What the daemon does. Times are in milliseconds since 1970.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// When this was so.
    pub at_ms: u64,
    /// The daemon.
    pub daemon: DaemonStatus,
    /// Jobs by the word for their state.
    pub counts: BTreeMap<String, usize>,
    /// Sectors that have begun and not ended.
    pub in_flight: usize,
    /// How many of them there may be; absent for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
    /// The processors.
    pub processors: Vec<ProcessorStatus>,
    /// The locks that processors share.
    pub locks: Vec<LockStatus>,
    /// The disks that sectors lie on.
    pub disks: Vec<DiskStatus>,
    /// The jobs that were asked for.
    pub sectors: Vec<SectorStatus>,
}

/// The daemon.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonStatus {
    /// Its program version.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_ms: u64,
    /// Its directory.
    pub state_dir: PathBuf,
    /// Its configuration.
    pub config: Option<PathBuf>,
    /// Nothing starts until it is resumed.
    pub paused: bool,
    /// It ends once what runs is finished.
    pub draining: bool,
    /// Why nothing can be written just now.
    pub trouble: Option<String>,
}

/// A processor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessorStatus {
    /// The entry, such as `pc1[0]`.
    pub name: String,
    /// Its stage.
    pub stage: Stage,
    /// Whether no entry names it.
    pub implied: bool,
    /// What is executed.
    pub program: String,
    /// Its state in a word.
    pub state: String,
    /// Since when.
    pub since_ms: u64,
    /// Its process id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// What it computes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What holds it to its cpus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Placed>,
    /// Tasks that run there.
    pub running: Vec<TaskStatus>,
    /// Tasks that may.
    pub slots: usize,
    /// How often its process was started again.
    pub restarts: u32,
    /// Tasks of it that do not advance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stalled: Vec<String>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether it ends after the tasks that it runs.
    pub retired: bool,
}

/// A task that runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStatus {
    /// The sector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
    /// The stage.
    pub stage: Stage,
    /// Since when.
    pub since_ms: u64,
}

/// A lock.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockStatus {
    /// Its name.
    pub name: String,
    /// How many may hold it.
    pub count: usize,
    /// Who does.
    pub holders: Vec<TaskStatus>,
}

/// A disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskStatus {
    /// A directory on it.
    pub path: PathBuf,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Bytes of them that the sectors that have begun will still write.
    pub promised_bytes: u64,
}

/// A job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectorStatus {
    /// Its name.
    pub name: String,
    /// Its state in a word.
    pub state: String,
    /// Since when.
    pub since_ms: u64,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// The stage at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// Who runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// The number of the try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Its size; absent for a demonstration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Its directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What else is to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// It is held.
    #[serde(default)]
    pub held: bool,
}

/// How far a stage is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What it is about.
    pub phase: String,
    /// Units that are done.
    pub done: u64,
    /// All units.
    pub total: u64,
    /// What is counted.
    pub unit: String,
}

/// Why a sector does not run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The sector.
    pub sector: SectorStatus,
    /// Why it does not run now, each a sentence; empty when it runs.
    pub reasons: Vec<String>,
    /// What could be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
