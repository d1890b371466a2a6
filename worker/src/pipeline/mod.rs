// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector's way through its stages.
//!
//! [`steps`] decides what is next and with which parameters, and does no I/O; [`record`] is what is
//! remembered of a sector; [`store`] keeps it in the sector's directory, crash-safe; [`drive`] runs
//! the stages through the [`fleet`](crate::fleet).

pub mod drive;
pub mod layout;
pub mod record;
pub mod retry;
pub mod sector;
pub mod steps;
pub mod store;
