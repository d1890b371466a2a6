// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe run` and the commands that are given to it.

mod clients;
mod death;
mod disks;
mod errors;
mod hand;
mod many;
mod orders;
mod randomness;
mod swap;
mod tour;
