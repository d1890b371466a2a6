// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pc2`: hashes the columns, encodes the replica, builds the trees.
//!
//! Files written: `sealedPath`; tree-c, tree-r-last, p_aux and t_aux in `cacheDir`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Bytes32, TaskError};

/// Parameters of `pc2`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Pc2Params")]
pub struct Params {
    /// The registered seal proof; sector size, layers and porep id follow from it.
    pub proof: SealProof,
    /// The replica id of pc1.
    pub replica_id: Bytes32,
    /// Root of the tree over the unsealed data.
    pub comm_d: Bytes32,
    /// The unsealed data; it is read and left as it is.
    pub unsealed_path: PathBuf,
    /// Where the replica goes, once it is complete.
    pub sealed_path: PathBuf,
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
    /// Scratch of this stage; survives a crash, and the worker removes it afterwards.
    pub work_dir: PathBuf,
}

/// What `pc2` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Pc2Output")]
pub struct Output {
    /// `Poseidon(comm_c, comm_r_last)`: the commitment to the replica.
    pub comm_r: Bytes32,
    /// Root of tree-c.
    pub comm_c: Bytes32,
    /// Root of tree-r-last.
    pub comm_r_last: Bytes32,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::Pc2;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        self.cache_dir.parent()
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::absolute("unsealedPath", &self.unsealed_path)?;
        super::absolute("sealedPath", &self.sealed_path)?;
        super::absolute("cacheDir", &self.cache_dir)?;
        super::absolute("workDir", &self.work_dir)
    }
}
