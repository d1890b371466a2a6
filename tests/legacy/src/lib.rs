// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tasks of vc-processors 0.2.1 (`builtin/tasks.rs`), for its own producer and consumer.
//!
//! Its crate defines them on the types of an old filecoin-proofs; here they are the same JSON on
//! plain types.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vc_processors::core::{
    Task,
    ext::{BoxedFinalizeHook, BoxedPrepareHook, Producer, ProducerBuilder},
};

/// Defines the task of a stage.
macro_rules! task {
    ($name:ident, $stage:literal, $output:ty, { $($field:ident: $type:ty),* $(,)? }) => {
        #[doc = concat!("Task of `", $stage, "`.")]
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "vc-processors' names")]
        pub struct $name {
            $(pub $field: $type,)*
        }

        impl Task for $name {
            const STAGE: &'static str = $stage;
            type Output = $output;
        }
    };
}

task!(AddPieces, "add_pieces", Vec<PieceInfo>, {
    seal_proof_type: String,
    pieces: Vec<Piece>,
    staged_filepath: PathBuf,
});

task!(TreeD, "tree_d", bool, {
    registered_proof: String,
    staged_file: PathBuf,
    cache_dir: PathBuf,
});

// What pc1 answers is given to pc2 as it is.
task!(Pc1, "pc1", Value, {
    registered_proof: String,
    cache_path: PathBuf,
    in_path: PathBuf,
    out_path: PathBuf,
    prover_id: [u8; 32],
    sector_id: u64,
    ticket: [u8; 32],
    piece_infos: Vec<PieceInfo>,
});

task!(Pc2, "pc2", Pc2Output, {
    pc1out: Value,
    cache_dir: PathBuf,
    sealed_file: PathBuf,
});

task!(C2, "c2", C2Output, {
    c1out: Value,
    prover_id: [u8; 32],
    sector_id: u64,
    miner_id: u64,
});

// Of a later version than 0.2.1.
task!(Unseal, "unseal", u64, {
    registered_proof: String,
    prover_id: [u8; 32],
    sector_id: u64,
    comm_d: [u8; 32],
    ticket: [u8; 32],
    cache_dir: PathBuf,
    sealed_file: PathBuf,
    unsealed_output: PathBuf,
    offset: u64,
    num_bytes: u64,
});

/// A piece to be written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Piece {
    /// Where its bytes are.
    pub piece_file: PieceFile,
    /// Bytes there.
    pub payload_size: u64,
    /// Bytes that it takes, unpadded.
    pub piece_size: u64,
}

/// Where the bytes of a piece are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "vc-processors' names")]
pub enum PieceFile {
    Url(String),
    Local(PathBuf),
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

/// What `pc2` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "vc-processors' names")]
pub struct Pc2Output {
    pub registered_proof: String,
    pub comm_r: [u8; 32],
    pub comm_d: [u8; 32],
}

/// What `c2` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct C2Output {
    /// The proof.
    pub proof: Vec<u8>,
}

/// The crate's producer, without hooks.
pub type Parent<T> = Producer<T, BoxedPrepareHook<T>, BoxedFinalizeHook<T>>;

/// What starts `<bin> processor <stage>` as damocles does.
pub fn parent_of<T: Task>(
    bin: PathBuf,
) -> ProducerBuilder<BoxedPrepareHook<T>, BoxedFinalizeHook<T>> {
    ProducerBuilder::new(bin, vec!["processor".to_owned(), T::STAGE.to_owned()])
        .stable_timeout(std::time::Duration::from_secs(30))
}
