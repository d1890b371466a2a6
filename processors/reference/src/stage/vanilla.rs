// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the output of c1 is true: milliseconds, before minutes are spent on a proof of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use filecoin_hashers::{Domain, Hasher};
use filecoin_proofs::{
    DefaultPieceDomain, DefaultPieceHasher, MerkleTreeTrait, SealCommitPhase1Output,
};
use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    stage::{c2::Params, proof::SealProof},
};
use storage_proofs_core::proof::ProofScheme;
use storage_proofs_porep::stacked::{PublicInputs, StackedDrg, Tau};

use crate::shape;

type DomainOf<Tree> = <<Tree as MerkleTreeTrait>::Hasher as Hasher>::Domain;

/// What a proof is about, as the library has it.
pub type Statement<Tree> = PublicInputs<DomainOf<Tree>, DefaultPieceDomain>;

/// What the output of c1 claims.
///
/// # Errors
/// [`Code::InvalidInput`] when a commitment is no field element, or none at all.
pub fn statement<Tree: MerkleTreeTrait>(
    phase1: &SealCommitPhase1Output<Tree>,
) -> Result<Statement<Tree>, TaskError> {
    for (name, bytes) in
        [("comm_r", phase1.comm_r), ("comm_d", phase1.comm_d), ("seed", phase1.seed)]
    {
        if bytes == [0; 32] {
            return Err(false_output(&format!("its `{name}` is zero")));
        }
    }
    let comm_d = DefaultPieceDomain::try_from_bytes(&phase1.comm_d)
        .map_err(|_| false_output("its `comm_d` is no field element"))?;
    Ok(PublicInputs {
        replica_id: phase1.replica_id,
        tau: Some(Tau { comm_d, comm_r: shape::domain::<Tree>(Bytes32(phase1.comm_r))? }),
        k: None,
        seed: Some(phase1.seed),
    })
}

/// Refuses an output of c1 that is of another sector than `params`, or whose openings do not hold: no
/// prover can make a proof of it.
///
/// # Errors
/// [`Code::InvalidInput`].
pub fn check<Tree: 'static + MerkleTreeTrait>(
    params: &Params,
    phase1: &SealCommitPhase1Output<Tree>,
) -> Result<(), TaskError> {
    let statement = statement(phase1)?;
    let replica_id = shape::replica_id(
        params.proof,
        params.prover_id,
        params.sector_number,
        Bytes32(phase1.ticket),
        Bytes32(phase1.comm_d),
    );
    if shape::bytes32(&phase1.replica_id) != replica_id {
        let text =
            "its replica id is not that of `proverId`, `sectorNumber`, its ticket and comm_d";
        return Err(false_output(text));
    }
    // The library trusts the form of what it made itself, and panics where that is another.
    let holds = catch_unwind(AssertUnwindSafe(|| holds(params.proof, phase1, &statement)));
    match holds {
        Ok(true) => Ok(()),
        _ => Err(false_output("its openings do not hold")),
    }
}

fn holds<Tree: 'static + MerkleTreeTrait>(
    proof: SealProof,
    phase1: &SealCommitPhase1Output<Tree>,
    statement: &Statement<Tree>,
) -> bool {
    if phase1.vanilla_proofs.iter().any(Vec::is_empty) {
        return false;
    }
    filecoin_proofs::parameters::public_params::<Tree>(&shape::porep_config(proof))
        .and_then(|public| {
            StackedDrg::<Tree, DefaultPieceHasher>::verify_all_partitions(
                &public,
                statement,
                &phase1.vanilla_proofs,
            )
        })
        .unwrap_or(false)
}

fn false_output(why: &str) -> TaskError {
    TaskError::new(Code::InvalidInput, format!("the output of c1 is false: {why}"))
        .hint("run c1 again; if it comes to the same, the sector's files are damaged")
}
