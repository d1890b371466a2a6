// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector's way through its stages.
//!
//! [`steps`] decides what is next and with which parameters, and does no I/O; [`record`] is what is
//! remembered of a sector; [`store`] keeps it in the sector's directory, crash-safe; [`task`] runs a
//! task through the [`fleet`](crate::fleet) and [`retry`] judges its end; [`drive`] runs one stage
//! after another.

pub mod drive;
pub mod layout;
pub mod parameters;
pub mod piece_file;
pub mod record;
pub mod retry;
pub mod sector;
pub mod steps;
pub mod store;
pub mod task;
