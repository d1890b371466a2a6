// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pc1`: labels the layers (SDR).
//!
//! Files written: `layer-1` to `layer-n` in `cacheDir`, and `tree-d` when it is absent.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::piece::{Piece, check_layout};
use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Bytes32, TaskError};

/// Parameters of `pc1`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Pc1Params")]
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
    /// The sector's pieces, in order, filling it exactly.
    #[serde(deserialize_with = "crate::value::objects")]
    pub pieces: Vec<Piece>,
    /// Root of the tree over the unsealed data.
    pub comm_d: Bytes32,
    /// The unsealed data, read only when tree-d is absent.
    pub unsealed_path: PathBuf,
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
    /// Scratch of this stage; survives a crash, and the worker removes it afterwards.
    pub work_dir: PathBuf,
}

/// What `pc1` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Pc1Output")]
pub struct Output {
    /// What every label is bound to: prover, sector, ticket and CommD.
    pub replica_id: Bytes32,
    /// Root of the tree over the unsealed data.
    pub comm_d: Bytes32,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::Pc1;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        self.cache_dir.parent()
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::exact("sectorNumber", self.sector_number)?;
        super::absolute("unsealedPath", &self.unsealed_path)?;
        super::absolute("cacheDir", &self.cache_dir)?;
        super::absolute("workDir", &self.work_dir)?;
        check_layout(self.proof, self.pieces.iter().map(|p| p.piece_size))
    }
}
