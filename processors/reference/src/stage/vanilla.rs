// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the output of c1 is true: milliseconds, before minutes are spent on a proof of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use filecoin_hashers::{Domain, Hasher};
use filecoin_proofs::{
    DefaultPieceDomain, DefaultPieceHasher, MerkleTreeTrait, SealCommitPhase1Output,
    VanillaSealProof,
};
use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    stage::{c2::Params, proof::SealProof},
};
use storage_proofs_core::{merkle::MerkleProofTrait, proof::ProofScheme};
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
    // The library looks at the positions of these two paths, and not at where they lead.
    let leads_to_root = |opening: &VanillaSealProof<Tree>| {
        opening.comm_d_proofs.verify() && opening.comm_r_last_proof.verify()
    };
    let are_true = |part: &Vec<_>| !part.is_empty() && part.iter().all(leads_to_root);
    if !phase1.vanilla_proofs.iter().all(are_true) {
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use filecoin_proofs::SectorShapeBase;
    use sealpipe_protocol::stage::c1::FileRef;
    use serde_json::Value;

    use super::*;
    use crate::stage::phase1_json;

    const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

    /// The first bit of each path of a challenge, and of what it leads from.
    #[test]
    fn an_opening_with_another_bit_anywhere_is_refused_before_it_is_proved() {
        let golden = include_str!("../../../../tests/vectors/2KiB-cc.c1-api.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        let params = Params {
            proof: PROOF,
            prover_id: Bytes32([9; 32]),
            sector_number: 1_108_152_157_446,
            c1: FileRef { path: PathBuf::from("/c1.json"), size: 0, sha256: Bytes32([0; 32]) },
        };
        let check = |output: &Value| {
            let text = output.to_string();
            let phase1 = phase1_json::read::<SectorShapeBase>(PROOF, text.as_bytes())?;
            super::check(&params, &phase1)
        };
        check(&golden).unwrap();
        let column = "replica_column_proofs";
        for path in [
            "comm_d_proofs/data/Single",
            "comm_r_last_proof/data/Single",
            &format!("{column}/c_x/inclusion_proof/data/Single"),
            &format!("{column}/drg_parents/5/inclusion_proof/data/Single"),
            &format!("{column}/exp_parents/7/inclusion_proof/data/Single"),
        ] {
            for member in ["root/0", "leaf/0", "path/path/0/hashes/0/0", "path/path/1/index"] {
                let mut output = golden.clone();
                let pointer = format!("/vanilla_proofs/StackedDrg2KiBV1/0/1/{path}/{member}");
                let number = output.pointer_mut(&pointer).expect(&pointer);
                *number = (number.as_u64().unwrap() ^ 1).into();
                let error = check(&output).expect_err(&pointer);
                assert_eq!(error.known_code(), Some(Code::InvalidInput), "{pointer}: {error:?}");
            }
        }
    }
}
