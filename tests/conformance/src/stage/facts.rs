// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is known of a sector: what its stages are told, and what they have to answer.

use std::collections::BTreeMap;

use sealpipe_protocol::{
    Bytes32,
    stage::{Stage, piece::unpadded, proof::SealProof},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::layout::Variant;

/// A sector.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The registered seal proof.
    pub proof: SealProof,
    /// The miner.
    pub prover_id: Bytes32,
    /// The sector's number.
    pub sector_number: u64,
    /// Randomness that the replica is bound to.
    pub ticket: Bytes32,
    /// Randomness that the challenges are drawn from.
    pub seed: Bytes32,
    /// The pieces, in order.
    pub pieces: Vec<Piece>,
    /// The output of each stage, as far as it is known. Paths in it are not those of a task.
    pub outputs: BTreeMap<Stage, Value>,
}

/// A piece.
#[derive(Clone, Debug)]
pub struct Piece {
    /// What is in it.
    pub source: Source,
    /// Bytes in the sector, fr32 padded.
    pub piece_bytes: u64,
}

/// What is in a piece.
#[derive(Clone, Debug)]
pub enum Source {
    /// Zeros.
    Zero,
    /// The beginning of a file.
    File {
        /// All that is in the file.
        content: Vec<u8>,
        /// How much of it belongs to the piece.
        payload_bytes: u64,
    },
}

impl Facts {
    /// A member of a stage's output; `null` where it is not known.
    pub fn value(&self, stage: Stage, member: &str) -> Value {
        self.outputs.get(&stage).map_or(Value::Null, |output| output[member].clone())
    }

    /// Bytes of data that the sector holds, without fr32 padding.
    pub fn data_bytes(&self) -> u64 {
        unpadded(self.proof.sector_bytes())
    }

    /// The sector's data, without fr32 padding.
    pub fn data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for piece in &self.pieces {
            let end = data.len() + unpadded(piece.piece_bytes) as usize;
            if let Source::File { content, payload_bytes } = &piece.source {
                data.extend_from_slice(&content[..*payload_bytes as usize]);
            }
            data.resize(end, 0);
        }
        data
    }

    /// The range that a task of `unseal` has to give back.
    pub fn range(&self, offset: u64, size: u64) -> Vec<u8> {
        self.data()[offset as usize..][..size as usize].to_vec()
    }

    /// What a stage has to answer.
    pub fn output(&self, stage: Stage, variant: Variant, out_path: &str) -> Value {
        match (stage, variant) {
            (Stage::Unseal, Variant::Range { offset, size }) => {
                let sha256 = Bytes32(Sha256::digest(self.range(offset, size)).into());
                json!({"size": size, "sha256": sha256})
            }
            (Stage::C1, _) => {
                let mut file = self.value(Stage::C1, "file");
                file["path"] = out_path.into();
                json!({ "file": file })
            }
            (Stage::Verify, _) => json!({"valid": true}),
            _ => self.outputs.get(&stage).cloned().unwrap_or(Value::Null),
        }
    }
}
