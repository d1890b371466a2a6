// SPDX-License-Identifier: MIT OR Apache-2.0

//! `add_pieces`: writes the pieces, fr32 padded, as the sector's unsealed data.
//!
//! Files written: `unsealedPath`, of the sector's size.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::piece::{Piece, PieceSource, check_sources};
use super::proof::SealProof;
use super::{Stage, StageParams};
use crate::TaskError;

/// Parameters of `add_pieces`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AddPiecesParams")]
pub struct Params {
    /// The registered seal proof; sector size, layers and porep id follow from it.
    pub proof: SealProof,
    /// The pieces, in order, filling the sector exactly.
    #[serde(deserialize_with = "crate::value::objects")]
    pub pieces: Vec<PieceSource>,
    /// Where the unsealed data goes.
    pub unsealed_path: PathBuf,
}

/// What `add_pieces` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AddPiecesOutput")]
pub struct Output {
    /// The same pieces, in the same order, by their commitments.
    pub pieces: Vec<Piece>,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::AddPieces;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        self.unsealed_path.parent()
    }

    fn validate(&self) -> Result<(), TaskError> {
        super::absolute("unsealedPath", &self.unsealed_path)?;
        check_sources(self.proof, &self.pieces)
    }
}
