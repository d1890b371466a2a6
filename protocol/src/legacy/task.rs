// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tasks and outputs of the line protocol, as they stand on the wire: 32 bytes are arrays of
//! numbers, sizes of pieces are counted without fr32 padding (vc-processors 0.2.1,
//! `builtin/tasks.rs`; filecoin-proofs-api 19.1, `seal.rs`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Bytes32, Code, TaskError,
    stage::{
        piece::{Piece, unpadded},
        proof::SealProof,
    },
};

/// The replica id of a pc2 task: the line protocol does not name the replica. A processor that is
/// served through it gets this one and cannot check whether the layers are of that replica.
pub const UNKNOWN_REPLICA: Bytes32 = Bytes32([0; 32]);

/// Task of `add_pieces`; its output is a list of [`PieceInfo`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddPieces {
    /// The registered seal proof.
    pub seal_proof_type: SealProof,
    /// The pieces, in order; none for a sector of zeros.
    pub pieces: Vec<PieceSource>,
    /// Where the unsealed data goes.
    pub staged_filepath: PathBuf,
}

/// A piece to be written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PieceSource {
    /// Where its bytes are.
    pub piece_file: PieceFile,
    /// Bytes there.
    pub payload_size: u64,
    /// Bytes that it takes, unpadded.
    pub piece_size: u64,
}

/// Where the bytes of a piece are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PieceFile {
    /// At a server.
    Url(String),
    /// In a file.
    Local(PathBuf),
    /// Nowhere: zeros.
    Pledge,
}

/// A piece by its commitment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PieceInfo {
    /// Root of its tree.
    pub commitment: [u8; 32],
    /// Bytes that it takes, unpadded.
    pub size: u64,
}

impl From<&Piece> for PieceInfo {
    fn from(piece: &Piece) -> Self {
        Self { commitment: piece.comm_p.0, size: unpadded(piece.piece_size) }
    }
}

impl TryFrom<&PieceInfo> for Piece {
    type Error = TaskError;

    fn try_from(piece: &PieceInfo) -> Result<Self, TaskError> {
        Ok(Self { comm_p: Bytes32(piece.commitment), piece_size: padded(piece.size)? })
    }
}

/// Bytes that an unpadded piece takes in a sector.
///
/// # Errors
/// [`Code::InvalidParams`] for what is no number of 127 bytes.
pub fn padded(unpadded: u64) -> Result<u64, TaskError> {
    let whole = unpadded.is_multiple_of(127);
    whole.then(|| (unpadded / 127).checked_mul(128)).flatten().ok_or_else(|| {
        let message = format!("the size of a piece is a multiple of 127, got {unpadded}");
        TaskError::new(Code::InvalidParams, message)
    })
}

/// Task of `tree_d`; its output is `true`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreeD {
    /// The registered seal proof.
    pub registered_proof: SealProof,
    /// The unsealed data.
    pub staged_file: PathBuf,
    /// Where tree-d goes.
    pub cache_dir: PathBuf,
}

/// Task of `pc1`; its output is [`Pc1Output`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pc1 {
    /// The registered seal proof.
    pub registered_proof: SealProof,
    /// The sector's cache directory, which exists.
    pub cache_path: PathBuf,
    /// The unsealed data.
    pub in_path: PathBuf,
    /// The file, which exists, that becomes a copy of the data, for pc2 to encode.
    pub out_path: PathBuf,
    /// The miner's address payload, zero padded.
    pub prover_id: [u8; 32],
    /// The sector's number.
    pub sector_id: u64,
    /// Randomness of the chain that the replica is bound to.
    pub ticket: [u8; 32],
    /// The sector's pieces.
    pub piece_infos: Vec<PieceInfo>,
}

/// What `pc1` answers and `pc2` is given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pc1Output {
    /// The registered seal proof.
    pub registered_proof: SealProof,
    /// Where the layers are: one member, named after the size.
    pub labels: BTreeMap<String, Labels>,
    /// Where tree-d is.
    pub config: StoreConfig,
    /// Root of tree-d.
    pub comm_d: [u8; 32],
}

/// Where the layers of a sector are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Labels {
    /// One of each layer, from layer 1.
    pub labels: Vec<StoreConfig>,
    /// Nothing: a marker of the library's.
    #[serde(default)]
    pub _h: (),
}

/// A file of merkletree's: `sc-02-data-<id>.dat` in a directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreConfig {
    /// The directory.
    pub path: PathBuf,
    /// What it holds.
    pub id: String,
    /// Nodes.
    #[serde(default)]
    pub size: Option<u64>,
    /// Rows that are not on disk.
    #[serde(default)]
    pub rows_to_discard: u64,
}

impl Pc1Output {
    /// The output for a sector whose layers and tree-d lie in `cache_dir`, as filecoin-proofs 19.1
    /// gives it (`api/seal.rs`, `seal_pre_commit_phase1`).
    pub fn new(proof: SealProof, cache_dir: &Path, comm_d: Bytes32) -> Self {
        let n_nodes = proof.n_nodes();
        let store = |id: String, n_nodes| StoreConfig {
            path: cache_dir.to_path_buf(),
            id,
            size: Some(n_nodes),
            rows_to_discard: 0,
        };
        let layers = 1..=proof.n_layers();
        let labels = layers.map(|layer| store(format!("layer-{layer}"), n_nodes)).collect();
        let tag = format!("StackedDrg{}V1", proof.size_name());
        Self {
            registered_proof: proof,
            labels: BTreeMap::from([(tag, Labels { labels, _h: () })]),
            config: store("tree-d".to_owned(), 2 * n_nodes - 1),
            comm_d: comm_d.0,
        }
    }
}

/// Task of `pc2`; its output is [`Pc2Output`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pc2 {
    /// What pc1 answered.
    pub pc1out: Pc1Output,
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
    /// The copy of the data; it becomes the replica.
    pub sealed_file: PathBuf,
}

/// What `pc2` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pc2Output {
    /// The registered seal proof.
    pub registered_proof: SealProof,
    /// The commitment to the replica.
    pub comm_r: [u8; 32],
    /// The commitment to the data.
    pub comm_d: [u8; 32],
}

/// Task of `c2`; its output is [`C2Output`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct C2 {
    /// The output of c1, in filecoin-proofs-api's JSON form.
    pub c1out: Box<RawValue>,
    /// The miner's address payload, zero padded.
    pub prover_id: [u8; 32],
    /// The sector's number.
    pub sector_id: u64,
    /// The miner's actor id.
    pub miner_id: u64,
}

/// What `c2` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct C2Output {
    /// The proof.
    pub proof: Vec<u8>,
}

/// Task of `unseal`; its output is the number of bytes written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unseal {
    /// The registered seal proof.
    pub registered_proof: SealProof,
    /// The miner's address payload, zero padded.
    pub prover_id: [u8; 32],
    /// The sector's number.
    pub sector_id: u64,
    /// The commitment to the data.
    pub comm_d: [u8; 32],
    /// Randomness of the chain that the replica is bound to.
    pub ticket: [u8; 32],
    /// The sector's cache directory.
    pub cache_dir: PathBuf,
    /// The replica.
    pub sealed_file: PathBuf,
    /// Where the bytes go.
    pub unsealed_output: PathBuf,
    /// First byte of the range, unpadded.
    pub offset: u64,
    /// Bytes of the range, unpadded.
    pub num_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_pc1_is_the_librarys() {
        let proof = SealProof::StackedDrg2KiBV1_1;
        let output = Pc1Output::new(proof, Path::new("/c"), Bytes32([1; 32]));
        let written = serde_json::to_value(&output).unwrap();
        let layer = |id: &str| serde_json::json!({ "path": "/c", "id": id, "size": 64, "rows_to_discard": 0 });
        let expected = serde_json::json!({
            "registered_proof": "StackedDrg2KiBV1_1",
            "labels": { "StackedDrg2KiBV1": { "labels": [layer("layer-1"), layer("layer-2")], "_h": null } },
            "config": { "path": "/c", "id": "tree-d", "size": 127, "rows_to_discard": 0 },
            "comm_d": vec![1; 32],
        });
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<Pc1Output>(written).unwrap(), output);
    }

    #[test]
    fn pieces_are_named_and_counted_as_damocles_does() {
        let check = |file: PieceFile, expected: &str| {
            assert_eq!(serde_json::to_string(&file).unwrap(), expected);
        };
        check(PieceFile::Local("/p".into()), r#"{"local":"/p"}"#);
        check(PieceFile::Url("http://x".into()), r#"{"url":"http://x"}"#);
        check(PieceFile::Pledge, r#""pledge""#);
        assert_eq!(padded(1016).unwrap(), 1024);
        padded(1000).unwrap_err();
        padded(u64::MAX - u64::MAX % 127).unwrap_err();
    }
}
