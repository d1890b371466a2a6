// SPDX-License-Identifier: MIT OR Apache-2.0

//! SDR labelling at the speed of the SHA unit, several sectors to a core.

pub mod clock;
pub mod graph;
pub mod hall;
pub mod label;
pub mod layers;
pub mod memory;
pub mod parents;
pub mod placement;
pub mod processor;
pub mod settings;
pub mod tree;
