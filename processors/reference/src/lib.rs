// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every sealing stage on the CPU through filecoin-proofs: the reference that faster processors are
//! compared with.
//!
//! Reading order: [`stage`] (what is computed), [`sector_files`] (what may be
//! trusted on disk), [`parents`] (the graph's edges, shared by all sectors), [`report`], [`tap`],
//! [`meter`] and [`labelling`] (progress of a library that reports none), [`library`] (errors),
//! [`helper`] and [`front`] (processes), [`cli`].

pub mod cli;
pub mod front;
pub mod helper;
pub mod labelling;
pub mod library;
pub mod meter;
pub mod parents;
pub mod report;
pub mod sector_files;
pub mod shape;
pub mod sparse;
pub mod stage;
pub mod tap;
