// SPDX-License-Identifier: MIT OR Apache-2.0

//! `unseal`: restores a range of the sector's data from the replica.
//!
//! Files written: `outPath`, the range without fr32 padding.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::piece::unpadded;
use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Bytes32, Code, TaskError};

/// Parameters of `unseal`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UnsealParams")]
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
    /// Root of the tree over the unsealed data.
    pub comm_d: Bytes32,
    /// The replica; it is read and left as it is.
    pub sealed_path: PathBuf,
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
    /// Where the bytes go, once they are complete.
    pub out_path: PathBuf,
    /// First byte of the range, counted without fr32 padding.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub offset: u64,
    /// Bytes of the range, counted without fr32 padding.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub size: u64,
}

/// What `unseal` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "UnsealOutput")]
pub struct Output {
    /// Bytes written.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub size: u64,
    /// SHA-256 of them.
    pub sha256: Bytes32,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::Unseal;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        self.cache_dir.parent()
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::exact("sectorNumber", self.sector_number)?;
        super::absolute("sealedPath", &self.sealed_path)?;
        super::absolute("cacheDir", &self.cache_dir)?;
        super::absolute("outPath", &self.out_path)?;
        let data = unpadded(self.proof.sector_bytes());
        if self.offset.checked_add(self.size).is_none_or(|end| end > data) {
            return Err(TaskError::new(
                Code::InvalidParams,
                format!(
                    "`offset` {} and `size` {} reach past the {data} bytes of the sector",
                    self.offset, self.size
                ),
            ));
        }
        Ok(())
    }
}
