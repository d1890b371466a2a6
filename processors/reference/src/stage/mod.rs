// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stages, one file each: parameters in, files and values out.
//!
//! A stage runs in a process of its own that may be killed at any instant. What it leaves in the
//! sector's directories is therefore either complete or never mistaken for something complete.

pub mod add_pieces;
pub mod c1;
pub mod c2;
pub mod echo;
pub mod pc1;
pub mod pc2;
pub mod tree_d;
pub mod unseal;
pub mod vanilla;
pub mod verify;

pub mod groth16;
pub(crate) mod phase1_json;

use std::path::PathBuf;

use sealpipe_protocol::{Code, TaskError, durable, stage::Job};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::report::Reporter;

/// Runs a stage and gives its output as it stands on the wire.
///
/// # Errors
/// Those of the stage.
pub fn run(job: &Job, reporter: &Reporter) -> Result<Box<RawValue>, TaskError> {
    match job {
        Job::Echo(params) => raw(&echo::run(params, reporter)?),
        Job::AddPieces(params) => raw(&add_pieces::run(params, reporter)?),
        Job::TreeD(params) => raw(&tree_d::run(params, reporter)?),
        Job::Pc1(params) => raw(&pc1::run(params, reporter)?),
        Job::Pc2(params) => raw(&pc2::run(params, reporter)?),
        Job::C1(params) => raw(&c1::run(params, reporter)?),
        Job::C2(params) => raw(&c2::run(params, reporter)?),
        Job::Verify(params) => raw(&verify::run(params, reporter)?),
        Job::Unseal(params) => raw(&unseal::run(params, reporter)?),
    }
}

/// What a killed process of this job may have left that is of use to nobody.
pub fn leftovers(job: &Job) -> Vec<PathBuf> {
    match job {
        Job::Echo(_) | Job::C2(_) | Job::Verify(_) => Vec::new(),
        Job::AddPieces(params) => vec![durable::beside(&params.unsealed_path)],
        Job::TreeD(params) => vec![tree_d::scratch(&params.cache_dir)],
        Job::Pc1(params) => pc1::leftovers(params),
        Job::Pc2(params) => vec![pc2::scratch(params)],
        Job::C1(params) => vec![durable::beside(&params.out_path)],
        Job::Unseal(params) => vec![unseal::scratch(params), durable::beside(&params.out_path)],
    }
}

fn raw(output: &impl Serialize) -> Result<Box<RawValue>, TaskError> {
    serde_json::value::to_raw_value(output)
        .map_err(|error| TaskError::new(Code::InternalError, format!("the output: {error}")))
}
