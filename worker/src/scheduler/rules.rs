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

/// How many sectors may have begun and not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cap {
    /// Twice the tasks that can run at once: as many as keep all places busy, and as many again that
    /// wait for their seed or for a place.
    #[default]
    Auto,
    /// So many.
    AtMost(usize),
    /// As many as there are.
    Unbounded,
}

impl Cap {
    /// The number that was set, if one was.
    pub fn set(self) -> Option<usize> {
        match self {
            Self::AtMost(most) => Some(most),
            Self::Auto | Self::Unbounded => None,
        }
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

/// A place where tasks run: one process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The stage that it serves.
    pub stage: Stage,
    /// Its position in the file: of equal places the lowest is taken.
    pub rank: usize,
    /// Tasks at a time; 0 while its process is not there.
    pub capacity: usize,
    /// The locks that each of its tasks holds.
    pub locks: BTreeSet<String>,
    /// Its share beside other places of the stage: free slots count so many times.
    pub weight: u32,
    /// Whether its slots count for [`Cap::Auto`].
    pub is_counted: bool,
}

/// What may be set anew at any time; those that run go on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Bounds by stage; no bound for a stage that is not named.
    pub limits: BTreeMap<Stage, StageLimit>,
    /// How many tasks may hold each lock at once; one for a lock that is not named.
    pub locks: BTreeMap<String, usize>,
    /// Who goes first.
    pub policy: Policy,
    /// Sectors between their first grant and their end.
    pub sectors_in_flight: Cap,
}
