// SPDX-License-Identifier: MIT OR Apache-2.0

//! Matrices and witnesses against the circuit's own synthesis.

mod sector;

use std::{
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use bincode::Options;
use blstrs::Scalar;
use ff::PrimeField;
use filecoin_proofs::{
    DefaultPieceHasher, DefaultTreeHasher, PoRepConfig, SealCommitPhase1Output, SectorShapeBase,
    SectorShapeSub2, SectorShapeSub8, SectorShapeTop2, parameters::public_params,
};
use generic_array::typenum::{U0, U4, U8};
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;
use sealpipe_c2::{
    assignment::{Assignment, Variables},
    circuit::{self, Circuit, straight::Straight},
    shape::{self, Shape},
    witness::{self, Public, vanilla},
};
use sealpipe_protocol::{Bytes32, Code, stage::proof::SealProof};
use sealpipe_reference::sparse;
use sector::Vanilla;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use storage_proofs_core::{
    api_version::ApiVersion,
    compound_proof::CompoundProof,
    merkle::{DiskTree, MerkleTreeTrait},
};
use storage_proofs_porep::stacked::{Proof, PublicInputs, PublicParams, StackedCompound, Tau};

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
    check_vanilla(&params, of.map(|seed| Vanilla::random(&params, n_nodes, seed)));
}

/// True vanilla proofs against the circuit's own values.
fn check_vanilla<Tree: 'static + MerkleTreeTrait>(
    params: &PublicParams<Tree>,
    proofs: impl IntoIterator<Item = Vanilla<Tree>>,
) {
    let circuit = Circuit::from_blank(shape::blank(params), &AtomicBool::new(false)).unwrap();
    let shape = Shape::of(params);
    for (i, vanilla) in proofs.into_iter().enumerate() {
        let own = vanilla.own(params);
        assert_eq!(own.first_violated(), None);
        let expected = own.assignment(&circuit.variables).unwrap();
        assert_eq!(expected.values[1..own.inputs.len()], vanilla.verifiers(params));
        let proofs = vanilla.ours();
        let made =
            witness::generate(&shape, &circuit.variables, &vanilla.public(), &proofs).unwrap();
        check_same(&made, &expected, &format!("{shape:?}, number {i}"));
    }
}

#[test]
fn random_sectors_are_proved_in_every_variable() {
    check_shape::<SectorShapeBase>(64, 2, 2, 0..4);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_random_sectors_are_proved_in_every_variable() {
    check_shape::<SectorShapeBase>(64, 2, 2, 100..200);
}

/// A sparse sector's first partition, with one challenge for each partition.
fn check_sparse<Tree: 'static + MerkleTreeTrait>(proof: SealProof) {
    let n_nodes = proof.n_nodes() as usize;
    let params = sector::setup::<Tree>(n_nodes, proof.n_layers() as usize, 1);
    let c1 = sparse::phase1(&params, proof, Bytes32([1; 32]), 4, 1).unwrap();
    let tau = Tau { comm_d: c1.comm_d.into(), comm_r: c1.comm_r.into() };
    let inputs =
        PublicInputs { replica_id: c1.replica_id, seed: Some(c1.seed), tau: Some(tau), k: None };
    check_vanilla(
        &params,
        [Vanilla { inputs, proofs: c1.vanilla_proofs.into_iter().next().unwrap() }],
    );
}

#[test]
fn sparse_sectors_of_all_sizes_are_proved_in_every_variable() {
    check_sparse::<SectorShapeBase>(SealProof::StackedDrg8MiBV1_1);
    check_sparse::<SectorShapeBase>(SealProof::StackedDrg512MiBV1_1);
    check_sparse::<SectorShapeSub8>(SealProof::StackedDrg32GiBV1_1);
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

/// Vanilla proofs in their bincode, which has no redundancy: any bit may be any part of them.
fn with_flipped_bit(proofs: &[Proof<SectorShapeBase, DefaultPieceHasher>], bit: usize) -> Vec<u8> {
    let mut bytes = bincode::serialize(proofs).unwrap();
    let bit = bit % (8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// With a bound on lengths, for a flipped bit of one makes it huge.
fn deserialize<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let n_max = 2 * bytes.len() as u64;
    bincode::options().with_fixint_encoding().with_limit(n_max).deserialize(bytes).ok()
}

#[test]
fn false_vanilla_proofs_are_refused_or_violate_the_constraints_as_the_circuits_own_do() {
    let params = sector::setup::<SectorShapeBase>(64, 2, 2);
    let circuit = Circuit::from_blank(shape::blank(&params), &AtomicBool::new(false)).unwrap();
    let shape = Shape::of(&params);
    let vanilla = Vanilla::<SectorShapeBase>::random(&params, 64, 30);
    let mut rng = XorShiftRng::seed_from_u64(31);
    let inputs = vanilla.verifiers(&params);
    let generate_true = |proofs: &[vanilla::Proof]| {
        witness::generate_true(&shape, &circuit.variables, &vanilla.public(), proofs, &inputs)
    };
    let truth = generate_true(&vanilla.ours()).unwrap();
    let (mut n_refused, mut n_compared) = (0, 0);
    for _ in 0..400 {
        let bytes = with_flipped_bit(&vanilla.proofs, rng.next_u32() as usize);
        let Some(proofs) = deserialize::<Vec<vanilla::Proof>>(&bytes) else { continue };
        let made = witness::generate(&shape, &circuit.variables, &vanilla.public(), &proofs);
        let Ok(made) = made else {
            n_refused += 1;
            continue;
        };
        // What changes a value violates something, and what does not is not part of the statement.
        assert_eq!(generate_true(&proofs).is_ok(), made == truth);
        // The circuit's own takes seconds.
        if n_compared < 4 {
            n_compared += 1;
            let proofs = deserialize(&bytes).unwrap();
            let own = Vanilla { inputs: vanilla.inputs.clone(), proofs }.own(&params);
            check_same(&made, &own.assignment(&circuit.variables).unwrap(), "a flipped bit");
            let is_used = own.aux != vanilla.own(&params).aux;
            assert_eq!(own.first_violated().is_some(), is_used);
        }
    }
    assert!(n_refused > 0 && n_compared == 4, "{n_refused} refused, {n_compared} compared");
}

#[test]
fn a_witness_for_another_circuit_is_refused() {
    let params = sector::setup::<SectorShapeBase>(64, 2, 1);
    let mut circuit = Circuit::from_blank(shape::blank(&params), &AtomicBool::new(false)).unwrap();
    let shape = Shape::of(&params);
    let vanilla = Vanilla::<SectorShapeBase>::random(&params, 64, 40);
    let (public, proofs) = (vanilla.public(), vanilla.ours());
    let generate = |shape: &Shape, variables: &Variables, proofs: &[vanilla::Proof]| {
        witness::generate(shape, variables, &public, proofs)
    };
    generate(&shape, &circuit.variables, &proofs).unwrap();
    generate(&shape, &circuit.variables, &[]).unwrap_err();
    for changed in [
        Shape { n_layers: 11, ..shape.clone() },
        Shape { n_nodes: 128, ..shape.clone() },
        Shape { arities: vec![8; 3], ..shape.clone() },
    ] {
        generate(&changed, &circuit.variables, &proofs).unwrap_err();
    }
    // A bit taken for a full-size variable, and the other way round.
    let full = circuit.variables.full.clone();
    for i in [0, full.len() / 2, full.len() - 1] {
        circuit.variables.full = full.clone();
        circuit.variables.full[i] ^= 1;
        if circuit.variables.full.is_sorted_by(|a, b| a < b) {
            generate(&shape, &circuit.variables, &proofs).unwrap_err();
        }
    }
}

#[test]
fn a_circuit_is_extracted_once_and_again_when_its_file_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = AtomicBool::new(false);
    let extracted = Circuit::of(SMALL, dir.path(), &cancel).unwrap();
    // Nothing can be extracted any more.
    cancel.store(true, Ordering::Relaxed);
    assert!(Circuit::of(SMALL, dir.path(), &cancel).unwrap() == extracted);
    let path = circuit::path(SMALL, dir.path()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = Circuit::of(SMALL, dir.path(), &cancel).unwrap_err();
    assert_eq!(error.known_code(), Some(Code::Cancelled));
    cancel.store(false, Ordering::Relaxed);
    assert!(Circuit::of(SMALL, dir.path(), &cancel).unwrap() == extracted);
    assert!(Circuit::load(SMALL, dir.path()).unwrap() == Some(extracted));
}

#[test]
fn a_circuit_made_of_repetitions_is_the_circuits_own() {
    let params = sector::setup::<SectorShapeBase>(64, 2, 3);
    let cancel = AtomicBool::new(false);
    let repeated = Circuit::of_params(&params, &cancel).unwrap();
    assert!(repeated == Circuit::from_blank(shape::blank(&params), &cancel).unwrap());
}
