// SPDX-License-Identifier: MIT OR Apache-2.0

//! The output of c1 for a sector that does not exist: of the real shape, at no cost.
//!
//! A proof of replication opens a few nodes of a sector: the challenged ones, their parents, and the paths from
//! these to three roots. What lies beside the paths is free. So only the opened nodes are computed, everything
//! else is drawn from a number, and the proof is as true as a sealed sector's: there are trees of these roots
//! in which the challenged labels are right. The data are zeros, since the replica id, on which the challenges
//! depend, binds their root.
//!
//! It is there to try and to measure c2 at 32 GiB without sealing 32 GiB: [`sector`] has the opened nodes,
//! [`tree`] a tree of which only some leaves are known.

mod sector;
mod tree;

use filecoin_hashers::Hasher;
use filecoin_proofs::{
    DefaultPieceHasher, MerkleTreeTrait, SealCommitPhase1Output, parameters::public_params,
};
use sealpipe_protocol::{Bytes32, Code, TaskError, stage::proof::SealProof};
use sha2::{Digest, Sha256};
use storage_proofs_core::drgraph::Graph;
use storage_proofs_porep::stacked::{PublicInputs, PublicParams};

use self::sector::Sector;
use crate::{
    library,
    shape::{self, with_tree},
    stage::phase1_json,
};

/// A sector that does not exist, opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// The output of c1, as c1 writes it.
    pub c1: Vec<u8>,
    /// Root of the tree over the data.
    pub comm_d: Bytes32,
    /// The commitment to the replica.
    pub comm_r: Bytes32,
    /// Randomness of the chain that the replica is bound to.
    pub ticket: Bytes32,
    /// Randomness of the chain that the challenges are drawn from.
    pub seed: Bytes32,
}

/// Opens a prover's sector of a number. All else is drawn from `draw`: the same arguments give the same bytes.
///
/// # Errors
/// A defect: the library does not know the shape.
pub fn open(
    proof: SealProof,
    prover_id: Bytes32,
    sector_number: u64,
    draw: u64,
) -> Result<Opened, TaskError> {
    with_tree!(proof, open_shaped(proof, prover_id, sector_number, draw))
}

fn open_shaped<Tree: 'static + MerkleTreeTrait>(
    proof: SealProof,
    prover_id: Bytes32,
    sector_number: u64,
    draw: u64,
) -> Result<Opened, TaskError> {
    let params = public_params::<Tree>(&shape::porep_config(proof))
        .map_err(|e| library::failure(Code::InternalError, "the sector's shape", e.as_ref()))?;
    let output = phase1(&params, proof, prover_id, sector_number, draw)?;
    Ok(Opened {
        c1: phase1_json::write(proof, &output)?,
        comm_d: Bytes32(output.comm_d),
        comm_r: Bytes32(output.comm_r),
        ticket: Bytes32(output.ticket),
        seed: Bytes32(output.seed),
    })
}

/// The output of c1 as filecoin-proofs has it, of a sector of any shape: with fewer challenges than the
/// proof's, say.
///
/// # Errors
/// As [`open`].
pub fn phase1<Tree: 'static + MerkleTreeTrait>(
    params: &PublicParams<Tree>,
    proof: SealProof,
    prover_id: Bytes32,
    sector_number: u64,
    draw: u64,
) -> Result<SealCommitPhase1Output<Tree>, TaskError> {
    let draw = Draw(draw);
    let (ticket, seed) = (draw.bytes("ticket", 0, 0), draw.bytes("seed", 0, 0));
    let n_nodes = params.graph.size();
    let comm_d = shape::bytes32(&tree::of_zeros(n_nodes as u64).root());
    let replica_id = shape::replica_id(proof, prover_id, sector_number, ticket, comm_d);
    let inputs = PublicInputs::<_, <DefaultPieceHasher as Hasher>::Domain> {
        replica_id: shape::domain::<Tree>(replica_id)?,
        seed: Some(seed.0),
        tau: None,
        k: None,
    };
    let partitions: Vec<_> = (0..usize::from(shape::porep_config(proof).partitions))
        .map(|k| inputs.challenges(&params.challenges, n_nodes, Some(k)))
        .collect();
    let challenges = partitions.iter().flatten().map(|place| *place as u64).collect();
    let sector = Sector::<Tree>::new(params, replica_id, &challenges, draw)?;
    let open = |challenges: Vec<usize>| {
        challenges.into_iter().map(|place| sector.open(place as u64)).collect()
    };
    Ok(SealCommitPhase1Output {
        vanilla_proofs: partitions.into_iter().map(open).collect::<Result<_, _>>()?,
        comm_r: shape::bytes32(&sector.comm_r()).0,
        comm_d: comm_d.0,
        replica_id: inputs.replica_id,
        seed: seed.0,
        ticket: ticket.0,
    })
}

/// Where what is free comes from: a hash of what it is, and of one number.
#[derive(Clone, Copy, Debug)]
struct Draw(u64);

impl Draw {
    /// A field element for the node of a tree or column at a row and place.
    fn bytes(self, what: &str, row: usize, place: u64) -> Bytes32 {
        let text = format!("{} {what} {row} {place}", self.0);
        let mut bytes: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        // Below 2^254, so below the order of the field.
        bytes[31] &= 0b0011_1111;
        Bytes32(bytes)
    }
}

#[cfg(test)]
mod tests {
    use filecoin_proofs::{DefaultPieceDomain, VanillaSealProof};
    use storage_proofs_core::proof::ProofScheme;
    use storage_proofs_porep::stacked::{StackedDrg, Tau};

    use super::*;

    const PROVER: Bytes32 = Bytes32([7; 32]);

    /// Whether filecoin-proofs takes the vanilla proofs, once as they are and once with a label of the first
    /// column changed.
    fn verified<Tree: 'static + MerkleTreeTrait>(
        proof: SealProof,
        opened: &Opened,
    ) -> Result<(bool, bool), TaskError> {
        let output = phase1_json::read::<Tree>(proof, &opened.c1)?;
        let domain = |bytes: [u8; 32]| shape::domain::<Tree>(Bytes32(bytes));
        let tau =
            Tau { comm_d: DefaultPieceDomain::from(output.comm_d), comm_r: domain(output.comm_r)? };
        let inputs = PublicInputs {
            replica_id: output.replica_id,
            seed: Some(output.seed),
            tau: Some(tau),
            k: None,
        };
        let params = public_params::<Tree>(&shape::porep_config(proof)).unwrap();
        let verify = |proofs: &[Vec<VanillaSealProof<Tree>>]| {
            StackedDrg::<Tree, DefaultPieceHasher>::verify_all_partitions(&params, &inputs, proofs)
                .unwrap()
        };
        let is_true = verify(&output.vanilla_proofs);
        let mut changed = output.vanilla_proofs;
        let parents = &changed[0][1].labeling_proofs[0];
        changed[0][0].labeling_proofs[0] = parents.clone();
        Ok((is_true, verify(&changed)))
    }

    #[track_caller]
    fn check(proof: SealProof) {
        let opened = open(proof, PROVER, 5, 1).unwrap();
        assert_eq!(opened, open(proof, PROVER, 5, 1).unwrap());
        assert_ne!(opened.comm_r, open(proof, PROVER, 5, 2).unwrap().comm_r);
        let found = with_tree!(proof, verified(proof, &opened)).unwrap();
        assert_eq!(found, (true, false));
    }

    #[test]
    fn a_small_sector_that_does_not_exist_is_verified() {
        check(SealProof::StackedDrg2KiBV1_1);
        check(SealProof::StackedDrg8MiBV1_1);
    }

    #[test]
    fn so_is_one_of_32_gib() {
        check(SealProof::StackedDrg32GiBV1_1);
    }
}
