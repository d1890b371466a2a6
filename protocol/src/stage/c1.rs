// SPDX-License-Identifier: MIT OR Apache-2.0

//! `c1`: opens the challenged columns and paths.
//!
//! Files written: `outPath`, filecoin-proofs-api's JSON form of `SealCommitPhase1Output`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::piece::{Piece, check_layout};
use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Bytes32, TaskError};

/// Parameters of `c1`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "C1Params")]
pub struct Params {
    /// The registered seal proof; sector size, layers and porep id follow from it.
    pub proof: SealProof,
    /// The miner's address payload, zero padded to 32 bytes.
    pub prover_id: Bytes32,
    /// The sector's number.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub sector_number: u64,
    /// Randomness of the chain that the replica is bound to.
    pub ticket: Bytes32,
    /// Randomness of the chain that the challenges are drawn from.
    pub seed: Bytes32,
    /// Root of the tree over the unsealed data.
    pub comm_d: Bytes32,
    /// `Poseidon(comm_c, comm_r_last)`: the commitment to the replica.
    pub comm_r: Bytes32,
    /// The sector's pieces, in order, filling it exactly.
    #[serde(deserialize_with = "crate::value::objects")]
    pub pieces: Vec<Piece>,
    /// The replica.
    pub sealed_path: PathBuf,
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
    /// Where the output goes.
    pub out_path: PathBuf,
}

/// What `c1` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "C1Output")]
pub struct Output {
    /// The output, whatever its size.
    pub file: FileRef,
}

/// A value too large for a frame, as a file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileRef {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: Bytes32,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::C1;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        self.cache_dir.parent()
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::exact("sectorNumber", self.sector_number)?;
        super::absolute("sealedPath", &self.sealed_path)?;
        super::absolute("cacheDir", &self.cache_dir)?;
        super::absolute("outPath", &self.out_path)?;
        check_layout(self.proof, self.pieces.iter().map(|p| p.piece_size))
    }
}
