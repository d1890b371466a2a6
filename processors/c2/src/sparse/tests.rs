// SPDX-License-Identifier: MIT OR Apache-2.0

use filecoin_proofs::{SectorShapeBase, SectorShapeSub8, SectorShapeTop2};
use storage_proofs_core::proof::ProofScheme;
use storage_proofs_porep::stacked::StackedDrg;

use super::*;

fn sector(proof: SealProof, sector_number: u64) -> Sector {
    let [prover_id, ticket, seed] = [1, 2, 3].map(|byte| Bytes32([byte; 32]));
    Sector { proof, prover_id, sector_number, ticket, seed }
}

/// The library verifies every path, label, column and encoding, and draws the challenges itself.
fn check<Tree: 'static + MerkleTreeTrait>(proof: SealProof, sector_number: u64) {
    let sector = sector(proof, sector_number);
    let made = sector.phase1().unwrap();
    let theirs = made.to_library::<Tree>(&sector).unwrap();
    let inputs = PublicInputs {
        replica_id: theirs.replica_id,
        seed: Some(theirs.seed),
        tau: Some(Tau { comm_d: theirs.comm_d.into(), comm_r: theirs.comm_r.into() }),
        k: None,
    };
    let params = shape::setup::<Tree>(proof).unwrap();
    let is_true = |proofs: &[_]| {
        StackedDrg::<Tree, DefaultPieceHasher>::verify_all_partitions(&params, &inputs, proofs)
    };
    assert!(is_true(&theirs.vanilla_proofs).unwrap(), "{proof}");
}

#[test]
fn vanilla_proofs_of_test_sizes_are_true() {
    for sector_number in 0..20 {
        check::<SectorShapeBase>(SealProof::StackedDrg2KiBV1_1, sector_number);
    }
    check::<SectorShapeBase>(SealProof::StackedDrg8MiBV1_1, 20);
    check::<SectorShapeBase>(SealProof::StackedDrg512MiBV1_1, 21);
}

#[test]
fn vanilla_proofs_of_the_networks_sizes_are_true() {
    check::<SectorShapeSub8>(SealProof::StackedDrg32GiBV1_1, 30);
    check::<SectorShapeTop2>(SealProof::StackedDrg64GiBV1_1, 31);
}

#[test]
fn sectors_with_another_number_have_other_proofs() {
    let comm_r = |number| sector(SealProof::StackedDrg2KiBV1_1, number).phase1().unwrap().comm_r;
    assert_ne!(comm_r(1), comm_r(2));
    assert_eq!(comm_r(1), comm_r(1));
}
