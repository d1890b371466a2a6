// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which finished layers a further attempt may keep: those of the same sector, recorded with their
//! digests after they were synced.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable, failure,
    stage::{pc1::Params, proof::SealProof},
};
use serde::{Deserialize, Serialize};

/// The manifest's file.
pub const NAME: &str = "pc1-layers.json";

/// What is known of the layers in the cache directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Whose layers they are.
    pub sector: Sector,
    /// SHA-256 of the finished layers, from layer 1 on.
    pub layers: Vec<Bytes32>,
}

/// What the labels of a sector are bound to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sector {
    /// The registered proof.
    pub proof: SealProof,
    /// The prover.
    pub prover_id: Bytes32,
    /// The sector's number.
    pub sector_number: u64,
    /// The ticket.
    pub ticket: Bytes32,
    /// The commitment to the data.
    pub comm_d: Bytes32,
}

impl Sector {
    /// The sector of a task.
    pub fn of(params: &Params) -> Self {
        Self {
            proof: params.proof,
            prover_id: params.prover_id,
            sector_number: params.sector_number,
            ticket: params.ticket,
            comm_d: params.comm_d,
        }
    }
}

impl Manifest {
    /// A manifest of no layers.
    pub fn new(sector: Sector) -> Self {
        Self { sector, layers: Vec::new() }
    }

    /// Reads the manifest of an earlier attempt. One that cannot be read vouches for nothing.
    pub fn read(work_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path(work_dir)).ok()?).ok()
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, work_dir: &Path) -> Result<(), TaskError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| TaskError::new(Code::InternalError, format!("manifest: {error}")))?;
        let path = path(work_dir);
        durable::write_file(&path, |mut file| {
            file.write_all(&text).map_err(|error| failure::output("the manifest", &path, &error))
        })
    }
}

fn path(work_dir: &Path) -> PathBuf {
    work_dir.join(NAME)
}
