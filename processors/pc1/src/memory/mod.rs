// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory for labels: pages of the largest kind there is, laid out for lanes, and shared between
//! groups of sectors by a pool that cannot deadlock.

pub mod labels;
pub mod pages;
pub mod pool;
pub mod region;
pub mod supply;
