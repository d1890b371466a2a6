// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor of `echo` that keeps every rule, or breaks exactly one on demand: so that it is known
//! that each check of `sealpipe-conformance` can fail, and what a fault looks like.
//!
//! It is written by hand over JSON values, since the SDK would not let it break anything. Only the
//! placement is the SDK's.
//!
//! Reading order: [`faults`] (the table), [`framing`], [`initialize`], [`session`], [`task`]. Faults of
//! real stages have a program and a table of their own, in [`stage`]; the other side, a worker that
//! does the same, is in [`worker`].

pub mod faults;
pub mod framing;
pub mod initialize;
pub mod message;
pub mod outbox;
pub mod session;
pub mod stage;
pub mod task;
pub mod worker;

/// Tasks that run at a time.
pub const MAX_CONCURRENT: usize = 16;

/// The frames that it takes once it is initialized, in bytes.
pub const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;
