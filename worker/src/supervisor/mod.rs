// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts processors, speaks to them, restarts what dies, and leaves none behind.
//!
//! [`lifecycle`] decides, without a clock and without I/O; [`child`] and [`link`] act; a
//! [`Processor`] is one entry of the configuration with a process that comes and goes.
//!
//! Nothing of a stage is computed here, and nothing of a sector is known.

mod care;
mod cgroup;
mod child;
mod connection;
pub mod guardian;
mod handshake;
mod legacy;
pub mod lifecycle;
mod link;
mod observed;
mod placed;
mod process_table;
mod processor;
mod program_files;
pub(crate) mod spawn;
pub mod spec;
mod stall;

pub use self::{
    connection::{Condemned, Connection},
    handshake::StartError,
    link::{Lost, TaskReport},
    placed::Placed,
    processor::{Health, Processor, Ready, State},
    spec::{ProcessorId, ProcessorSpec},
    stall::StalledTask,
};

use std::path::PathBuf;

use crate::{
    config::Entry,
    event::{Event, Observer},
};

/// Whether control groups would do something for a worker's processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Groups {
    /// They would.
    Wanted,
    /// They would not, as it is now; another configuration may come.
    WantedLater,
    /// They would not.
    Unwanted,
}

impl Groups {
    /// Whether entries want them.
    pub fn of(entries: &[Entry]) -> Self {
        if entries.iter().any(Entry::wants_group) { Self::Wanted } else { Self::Unwanted }
    }
}

/// Makes this process ready to have processors that do not outlive it, and to hold them in control
/// groups if it may make any. To be called in a runtime, before anything is started, by a program
/// that has the [`guardian`]'s subcommand.
pub fn prepare(groups: Groups, observer: &Observer) {
    if groups == Groups::Unwanted {
        return guardian::start();
    }
    // Before there is any other process in the worker's group.
    let divided = cgroup::divide();
    let dir = divided.ok().map(PathBuf::from);
    let reason = divided.err().map(str::to_owned);
    let wanted = groups == Groups::Wanted;
    observer.tell(&Event::ControlGroups { dir: dir.clone(), reason, wanted });
    guardian::start();
    dir.into_iter().for_each(guardian::divides);
}
