// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe run`: works on what is submitted, for months.

pub mod job;
pub mod state;
pub mod store;
