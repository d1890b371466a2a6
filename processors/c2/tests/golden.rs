// SPDX-License-Identifier: MIT OR Apache-2.0

//! The proof of the golden sector with fixed r and s, bit for bit bellperson's: on the GPU, and by the book.
//!
//! They take the 2KiB test parameters (`sealpipe-reference params make --size 2KiB`), and say so and do nothing
//! where there are none, or no GPU. `REQUIRE_GPU=1` makes that a failure.

mod common;

use bellperson::groth16::Proof;
use blstrs::{Bls12, Scalar};
use common::Book;
use filecoin_proofs::{SealCommitPhase1Output, SectorShapeBase};
use sealpipe_c2::{
    assignment::Assignment,
    circuit::Circuit,
    gpu,
    params::{Params, convert::Order, kept},
    prove::{Blinding, Prover, assemble},
    resident,
    shape::Shape,
    watch::Watch,
    witness::{self, Public, vanilla},
};
use sealpipe_gpu::device;
use sealpipe_protocol::{Code, stage::proof::SealProof};

const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

/// `circuit.prove` of the vector `2KiB-data`.
const R: u64 = 0x1122_3344_5566_7788;
const S: u64 = 0x99aa_bbcc_ddee_ff01;
const GOLDEN: &str = "9816cbb9c67ebe816ed570f8dc535e3ff7d177a9ed2ce68ab4b7306835bcac2a6d4b03f11e12b7c2\
    5267bffd0aad6d2cb5b78b0f68ff1fb65f813859cff8cd50ca1ffc729aa4b5bdc0c9af0fe9271cafbeb688d89c738f665c0682f2\
    e595a1940a772ff28bb415a906ab7ace162d2c2b14536028df4b4b5713a70eaf5579540bb23f9cc218d79358dd012ee8deeac68c\
    8a2f1c55d136edb25c124c572c4c3650843d4ab99a96c69cb72e40c780ed2508f65f011d263a8b369390cf33f930b9d9";

fn assignment(circuit: &Circuit) -> Assignment {
    let bytes = include_bytes!("../../../tests/vectors/2KiB-data.c1.bin");
    let c1: SealCommitPhase1Output<SectorShapeBase> = bincode::deserialize(bytes).unwrap();
    let public = Public { replica_id: c1.replica_id.into(), comm_d: c1.comm_d, comm_r: c1.comm_r };
    let proofs = vanilla::Proof::of(&c1.vanilla_proofs[0]).unwrap();
    let shape = Shape::of_proof(PROOF).unwrap();
    witness::generate(&shape, &circuit.variables, &public, &proofs).unwrap()
}

fn hex(proof: &Proof<Bls12>) -> String {
    let mut bytes = Vec::new();
    proof.write(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn required() -> bool {
    std::env::var_os("REQUIRE_GPU").is_some()
}

/// The circuit and its parameters, where they are.
fn prepared(order: Order) -> Option<(Circuit, Params)> {
    let circuit = Circuit::extract(PROOF, &std::sync::atomic::AtomicBool::new(false)).unwrap();
    match kept::ensure(PROOF, &circuit, order, &Watch::nobody()) {
        Ok((params, _)) => Some((circuit, params)),
        Err(error) if error.known_code() == Some(Code::ParametersMissing) && !required() => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn check(prover: &mut dyn Prover, circuit: &Circuit, params: &Params) {
    let sums = prover.sums(&assignment(circuit), &Watch::nobody()).unwrap();
    let blinding = Blinding { r: Scalar::from(R), s: Scalar::from(S) };
    let proof = assemble(&resident::key(params).unwrap(), &sums, blinding).unwrap();
    assert_eq!(hex(&proof), GOLDEN.replace(' ', ""));
}

#[test]
fn the_golden_proof_comes_from_the_gpu_bit_for_bit() {
    let devices = match device::all() {
        Ok(devices) => devices,
        Err(error) if !required() => {
            println!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let Some((circuit, params)) = prepared(gpu::ORDER) else { return };
    for device in &devices {
        let mut prover =
            gpu::prover::load(device, &circuit, params.clone(), &Watch::nobody()).unwrap();
        // Twice: what stays on the device is not used up.
        check(prover.as_mut(), &circuit, &params);
        check(prover.as_mut(), &circuit, &params);
    }
}

#[test]
#[ignore = "a minute of all cpus: the small circuits of `prove` show the same"]
fn the_golden_proof_comes_from_the_book_bit_for_bit() {
    // The file is the device's, so its order is, too; the book reads coefficients in order.
    let Some((circuit, params)) = prepared(gpu::ORDER) else { return };
    let mut book = Book { circuit: &circuit, params: &params, order: gpu::ORDER };
    check(&mut book, &circuit, &params);
}
