// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is remembered of a sector: `sector.json`.

use std::collections::BTreeMap;

use sealpipe_protocol::{
    Base64, Bytes32, Stage,
    stage::{c1::FileRef, piece::Piece},
};
use serde::{Deserialize, Serialize};

use super::sector::Sector;

/// The version of the file. Another one is refused.
pub const FORMAT: u32 = 1;

/// A sector, and what its stages have answered so far.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The sector.
    pub sector: Sector,
    /// What the stages have answered.
    #[serde(default)]
    pub results: Results,
    /// How each stage went.
    #[serde(default)]
    pub stages: BTreeMap<Stage, StageRecord>,
    /// Whether the spare files are gone.
    #[serde(default)]
    pub finalized: bool,
}

/// What the stages have answered.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the results of the protocol's stages, by their names")]
pub struct Results {
    pub pieces: Option<Vec<Piece>>,
    pub comm_d: Option<Bytes32>,
    pub replica_id: Option<Bytes32>,
    pub comm_r: Option<Bytes32>,
    pub c1: Option<FileRef>,
    pub proof: Option<Base64>,
    pub network_parameters: Option<bool>,
    pub valid: Option<bool>,
}

/// How a stage went.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageRecord {
    /// Tries so far; each is one higher than all before it, whichever worker made them.
    pub attempts: u32,
    /// Milliseconds that the last try took.
    pub elapsed_ms: u64,
    /// What the last try did not have to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<String>,
    /// Who ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
}

impl Record {
    /// A sector of which nothing is done.
    pub fn new(sector: Sector) -> Self {
        Self {
            format: FORMAT,
            sector,
            results: Results::default(),
            stages: BTreeMap::new(),
            finalized: false,
        }
    }

    /// Whether a stage has answered.
    pub fn is_done(&self, stage: Stage) -> bool {
        let results = &self.results;
        match stage {
            Stage::AddPieces => results.pieces.is_some(),
            Stage::TreeD => results.comm_d.is_some(),
            Stage::Pc1 => results.replica_id.is_some(),
            Stage::Pc2 => results.comm_r.is_some(),
            Stage::C1 => results.c1.is_some(),
            Stage::C2 => results.proof.is_some(),
            Stage::Verify => results.valid.is_some(),
            Stage::Echo | Stage::Unseal => false,
        }
    }

    /// Forgets what a stage and all later ones have answered.
    pub fn undo_from(&mut self, stage: Stage) {
        let results = &mut self.results;
        // Stages are ordered as in a sector's life.
        if stage <= Stage::AddPieces {
            results.pieces = None;
        }
        if stage <= Stage::TreeD {
            results.comm_d = None;
        }
        if stage <= Stage::Pc1 {
            results.replica_id = None;
        }
        if stage <= Stage::Pc2 {
            results.comm_r = None;
        }
        if stage <= Stage::C1 {
            results.c1 = None;
        }
        if stage <= Stage::C2 {
            results.proof = None;
            results.network_parameters = None;
        }
        if stage <= Stage::Verify {
            results.valid = None;
        }
    }
}
