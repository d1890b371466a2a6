// SPDX-License-Identifier: MIT OR Apache-2.0

//! `c2`: the Groth16 proof of what c1 opened.
//!
//! Files written: none.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::c1::FileRef;
use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::{Base64, Bytes32, TaskError};

/// Parameters of `c2`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "C2Params")]
pub struct Params {
    /// The registered seal proof; sector size, layers and porep id follow from it.
    pub proof: SealProof,
    /// The miner's address payload, zero padded to 32 bytes.
    pub prover_id: Bytes32,
    /// The sector's number.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub sector_number: u64,
    /// The output of c1.
    #[serde(deserialize_with = "crate::value::object")]
    pub c1: FileRef,
}

/// What `c2` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "C2Output")]
pub struct Output {
    /// The proof: 192 bytes a partition (Groth16 over BLS12-381, compressed).
    pub proof: Base64,
    /// Whether the parameters are the network's own, by their digest. Absent when not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_parameters: Option<bool>,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::C2;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        None
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::exact("sectorNumber", self.sector_number)?;
        super::exact("c1.size", self.c1.size)?;
        super::absolute("c1.path", &self.c1.path)
    }
}
