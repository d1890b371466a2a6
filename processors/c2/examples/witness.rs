// SPDX-License-Identifier: MIT OR Apache-2.0

//! Times a witness beside the circuit's own synthesis, in one run, and says how large the circuit is:
//! a 2KiB partition, then one challenge of 32GiB, of which a sector's proofs answer 180.
//!
//! `cargo run --release -p sealpipe-c2 --example witness`

use std::{
    error::Error,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use filecoin_proofs::{
    DefaultPieceHasher, MerkleTreeTrait, PoRepConfig, SectorShapeBase, SectorShapeSub8,
    parameters::setup_params,
};
use sealpipe_c2::{
    circuit::{Circuit, straight::Straight},
    shape::{self, Shape},
    witness::{self, Public, vanilla},
};
use sealpipe_protocol::{Bytes32, stage::proof::SealProof};
use sealpipe_reference::{shape::bytes32, sparse};
use storage_proofs_core::{
    api_version::ApiVersion, compound_proof::CompoundProof, proof::ProofScheme,
};
use storage_proofs_porep::stacked::{
    Challenges, PublicInputs, PublicParams, StackedCompound, StackedDrg, Tau,
};

/// Runs of each, of which the median and the shortest are taken.
const N_RUNS: usize = 41;

/// Runs of the circuit's own, which takes seconds.
const N_SLOW_RUNS: usize = 3;

/// The median and the shortest, in seconds.
#[derive(Clone, Copy)]
struct Times {
    median: f64,
    shortest: f64,
}

fn time(n_runs: usize, mut run: impl FnMut()) -> Times {
    let mut times: Vec<_> = (0..n_runs)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed()
        })
        .collect();
    times.sort();
    let [median, shortest] = [times[n_runs / 2], times[0]].map(|time| time.as_secs_f64());
    Times { median, shortest }
}

fn measure<Tree: 'static + MerkleTreeTrait>(
    proof: SealProof,
    params: &PublicParams<Tree>,
) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let circuit = Circuit::from_blank(shape::blank(params), &AtomicBool::new(false))?;
    let extraction = started.elapsed();
    let shape = Shape::of(params);
    println!("{proof}, {} challenges", shape.n_challenges);
    println!(
        "  {} constraints, {} inputs, {} full-size and {} bits of {} others, {} coefficients",
        circuit.n_constraints(),
        circuit.variables.n_inputs,
        circuit.variables.full.len(),
        circuit.variables.n_bits(),
        circuit.variables.n_aux,
        circuit.coefficients.len(),
    );
    let terms = [&circuit.a, &circuit.b, &circuit.c].map(|matrix| matrix.n_terms());
    println!("  terms of A, B, C: {terms:?}");

    let c1 = sparse::phase1(params, proof, Bytes32([1; 32]), 1, 1)?;
    let replica_id = bytes32(&c1.replica_id).0;
    let public = Public { replica_id, comm_d: c1.comm_d, comm_r: c1.comm_r };
    let partition = vanilla::Proof::of(&c1.vanilla_proofs[0])?;
    let make = || witness::generate(&shape, &circuit.variables, &public, &partition);
    make()?;
    let ours = time(N_RUNS, || drop(std::hint::black_box(make())));
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let alone = one_thread.install(|| time(N_RUNS, || drop(std::hint::black_box(make()))));

    let conversion = time(N_RUNS, || drop(vanilla::Proof::of(&c1.vanilla_proofs[0])));
    let inputs = PublicInputs {
        replica_id: c1.replica_id,
        seed: Some(c1.seed),
        tau: Some(Tau { comm_d: c1.comm_d.into(), comm_r: c1.comm_r.into() }),
        k: None,
    };
    type Compound<Tree> = StackedCompound<Tree, DefaultPieceHasher>;
    let proofs = &c1.vanilla_proofs[0];
    let own = || Compound::<Tree>::circuit(&inputs, (), proofs, params, Some(0));
    let synthesis = time(N_SLOW_RUNS, || drop(own().map(Straight::of)));
    println!(
        "  the circuit's own synthesis takes {:.0} (shortest: {:.0}) times as long as the witness on \
         one thread, {:.0} ({:.0}) times on {}",
        synthesis.median / alone.median,
        synthesis.shortest / alone.shortest,
        synthesis.median / ours.median,
        synthesis.shortest / ours.shortest,
        rayon::current_num_threads(),
    );
    println!(
        "  of the witness on one thread, reading the library's form is {:.3}; extraction of the \
         circuit is {:.1} of its synthesis",
        conversion.shortest / alone.shortest,
        Duration::as_secs_f64(&extraction) / synthesis.shortest,
    );
    eprintln!("  ms: {:.2} {:.2}", 1e3 * alone.shortest, 1e3 * ours.shortest);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let small = SealProof::StackedDrg2KiBV1_1;
    measure(small, &shape::setup::<SectorShapeBase>(small)?)?;
    let large = SealProof::StackedDrg32GiBV1_1;
    let config =
        PoRepConfig::new_groth16(large.sector_bytes(), large.porep_id(), ApiVersion::V1_1_0);
    let mut setup = setup_params(&config)?;
    setup.challenges = Challenges::new_interactive(1);
    type Drg = StackedDrg<'static, SectorShapeSub8, DefaultPieceHasher>;
    measure(large, &Drg::setup(&setup)?)
}
