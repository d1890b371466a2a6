// SPDX-License-Identifier: MIT OR Apache-2.0

//! From a registered proof to the library's types: configuration, tree shape, pieces.

use blstrs::Scalar;
use ff::PrimeField;
use filecoin_hashers::{Domain, Hasher};
use filecoin_proofs::{
    DefaultTreeHasher, MerkleTreeTrait, PieceInfo, PoRepConfig, SectorSize, UnpaddedBytesAmount,
};
use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    stage::{
        piece::{Piece, unpadded},
        proof::SealProof,
    },
};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_porep::stacked::generate_replica_id;

use crate::library;

/// Calls a function that is generic over the tree's shape with the shape of a proof's sectors:
/// the one place where sizes become types.
#[macro_export]
macro_rules! with_tree {
    ($proof:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        use sealpipe_protocol::stage::proof::SealProof;
        match $proof {
            SealProof::StackedDrg2KiBV1_1
            | SealProof::StackedDrg8MiBV1_1
            | SealProof::StackedDrg512MiBV1_1 => {
                $function::<filecoin_proofs::SectorShapeBase>($($argument),*)
            }
            SealProof::StackedDrg32GiBV1_1 => {
                $function::<filecoin_proofs::SectorShapeSub8>($($argument),*)
            }
            SealProof::StackedDrg64GiBV1_1 => {
                $function::<filecoin_proofs::SectorShapeTop2>($($argument),*)
            }
        }
    }};
}
pub use with_tree;

/// The library's configuration of a proof.
pub fn porep_config(proof: SealProof) -> PoRepConfig {
    PoRepConfig::new_groth16(proof.sector_bytes(), proof.porep_id(), ApiVersion::V1_1_0)
}

/// The tag of the vanilla proofs in filecoin-proofs-api's JSON: the V1 name of the size, whatever
/// the version (filecoin-proofs-api, `seal.rs`, `VanillaSealProof`).
pub fn vanilla_tag(proof: SealProof) -> &'static str {
    match proof {
        SealProof::StackedDrg2KiBV1_1 => "StackedDrg2KiBV1",
        SealProof::StackedDrg8MiBV1_1 => "StackedDrg8MiBV1",
        SealProof::StackedDrg512MiBV1_1 => "StackedDrg512MiBV1",
        SealProof::StackedDrg32GiBV1_1 => "StackedDrg32GiBV1",
        SealProof::StackedDrg64GiBV1_1 => "StackedDrg64GiBV1",
    }
}

/// The library's form of pieces.
///
/// # Errors
/// [`Code::InvalidInput`] for a commitment of zeros, which no piece has.
pub fn piece_infos(pieces: &[Piece]) -> Result<Vec<PieceInfo>, TaskError> {
    pieces
        .iter()
        .enumerate()
        .map(|(i, piece)| {
            PieceInfo::new(piece.comm_p.0, UnpaddedBytesAmount(unpadded(piece.piece_size))).map_err(
                |error| {
                    library::failure(Code::InvalidInput, format!("`pieces[{i}]`"), error.as_ref())
                },
            )
        })
        .collect()
}

/// Refuses pieces of which `comm_d` is not the root.
///
/// # Errors
/// [`Code::InvalidInput`].
pub fn check_pieces(proof: SealProof, pieces: &[Piece], comm_d: Bytes32) -> Result<(), TaskError> {
    let infos = piece_infos(pieces)?;
    let size = SectorSize(proof.sector_bytes());
    match filecoin_proofs::pieces::verify_pieces(&comm_d.0, &infos, size) {
        Ok(true) => Ok(()),
        Ok(false) => Err(TaskError::new(
            Code::InvalidInput,
            format!("`commD` {comm_d} is not the root over `pieces`"),
        )
        .hint("pieces are given in the order in which they were added")),
        Err(error) => Err(library::failure(Code::InvalidInput, "`pieces`", error.as_ref())),
    }
}

/// The replica id: what every label is bound to. All tree shapes have the same hasher.
pub fn replica_id(
    proof: SealProof,
    prover_id: Bytes32,
    sector_number: u64,
    ticket: Bytes32,
    comm_d: Bytes32,
) -> Bytes32 {
    bytes32(&generate_replica_id::<DefaultTreeHasher, _>(
        &prover_id.0,
        sector_number,
        &ticket.0,
        comm_d.0,
        &proof.porep_id(),
    ))
}

/// A replica id or commitment as the library has it.
///
/// # Errors
/// [`Code::InvalidInput`] when it is no field element, on which the library would panic later.
pub fn domain<Tree: MerkleTreeTrait>(
    bytes: Bytes32,
) -> Result<<Tree::Hasher as Hasher>::Domain, TaskError> {
    let no_element = || TaskError::new(Code::InvalidInput, format!("{bytes} is no field element"));
    if bool::from(Scalar::from_repr(bytes.0).is_none()) {
        return Err(no_element());
    }
    <Tree::Hasher as Hasher>::Domain::try_from_bytes(&bytes.0).map_err(|_| no_element())
}

/// A commitment of the library as it stands on the wire.
pub fn bytes32(node: &impl AsRef<[u8]>) -> Bytes32 {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(node.as_ref());
    Bytes32(bytes)
}
