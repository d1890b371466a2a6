// SPDX-License-Identifier: MIT OR Apache-2.0

//! sealpipe's worker: reads the configuration, starts processors, and drives sectors through their
//! stages.
//!
//! It decides; processors compute. It links no proofs library and no CUDA.

pub mod check;
pub mod cli;
mod commitment;
pub mod config;
pub mod control;
pub mod daemon;
pub mod event;
pub mod fleet;
pub mod hardware;
mod journal;
pub mod parameters;
pub mod pipeline;
pub mod plan;
mod runtime;
pub mod scheduler;
pub mod simulate;
pub mod supervisor;
