// SPDX-License-Identifier: MIT OR Apache-2.0

//! pc2: hashes the columns of a sector, builds tree-c, encodes the replica, builds tree-r-last.
//!
//! Reading order: [`poseidon`] (the hash on the CPU), [`plan`] (rows, batches and offsets, pure), [`sector`]
//! (its files), [`cpu`] and [`gpu`] (the two ways to compute), [`top`] (what is above the batches),
//! [`stage`] (parameters in, files and values out), [`front`] (the processor), [`cli`].

pub mod cli;
pub mod cpu;
pub mod front;
pub mod gpu;
pub mod plan;
pub mod poseidon;
pub mod sector;
pub mod stage;
pub mod top;

/// Bytes of a node.
pub const NODE_BYTES: usize = 32;

/// A node: a canonical little-endian element of the BLS12-381 scalar field.
pub type Node = [u8; NODE_BYTES];
