// SPDX-License-Identifier: MIT OR Apache-2.0

//! Matrices and witnesses against the circuit's own synthesis.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use blstrs::Scalar;
use ff::PrimeField;
use filecoin_proofs::{
    DefaultPieceHasher, PoRepConfig, SealCommitPhase1Output, SectorShapeBase,
    parameters::public_params,
};
use sealpipe_c2::{
    circuit::{Circuit, straight::Straight},
    shape::Shape,
    witness::{self, Public, vanilla},
};
use sealpipe_protocol::stage::proof::SealProof;
use sha2::{Digest, Sha256};
use storage_proofs_core::{api_version::ApiVersion, compound_proof::CompoundProof};
use storage_proofs_porep::stacked::{PublicInputs, StackedCompound, Tau};

const SMALL: SealProof = SealProof::StackedDrg2KiBV1_1;

fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(name)
}

type Phase1 = SealCommitPhase1Output<SectorShapeBase>;

fn phase1(name: &str) -> Phase1 {
    bincode::deserialize_from(File::open(vector(&format!("{name}.c1.bin"))).unwrap()).unwrap()
}

/// The circuit's own values, and the inputs as the verifier makes them.
fn own(proof: SealProof, c1: &Phase1) -> (Straight, Vec<Scalar>) {
    let config = PoRepConfig::new_groth16(proof.sector_bytes(), proof.porep_id(), ApiVersion::V1_1_0);
    let params = public_params::<SectorShapeBase>(&config).unwrap();
    let inputs = PublicInputs {
        replica_id: c1.replica_id,
        seed: Some(c1.seed),
        tau: Some(Tau { comm_d: c1.comm_d.into(), comm_r: c1.comm_r.into() }),
        k: None,
    };
    type Compound = StackedCompound<SectorShapeBase, DefaultPieceHasher>;
    let circuit = Compound::circuit(&inputs, (), &c1.vanilla_proofs[0], &params, Some(0)).unwrap();
    let public = Compound::generate_public_inputs(&inputs, &params, Some(0)).unwrap();
    (Straight::of(circuit).unwrap(), public)
}

fn public(c1: &Phase1) -> Public {
    Public { replica_id: c1.replica_id.into(), comm_d: c1.comm_d, comm_r: c1.comm_r }
}

fn sha256(scalars: &[Scalar]) -> String {
    let mut hasher = Sha256::new();
    for scalar in scalars {
        hasher.update(scalar.to_repr());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_witness_is_the_circuits_own_in_every_variable() {
    let circuit = Circuit::extract(SMALL, &AtomicBool::new(false)).unwrap();
    let shape = Shape::of_proof(SMALL).unwrap();
    for name in ["2KiB-data", "2KiB-cc"] {
        let c1 = phase1(name);
        let (straight, verifiers) = own(SMALL, &c1);
        let expected = straight.assignment(&circuit.variables).unwrap();
        assert_eq!(expected.values[1..=verifiers.len()], verifiers);
        let proofs = vanilla::Proof::of(&c1.vanilla_proofs[0]).unwrap();
        let made = witness::generate(&shape, &circuit.variables, &public(&c1), &proofs).unwrap();
        let differ = made.values.iter().zip(&expected.values).position(|(a, b)| a != b);
        assert_eq!(differ, None, "{name}: of {}", expected.values.len());
        let differ = made.bits.iter().zip(&expected.bits).position(|(a, b)| a != b);
        assert_eq!(differ, None, "{name}: words of {}", expected.bits.len());
        assert!(made == expected, "{name}");
    }
}
