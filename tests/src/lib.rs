// SPDX-License-Identifier: MIT OR Apache-2.0

//! sealpipe end to end: the real programs, real pipes, real files.
//!
//! A test gets a [`Bench`]: a directory of its own, and a mark that every process it starts
//! inherits, by which what is left over is found. No test looks into the programs; they see what a
//! person at a terminal sees, and the files.

mod bench;
pub mod control;
pub mod disk;
mod journal;
mod parameters;
mod process;
pub mod random;
mod run;
pub mod site;
pub mod tour;
mod vector;

pub use self::{
    bench::{Bench, program, root},
    journal::{Journal, text},
    parameters::make_parameters,
    process::Process,
    run::{Ended, LIMIT, Run},
    vector::{Vector, digest, pattern},
};
