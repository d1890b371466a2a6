// SPDX-License-Identifier: MIT OR Apache-2.0

//! Matrices and witnesses against the circuit's own synthesis.

mod sector;

use std::{
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use blstrs::Scalar;
use ff::PrimeField;
use filecoin_proofs::{
    DefaultPieceHasher, DefaultTreeHasher, PoRepConfig, SealCommitPhase1Output, SectorShapeBase,
    SectorShapeSub2, SectorShapeSub8, SectorShapeTop2, parameters::public_params,
};
use generic_array::typenum::{U0, U4, U8};
use sealpipe_c2::{
    assignment::Assignment,
    circuit::{Circuit, straight::Straight},
    shape::{self, Shape},
    witness::{self, Public, vanilla},
};
use sealpipe_protocol::stage::proof::SealProof;
use sector::Vanilla;
use sha2::{Digest, Sha256};
use storage_proofs_core::{
    api_version::ApiVersion,
    compound_proof::CompoundProof,
    merkle::{DiskTree, MerkleTreeTrait},
};
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
fn own_values(proof: SealProof, c1: &Phase1) -> (Straight, Vec<Scalar>) {
    let config =
        PoRepConfig::new_groth16(proof.sector_bytes(), proof.porep_id(), ApiVersion::V1_1_0);
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

fn sha256(bytes: impl Iterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.collect();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares every variable, and says where the first difference is.
fn check_same(made: &Assignment, expected: &Assignment, what: &str) {
    let values = made.values.iter().zip(&expected.values);
    let differ = values.clone().position(|(made, expected)| made != expected);
    assert_eq!(differ, None, "{what}: value of {}", expected.values.len());
    let differ = made.bits.iter().zip(&expected.bits).position(|(made, expected)| made != expected);
    assert_eq!(differ, None, "{what}: word of {} with bits", expected.bits.len());
    assert!(made == expected, "{what}: lengths");
}

/// The matrices times the witness have to be what the circuit says of a, b and c.
fn check_products(circuit: &Circuit, made: &Assignment, own: &Straight) {
    assert_eq!(circuit.n_constraints(), own.a.len());
    for (matrix, expected) in [(&circuit.a, &own.a), (&circuit.b, &own.b), (&circuit.c, &own.c)] {
        let wrong = (0..expected.len())
            .find(|row| matrix.product(*row, &circuit.coefficients, made) != expected[*row]);
        assert_eq!(wrong, None, "row of {}", expected.len());
    }
}

#[test]
fn known_sectors_are_proved_in_every_variable_and_constraint() {
    let circuit = Circuit::extract(SMALL, &AtomicBool::new(false)).unwrap();
    let shape = Shape::of_proof(SMALL).unwrap();
    for name in ["2KiB-data", "2KiB-cc"] {
        let c1 = phase1(name);
        let (own, verifiers) = own_values(SMALL, &c1);
        let expected = own.assignment(&circuit.variables).unwrap();
        assert_eq!(expected.values[1..=verifiers.len()], verifiers);
        let proofs = vanilla::Proof::of(&c1.vanilla_proofs[0]).unwrap();
        let made = witness::generate(&shape, &circuit.variables, &public(&c1), &proofs).unwrap();
        check_same(&made, &expected, name);
        check_products(&circuit, &made, &own);
        check_digests(name, &circuit, &own);
    }
}

/// Digests that were made with bellperson's prover, independently of this crate (tests/vectors).
fn check_digests(name: &str, circuit: &Circuit, own: &Straight) {
    let text = fs::read_to_string(vector(&format!("{name}.json"))).unwrap();
    let known: serde_json::Value = serde_json::from_str(&text).unwrap();
    let known = &known["circuit"]["sha256"];
    let scalars = |scalars: &[Scalar]| sha256(scalars.iter().flat_map(|scalar| scalar.to_repr()));
    let marks = |words: &[u64], n: usize| {
        sha256(words.iter().flat_map(|word| word.to_le_bytes()).take(n.div_ceil(8)))
    };
    let (n_inputs, n_aux) = (own.inputs.len(), own.aux.len());
    let densities = &circuit.densities;
    for (what, found) in [
        ("input", scalars(&own.inputs)),
        ("aux", scalars(&own.aux)),
        ("a", scalars(&own.a)),
        ("b", scalars(&own.b)),
        ("c", scalars(&own.c)),
        ("a_aux_density", marks(&densities.a_aux, n_aux)),
        ("b_input_density", marks(&densities.b_inputs, n_inputs)),
        ("b_aux_density", marks(&densities.b_aux, n_aux)),
    ] {
        assert_eq!(found, known[what], "{what}");
    }
}

/// Random sectors of a shape, sealed here: `of` are the seeds.
fn check_shape<Tree: 'static + MerkleTreeTrait>(
    n_nodes: usize,
    n_layers: usize,
    n_challenges: usize,
    of: Range<u64>,
) {
    let params = sector::setup::<Tree>(n_nodes, n_layers, n_challenges);
    let circuit = Circuit::from_blank(shape::blank(&params), &AtomicBool::new(false)).unwrap();
    let shape = Shape::of(&params);
    for seed in of {
        let vanilla = Vanilla::random(&params, n_nodes, seed);
        let own = vanilla.own(&params);
        assert_eq!(own.first_violated(), None);
        let expected = own.assignment(&circuit.variables).unwrap();
        assert_eq!(expected.values[1..own.inputs.len()], vanilla.verifiers(&params));
        let proofs = vanilla.ours();
        let made =
            witness::generate(&shape, &circuit.variables, &vanilla.public(), &proofs).unwrap();
        check_same(&made, &expected, &format!("{shape:?}, seed {seed}"));
    }
}

#[test]
fn random_sectors_are_proved_in_every_variable() {
    check_shape::<SectorShapeBase>(64, 2, 2, 0..4);
}

#[test]
fn trees_of_trees_are_proved_in_every_variable() {
    check_shape::<SectorShapeSub2>(128, 2, 1, 10..11);
    check_shape::<SectorShapeTop2>(1024, 2, 1, 12..13);
    type Sub4 = DiskTree<DefaultTreeHasher, U8, U4, U0>;
    check_shape::<Sub4>(256, 2, 1, 14..15);
}

#[test]
fn the_networks_shape_is_proved_in_every_variable() {
    // 32GiB's: 8-8-0 trees and eleven layers, in a sector of 512 nodes.
    check_shape::<SectorShapeSub8>(512, 11, 1, 20..21);
}
