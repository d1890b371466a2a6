// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is started for an entry of the configuration.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealpipe_protocol::{
    Stage,
    method::{MemoryPolicy, Placement},
};

use crate::config::{
    DEFAULT_GROUP, Device, Entry, Pinning, Program,
    entry::{
        CUDA_VISIBLE_DEVICES, DEFAULT_STALL_REPORT_AFTER, DEFAULT_STALLED_AFTER,
        DEFAULT_STUCK_AFTER,
    },
    program,
};

/// How long a processor may take to stop, unless it is killed.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// How long a processor without an entry may take to answer the handshake. Nobody can say otherwise, so
/// it is enough for a machine on which nothing gets on.
const IMPLIED_STABLE_WAIT: Duration = Duration::from_secs(60);

/// An entry of the configuration, as it is called in output: `pc1[0]`, or `c1 (implied)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProcessorId {
    /// The stage that it serves.
    pub stage: Stage,
    /// Its number among the stage's entries; `None` for the implied one.
    pub index: Option<usize>,
}

impl ProcessorId {
    /// Whether both are entries of a stage, or both are what is implied for it.
    fn is_alike(self, other: Self) -> bool {
        self.stage == other.stage && self.index.is_some() == other.index.is_some()
    }
}

impl fmt::Display for ProcessorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.stage),
            None => write!(f, "{} (implied)", self.stage),
        }
    }
}

/// What a process is called just now: another configuration may have its entry at another place.
#[derive(Clone)]
pub(super) struct Name(Arc<Mutex<ProcessorId>>);

impl Name {
    pub fn new(id: ProcessorId) -> Self {
        Self(Arc::new(Mutex::new(id)))
    }

    pub fn id(&self) -> ProcessorId {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, id: ProcessorId) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

/// What is started, and with what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessorSpec {
    /// Which entry it is.
    pub id: ProcessorId,
    /// The program and its arguments.
    pub program: Program,
    /// Variables set over the environment.
    pub envs: BTreeMap<String, String>,
    /// Whether the worker's environment is inherited.
    pub inherit_envs: bool,
    /// How long the handshake may take.
    pub stable_wait: Duration,
    /// What it may use.
    pub placement: Placement,
    /// Who pins it.
    pub pinning: Pinning,
    /// The control group that its own lies in, where there are any.
    pub control_group: String,
    /// Its share of the cpus' time beside other control groups.
    pub cpu_weight: Option<u32>,
    /// What it has to compute on; `None` when any will do.
    pub device: Option<Device>,
    /// The entry's own bound on tasks at a time.
    pub concurrent: Option<usize>,
    /// Names of the locks that each task holds.
    pub locks: Vec<String>,
    /// Its share beside other processors of the stage.
    pub weight: u32,
    /// Whether it is started again when it dies.
    pub auto_restart: bool,
    /// Silence with a task open, after which it is taken for stalled.
    pub stalled_after: Duration,
    /// How long the progress of a task may stand still.
    pub stuck_after: Duration,
    /// How long the progress of a task may stand still before that is reported.
    pub stall_report_after: Duration,
    /// How long it may take to stop.
    pub grace: Duration,
}

impl ProcessorSpec {
    /// The spec of an entry of the configuration.
    pub fn of_entry(entry: &Entry, worker_dir: &Path) -> Self {
        let node = entry.numa_preferred.and_then(|node| u32::try_from(node).ok());
        let gpus = entry.envs.get(CUDA_VISIBLE_DEVICES);
        Self {
            id: ProcessorId { stage: entry.stage, index: Some(entry.index) },
            program: Program::of_entry(entry, worker_dir, |path| path.exists()),
            envs: entry.envs.clone(),
            inherit_envs: entry.inherit_envs,
            stable_wait: entry.stable_wait,
            placement: Placement {
                cpus: entry.cpus.clone(),
                memory_node: node,
                memory_policy: node.map(|_| MemoryPolicy::Preferred),
                gpus: gpus.map(|list| list.split(',').map(|g| g.trim().to_owned()).collect()),
            },
            pinning: entry.pinning,
            control_group: entry.cgroup_group.clone(),
            cpu_weight: entry.cgroup_weight,
            device: program::device(entry),
            concurrent: entry.concurrent,
            locks: entry.locks.clone(),
            weight: entry.weight,
            auto_restart: entry.auto_restart,
            stalled_after: entry.stalled_after,
            stuck_after: entry.stuck_after,
            stall_report_after: entry.stall_report_after,
            grace: DEFAULT_GRACE,
        }
    }

    /// The spec of a stage without an entry.
    pub fn implied(stage: Stage, worker_dir: &Path) -> Self {
        Self {
            id: ProcessorId { stage, index: None },
            program: Program::implied(stage, worker_dir),
            envs: BTreeMap::new(),
            inherit_envs: true,
            stable_wait: IMPLIED_STABLE_WAIT,
            placement: Placement::default(),
            pinning: Pinning::default(),
            control_group: DEFAULT_GROUP.to_owned(),
            cpu_weight: None,
            device: None,
            concurrent: None,
            locks: Vec::new(),
            weight: 1,
            auto_restart: true,
            stalled_after: DEFAULT_STALLED_AFTER,
            stuck_after: DEFAULT_STUCK_AFTER,
            stall_report_after: DEFAULT_STALL_REPORT_AFTER,
            grace: DEFAULT_GRACE,
        }
    }

    /// Whether the other spec is the same but for its place in the file.
    pub fn is_same_entry(&self, other: &Self) -> bool {
        self.id.is_alike(other.id) && Self { id: other.id, ..self.clone() } == *other
    }

    /// Whether a running process of this spec serves the other one as well: they differ at most in
    /// what the worker alone minds.
    pub fn is_same_process(&self, other: &Self) -> bool {
        let like_other = Self {
            id: other.id,
            stable_wait: other.stable_wait,
            concurrent: other.concurrent,
            locks: other.locks.clone(),
            weight: other.weight,
            auto_restart: other.auto_restart,
            stalled_after: other.stalled_after,
            stuck_after: other.stuck_after,
            stall_report_after: other.stall_report_after,
            grace: other.grace,
            ..self.clone()
        };
        self.id.is_alike(other.id) && like_other == *other
    }

    /// What the worker alone minds and the other spec says otherwise, for people.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |key: &str, old: String, new: String| {
            if old != new {
                found.push(format!("{key} {old} → {new}"));
            }
        };
        let count = |n: Option<usize>| n.map_or("no limit".to_owned(), |n| n.to_string());
        let time = |duration: Duration| humantime::format_duration(duration).to_string();
        compare("its place", self.id.to_string(), other.id.to_string());
        compare("concurrent", count(self.concurrent), count(other.concurrent));
        compare("locks", format!("{:?}", self.locks), format!("{:?}", other.locks));
        compare("weight", self.weight.to_string(), other.weight.to_string());
        compare("auto_restart", self.auto_restart.to_string(), other.auto_restart.to_string());
        compare("stable_wait", time(self.stable_wait), time(other.stable_wait));
        compare("stalled_after", time(self.stalled_after), time(other.stalled_after));
        compare("stuck_after", time(self.stuck_after), time(other.stuck_after));
        let (old, new) = (self.stall_report_after, other.stall_report_after);
        compare("stall_report_after", time(old), time(new));
        compare("grace", time(self.grace), time(other.grace));
        found
    }
}
