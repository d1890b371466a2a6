// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pieces: what a sector's data is made of.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::proof::SealProof;
use crate::{Bytes32, Code, TaskError};

/// Smallest piece: 128 bytes with fr32 padding, 127 without (filecoin-proofs, `constants.rs`).
pub const MIN_PIECE_BYTES: u64 = 128;

/// A piece as it is to be written: where its bytes are, and how long it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PieceSource {
    /// Where the bytes are.
    pub source: Source,
    /// Bytes read from the source, before fr32 padding; zeros follow them to the piece's end.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub payload_size: u64,
    /// Bytes that the piece takes in the sector, fr32 padding included: a power of two.
    #[schemars(range(min = 128, max = crate::MAX_INTEGER))]
    pub piece_size: u64,
}

/// Where the bytes of a piece are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A file; its first `payloadSize` bytes.
    Path(PathBuf),
    /// Zeros: committed capacity, and what fills the gaps between pieces.
    Zero,
}

/// A piece by its commitment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// Root of the piece's binary SHA-256 tree.
    pub comm_p: Bytes32,
    /// Bytes that the piece takes in the sector, fr32 padding included: a power of two.
    #[schemars(range(min = 128, max = crate::MAX_INTEGER))]
    pub piece_size: u64,
}

/// Bytes of payload that fit into `padded` bytes: 127 of every 128 (fr32: 254 of 256 bits).
pub fn unpadded(padded: u64) -> u64 {
    padded / 128 * 127
}

/// Refuses sizes that are no powers of two, not aligned to themselves, or do not fill the sector
/// exactly. Gaps are pieces of zeros of their own.
pub(super) fn check_layout(
    proof: SealProof,
    sizes: impl Iterator<Item = u64>,
) -> Result<(), TaskError> {
    let invalid = |message| Err(TaskError::new(Code::InvalidParams, message));
    let sector = proof.sector_bytes();
    let mut offset = 0_u64;
    for (i, size) in sizes.enumerate() {
        if !size.is_power_of_two() || !(MIN_PIECE_BYTES..=sector).contains(&size) {
            return invalid(format!(
                "`pieces[{i}].pieceSize` is a power of two from {MIN_PIECE_BYTES} to {sector}, \
                 got {size}"
            ));
        }
        if !offset.is_multiple_of(size) {
            return invalid(format!(
                "`pieces[{i}]` of {size} bytes starts at {offset}, which is no multiple of its size"
            ));
        }
        offset = offset.saturating_add(size);
    }
    if offset != sector {
        return invalid(format!("`pieces` fill {offset} bytes of a sector of {sector}"));
    }
    Ok(())
}

/// [`check_layout`], and that each payload fits into its piece.
pub(super) fn check_sources(proof: SealProof, pieces: &[PieceSource]) -> Result<(), TaskError> {
    check_layout(proof, pieces.iter().map(|p| p.piece_size))?;
    for (i, piece) in pieces.iter().enumerate() {
        if piece.payload_size > unpadded(piece.piece_size) {
            return Err(TaskError::new(
                Code::InvalidParams,
                format!(
                    "`pieces[{i}].payloadSize` is {}, a piece of {} bytes holds {}",
                    piece.payload_size,
                    piece.piece_size,
                    unpadded(piece.piece_size)
                ),
            ));
        }
        if let Source::Path(path) = &piece.source {
            super::absolute(&format!("pieces[{i}].source.path"), path)?;
        }
    }
    Ok(())
}
