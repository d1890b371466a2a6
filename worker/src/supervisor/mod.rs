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

use crate::event::{Event, Observer};

/// Makes this process ready to have processors that do not outlive it, and to hold them in control
/// groups if they are `wanted` and it may make any. To be called in a runtime, before anything is
/// started, by a program that has the [`guardian`]'s subcommand.
pub fn prepare(wanted: bool, observer: &Observer) {
    if wanted {
        let divided = cgroup::divide();
        let dir = divided.ok().map(PathBuf::from);
        let reason = divided.err().map(str::to_owned);
        observer.tell(&Event::ControlGroups { dir: dir.clone(), reason });
        // It starts in the worker's leaf.
        guardian::start();
        dir.into_iter().for_each(guardian::divides);
    } else {
        guardian::start();
    }
}
