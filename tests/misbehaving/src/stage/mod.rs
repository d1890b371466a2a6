// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processors of real stages that break one rule: the reference processor, with something between it and
//! the worker that spoils exactly one thing.
//!
//! Reading order: [`faults`] (the table), [`relay`] (what passes between the worker and the reference),
//! [`deeds`] (what the faults do), [`shadow`] (one of them, which works in a directory of its own).

pub mod deeds;
pub mod faults;
pub mod relay;
pub mod shadow;
