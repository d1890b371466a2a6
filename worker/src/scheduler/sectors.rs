// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which sector may begin: the cap on sectors in flight, and the room on their disks. And which one
//! is held, begun or not.
//!
//! A sector that has begun is never held back again, but by whoever holds it. Of the sectors that wait
//! for one disk the oldest is served first: a smaller one does not take the room from under it.

use std::collections::BTreeSet;

use super::{
    Scheduler, Sector, Ticket,
    queue::{Lane, Standing},
};

/// A disk, by a number that its user chooses.
pub type Disk = u64;

/// What a sector will write before it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// On which disk.
    pub disk: Disk,
    /// How much.
    pub bytes: u64,
}

/// A sector on its way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Course {
    pub need: Option<Need>,
    pub begun: bool,
    pub held: bool,
    /// Its tasks that wait.
    pub waiting: BTreeSet<Ticket>,
}

impl Course {
    /// What its tasks wait for, beside a place.
    pub fn standing(&self) -> Standing {
        match (self.held, self.begun) {
            (true, _) => Standing::Held,
            (false, true) => Standing::Open,
            (false, false) => Standing::Fresh(self.need.map(|need| need.disk)),
        }
    }
}

/// Why a sector may not begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Obstacle {
    Cap,
    /// The disk has less room than it needs.
    Room,
    /// The disk has less room than an older sector needs.
    RoomOf(Option<Sector>),
}

impl Scheduler {
    /// Makes a sector known before its first task, with what it will write. One that is requested for
    /// without being known needs no room.
    pub fn enroll(&mut self, sector: Sector, need: Option<Need>) {
        self.change_course(sector, |course| course.need = need);
    }

    /// A sector has ended, or is given up. Tasks that it still has belong to no sector from now on.
    pub fn leave(&mut self, sector: Sector) {
        let Some(course) = self.sectors.remove(&sector) else { return };
        self.in_flight -= usize::from(course.begun);
        let old = course.standing();
        for ticket in course.waiting {
            if let Some(task) = self.waiting.get_mut(&ticket) {
                task.sector = None;
                let queue = self.queues.entry(task.stage).or_default();
                queue.remove(old.lane(task.avoid), ticket);
                queue.insert(Lane::Open(task.avoid), ticket);
            }
        }
    }

    /// Grants no new task of a sector until it is let go on.
    pub fn hold(&mut self, sector: Sector) {
        if self.sectors.contains_key(&sector) {
            self.change_course(sector, |course| course.held = true);
        }
    }

    /// Lets a sector go on.
    pub fn unhold(&mut self, sector: Sector) {
        if self.sectors.contains_key(&sector) {
            self.change_course(sector, |course| course.held = false);
        }
    }

    /// Says how much a disk takes beyond what sectors that have begun will still write. A disk of which
    /// nothing has been said has no room.
    pub fn set_room(&mut self, disk: Disk, bytes_free: u64) {
        self.rooms.insert(disk, bytes_free);
    }

    /// Sectors that have begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a sector has begun and not ended.
    pub fn has_begun(&self, sector: Sector) -> bool {
        self.sectors.get(&sector).is_some_and(|course| course.begun)
    }

    /// Tasks of a sector that wait.
    pub fn waiting_of(&self, sector: Sector) -> impl Iterator<Item = Ticket> {
        self.sectors.get(&sector).into_iter().flat_map(|course| course.waiting.iter().copied())
    }

    /// The first task of a sector is granted, or was under an earlier worker: it has begun.
    pub fn begin(&mut self, sector: Sector) {
        if self.has_begun(sector) {
            return;
        }
        self.change_course(sector, |course| course.begun = true);
        self.in_flight += 1;
        if let Some(need) = self.sectors.get(&sector).and_then(|course| course.need)
            && let Some(room) = self.rooms.get_mut(&need.disk)
        {
            *room = room.saturating_sub(need.bytes);
        }
    }

    /// Whether the cap lets another sector begin.
    pub(super) fn cap_allows(&self) -> bool {
        self.cap().is_none_or(|cap| self.in_flight < cap)
    }

    /// What keeps the sector of a task from beginning, if it has not.
    pub(super) fn obstacle(&self, ticket: Ticket) -> Option<Obstacle> {
        let sector = self.waiting.get(&ticket)?.sector?;
        let course = self.sectors.get(&sector).filter(|course| !course.begun)?;
        if !self.cap_allows() {
            return Some(Obstacle::Cap);
        }
        let need = course.need?;
        if !self.fits(ticket) {
            return Some(Obstacle::Room);
        }
        // Older ones of its own stage come first in any case.
        let lane = Lane::Fresh(Some(need.disk));
        let heads = self.queues.values().filter_map(|queue| queue.head(lane));
        let older = heads.filter(|head| *head < ticket && !self.fits(*head)).min();
        older.map(|older| Obstacle::RoomOf(self.waiting.get(&older).and_then(|task| task.sector)))
    }

    /// Free bytes of a disk.
    pub(super) fn room(&self, disk: Disk) -> u64 {
        self.rooms.get(&disk).copied().unwrap_or(0)
    }

    fn fits(&self, ticket: Ticket) -> bool {
        let sector = self.waiting.get(&ticket).and_then(|task| task.sector);
        let need = sector.and_then(|sector| self.sectors.get(&sector)?.need);
        need.is_none_or(|need| self.room(need.disk) >= need.bytes)
    }

    /// Changes what is known of a sector, and moves its tasks to where they wait now.
    pub(super) fn change_course(&mut self, sector: Sector, change: impl FnOnce(&mut Course)) {
        let course = self.sectors.entry(sector).or_default();
        let old = course.standing();
        change(course);
        let new = course.standing();
        if old == new {
            return;
        }
        for ticket in &course.waiting {
            if let Some(task) = self.waiting.get(ticket) {
                let queue = self.queues.entry(task.stage).or_default();
                queue.remove(old.lane(task.avoid), *ticket);
                queue.insert(new.lane(task.avoid), *ticket);
            }
        }
    }
}
