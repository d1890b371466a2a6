// SPDX-License-Identifier: MIT OR Apache-2.0

//! `verify`: checks a proof as the chain does.
//!
//! Files written: none.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Base64, Bytes32, TaskError};

/// Parameters of `verify`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "VerifyParams")]
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
    /// The proof.
    pub proof_bytes: Base64,
}

/// What `verify` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "VerifyOutput")]
pub struct Output {
    /// Whether the proof holds. A proof that is malformed does not.
    pub valid: bool,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::Verify;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        None
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::exact("sectorNumber", self.sector_number)
    }
}
