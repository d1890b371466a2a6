// SPDX-License-Identifier: MIT OR Apache-2.0

//! The output of c1 as filecoin-proofs-api writes it: what lotus and others exchange
//! (filecoin-proofs-api, `seal.rs`, `SealCommitPhase1Output`).

use std::collections::BTreeMap;

use filecoin_hashers::Hasher;
use filecoin_proofs::{MerkleTreeTrait, SealCommitPhase1Output, VanillaSealProof};
use sealpipe_protocol::{Code, TaskError, stage::proof::SealProof};
use serde::{Deserialize, Serialize, Serializer};

use crate::{library, shape};

type ReplicaId<Tree> = <<Tree as MerkleTreeTrait>::Hasher as Hasher>::Domain;

#[derive(Serialize)]
struct Written<'o, Tree: MerkleTreeTrait> {
    registered_proof: SealProof,
    #[serde(bound = "")]
    vanilla_proofs: Tagged<'o, Tree>,
    comm_r: [u8; 32],
    comm_d: [u8; 32],
    #[serde(bound = "")]
    replica_id: &'o ReplicaId<Tree>,
    seed: [u8; 32],
    ticket: [u8; 32],
}

/// An enum there: `{"StackedDrg2KiBV1": [[…]]}`.
struct Tagged<'o, Tree: MerkleTreeTrait> {
    tag: &'static str,
    proofs: &'o Vec<Vec<VanillaSealProof<Tree>>>,
}

impl<Tree: MerkleTreeTrait> Serialize for Tagged<'_, Tree> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_variant("VanillaSealProof", 0, self.tag, self.proofs)
    }
}

#[derive(Deserialize)]
struct Read<Tree: MerkleTreeTrait> {
    registered_proof: String,
    #[serde(bound = "")]
    vanilla_proofs: BTreeMap<String, Vec<Vec<VanillaSealProof<Tree>>>>,
    comm_r: [u8; 32],
    comm_d: [u8; 32],
    #[serde(bound = "")]
    replica_id: ReplicaId<Tree>,
    seed: [u8; 32],
    ticket: [u8; 32],
}

/// The output as bytes.
///
/// # Errors
/// A defect: all of it can be serialised.
pub(crate) fn write<Tree: MerkleTreeTrait>(
    proof: SealProof,
    output: &SealCommitPhase1Output<Tree>,
) -> Result<Vec<u8>, TaskError> {
    let written = Written::<Tree> {
        registered_proof: proof,
        vanilla_proofs: Tagged { tag: shape::vanilla_tag(proof), proofs: &output.vanilla_proofs },
        comm_r: output.comm_r,
        comm_d: output.comm_d,
        replica_id: &output.replica_id,
        seed: output.seed,
        ticket: output.ticket,
    };
    serde_json::to_vec(&written)
        .map_err(|error| library::failure(Code::InternalError, "the output of c1", &error))
}

/// Reads the output of c1, whoever wrote it.
///
/// # Errors
/// [`Code::InvalidInput`] when it is not of this form or of another proof.
pub(crate) fn read<Tree: MerkleTreeTrait>(
    proof: SealProof,
    bytes: &[u8],
) -> Result<SealCommitPhase1Output<Tree>, TaskError> {
    let invalid = |message: String| Err(TaskError::new(Code::InvalidInput, message));
    let mut read: Read<Tree> = serde_json::from_slice(bytes)
        .map_err(|error| library::failure(Code::InvalidInput, "the output of c1", &error))?;
    if read.registered_proof != proof.to_string() {
        return invalid(format!("the output of c1 is of {}, not {proof}", read.registered_proof));
    }
    let tag = shape::vanilla_tag(proof);
    let Some(vanilla_proofs) = read.vanilla_proofs.remove(tag) else {
        return invalid(format!("the output of c1 has no `vanilla_proofs.{tag}`"));
    };
    Ok(SealCommitPhase1Output {
        vanilla_proofs,
        comm_r: read.comm_r,
        comm_d: read.comm_d,
        replica_id: read.replica_id,
        seed: read.seed,
        ticket: read.ticket,
    })
}
