// SPDX-License-Identifier: MIT OR Apache-2.0

//! `tree_d`: builds the binary SHA-256 tree over the unsealed data.
//!
//! Files written: `tree-d` in `cacheDir`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Bytes32, TaskError};

/// Parameters of `tree_d`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TreeDParams")]
pub struct Params {
    /// The registered seal proof; sector size, layers and porep id follow from it.
    pub proof: SealProof,
    /// The unsealed data, of the sector's size.
    pub unsealed_path: PathBuf,
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
}

/// What `tree_d` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TreeDOutput")]
pub struct Output {
    /// Root of the tree: the commitment to the data.
    pub comm_d: Bytes32,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::TreeD;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        self.cache_dir.parent()
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::absolute("unsealedPath", &self.unsealed_path)?;
        super::absolute("cacheDir", &self.cache_dir)
    }
}
