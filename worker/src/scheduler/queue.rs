// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tasks of a stage that wait, in lanes whose heads are all that a grant has to look at.

use std::collections::{BTreeMap, BTreeSet};

use sealpipe_protocol::Stage;

use super::{PlaceId, Sector, Ticket, sectors::Disk};

/// A task that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiting {
    pub stage: Stage,
    pub sector: Option<Sector>,
    /// Where it failed, and is not to be run again if it can be run elsewhere.
    pub avoid: Option<PlaceId>,
}

/// What the tasks of a sector wait for, beside a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Nothing: it has begun.
    Open,
    /// Until it may begin, on this disk.
    Fresh(Option<Disk>),
    /// Until it is let go on.
    Held,
}

impl Standing {
    pub fn lane(self, avoid: Option<PlaceId>) -> Lane {
        match self {
            Self::Open => Lane::Open(avoid),
            Self::Fresh(disk) => Lane::Fresh(disk),
            Self::Held => Lane::Held,
        }
    }
}

/// Tasks of a stage that wait for the same: the oldest of them goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Lane {
    /// For a place, but for one to avoid.
    Open(Option<PlaceId>),
    /// Until their sector may begin, on this disk.
    Fresh(Option<Disk>),
    /// Until their sector is let go on.
    Held,
}

/// The tasks of one stage that wait. No lane is empty.
#[derive(Debug, Default)]
pub(super) struct Queue(BTreeMap<Lane, BTreeSet<Ticket>>);

impl Queue {
    pub fn insert(&mut self, lane: Lane, ticket: Ticket) {
        self.0.entry(lane).or_default().insert(ticket);
    }

    pub fn remove(&mut self, lane: Lane, ticket: Ticket) {
        if let Some(tickets) = self.0.get_mut(&lane) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.0.remove(&lane);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The oldest task of a lane.
    pub fn head(&self, lane: Lane) -> Option<Ticket> {
        self.0.get(&lane)?.first().copied()
    }

    /// The oldest tasks of all lanes but the held ones.
    pub fn heads(&self) -> impl Iterator<Item = (Lane, Ticket)> {
        let heads = self.0.iter().filter_map(|(lane, tickets)| Some((*lane, *tickets.first()?)));
        heads.filter(|(lane, _)| *lane != Lane::Held)
    }

    /// All tasks.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Tasks that are older than one, but for the held ones.
    pub fn before(&self, ticket: Ticket) -> usize {
        let lanes = self.0.iter().filter(|(lane, _)| **lane != Lane::Held);
        lanes.map(|(_, tickets)| tickets.range(..ticket).count()).sum()
    }
}
