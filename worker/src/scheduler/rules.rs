// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the configuration asks of the scheduler.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use sealpipe_protocol::Stage;

/// How often a waiting stage may be overtaken, unless the configuration says otherwise.
pub const DEFAULT_OVERTAKES: u32 = 3;

/// Who goes first where several stages wait for one lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// The later stage, so that a sector that can leave leaves. But of the tasks that came after it,
    /// no more than this many may take a lock before the next task of a waiting stage does.
    LaterFirst {
        /// The bound.
        overtakes: u32,
    },
    /// Whoever came first.
    Fifo,
}

impl Policy {
    /// Tasks that may pass a waiting stage before it is its turn.
    pub(super) fn overtakes(self) -> u32 {
        match self {
            Self::LaterFirst { overtakes } => overtakes,
            Self::Fifo => 0,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::LaterFirst { overtakes: DEFAULT_OVERTAKES }
    }
}

/// Bounds on one stage, over all of its processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StageLimit {
    /// Tasks at a time; `None` for no bound, 0 for never.
    pub concurrent: Option<usize>,
    /// A task starts no sooner than so long after the one before it.
    pub staggered: Option<Duration>,
}

/// A place where tasks run: one entry of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The stage that it serves.
    pub stage: Stage,
    /// Tasks at a time; 0 while its process is not there.
    pub capacity: usize,
    /// The locks that each of its tasks holds.
    pub locks: BTreeSet<String>,
    /// Its share beside other places of the stage: free slots count so many times.
    pub weight: u32,
}

/// What is set once.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Bounds by stage; no bound for a stage that is not named.
    pub limits: BTreeMap<Stage, StageLimit>,
    /// How many tasks may hold each lock at once. One that is not named is never free.
    pub locks: BTreeMap<String, usize>,
    /// Who goes first.
    pub policy: Policy,
    /// Sectors between their first grant and their end; `None` for no bound.
    pub sectors_in_flight: Option<usize>,
}
