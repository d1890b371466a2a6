// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groth16 test parameters, fast: byte for byte those of bellperson 0.27's own generator.
//!
//! [`make`] takes any bellperson circuit; [`make_for_sector`] makes the three files that
//! filecoin-proofs wants for a test sector size, and [`status_for_sector`] says whether they are
//! there and whether they are the network's. [`Assembly`] is a circuit's matrices, for who proves. What is made here is a test set-up: its secrets are
//! drawn by this process, so its proofs convince nobody else.
//!
//! Circuit to file: `assembly` collects the constraints, `evaluate` turns them into the scalars of
//! each section, `fixed_base` into points (over `field`), `make` runs the threads and `file` keeps
//! the result either complete or absent. README.md has the arithmetic and the measurements.

mod assembly;
mod error;
mod evaluate;
mod field;
mod file;
mod fixed_base;
mod format;
mod make;
mod progress;
mod sealing;

pub use assembly::{Assembly, Rows, Term};
pub use error::Error;
pub use evaluate::{Powers, Queries};
pub use format::{Layout, verifying_key};
pub use make::{Made, SetUp, make};
pub use progress::{Progress, Step};
pub use sealing::{DEFAULT_SEED, ParameterSet, Status, make_for_sector, status_for_sector};
