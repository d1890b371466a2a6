// SPDX-License-Identifier: MIT OR Apache-2.0

//! Starts processors, speaks to them, restarts what dies, and leaves none behind.
//!
//! [`lifecycle`] decides, without a clock and without I/O; [`child`] and [`link`] act; a
//! [`Processor`] is one entry of the configuration with a process that comes and goes.
//!
//! Nothing of a stage is computed here, and nothing of a sector is known.

mod care;
mod child;
mod connection;
mod handshake;
mod legacy;
pub mod lifecycle;
mod link;
mod observed;
mod processor;
mod program_files;
pub(crate) mod spawn;
pub mod spec;
mod stall;

pub use self::{
    connection::{Condemned, Connection},
    handshake::StartError,
    link::{Lost, TaskReport},
    processor::{Health, Processor, Ready, State},
    spec::{ProcessorId, ProcessorSpec},
    stall::StalledTask,
};
