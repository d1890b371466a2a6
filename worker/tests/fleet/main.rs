// SPDX-License-Identifier: MIT OR Apache-2.0

//! Fleets of real processes: other configurations under load, processes that are trusted no more or
//! stand still, and waits that are given up.

mod bench;
mod care;
mod swap;
mod waiting;
