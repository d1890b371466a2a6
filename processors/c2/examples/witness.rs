// SPDX-License-Identifier: MIT OR Apache-2.0

//! Times the witness of a 2KiB partition beside the circuit's own synthesis, in one run, and says how
//! large the circuit is.
//!
//! `cargo run --release -p sealpipe-c2 --example witness -- tests/vectors/2KiB-data.c1.bin`

use std::{
    error::Error,
    fs::File,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use filecoin_proofs::{DefaultPieceHasher, SealCommitPhase1Output, SectorShapeBase as Tree};
use sealpipe_c2::{
    circuit::{Circuit, straight::Straight},
    shape::{self, Shape},
    witness::{self, Public, vanilla},
};
use sealpipe_protocol::stage::proof::SealProof;
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_porep::stacked::{PublicInputs, StackedCompound, Tau};

/// Runs of each; the median is shown.
const N_RUNS: usize = 21;

/// Runs of the circuit's own, which takes seconds.
const N_SLOW_RUNS: usize = 3;

const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

fn median(n_runs: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..n_runs)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed()
        })
        .collect();
    times.sort();
    times[n_runs / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("give the output of c1 as bincode")?;
    let c1: SealCommitPhase1Output<Tree> = bincode::deserialize_from(File::open(path)?)?;
    let circuit = Circuit::extract(PROOF, &AtomicBool::new(false))?;
    println!(
        "{} constraints, {} inputs, {} full-size and {} bits of {} variables, {} coefficients",
        circuit.n_constraints(),
        circuit.variables.n_inputs,
        circuit.variables.full.len(),
        circuit.variables.n_bits(),
        circuit.variables.n_aux,
        circuit.coefficients.len(),
    );
    let terms = [&circuit.a, &circuit.b, &circuit.c].map(|matrix| matrix.n_terms());
    println!("terms of A, B, C: {terms:?}");

    let shape = Shape::of_proof(PROOF)?;
    let public = Public { replica_id: c1.replica_id.into(), comm_d: c1.comm_d, comm_r: c1.comm_r };
    let proofs = vanilla::Proof::of(&c1.vanilla_proofs[0])?;
    let make = || witness::generate(&shape, &circuit.variables, &public, &proofs);
    make()?;
    let ours = median(N_RUNS, || drop(std::hint::black_box(make())));
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let alone = one_thread.install(|| median(N_RUNS, || drop(std::hint::black_box(make()))));
    let conversion = median(N_RUNS, || drop(vanilla::Proof::of(&c1.vanilla_proofs[0])));

    let params = shape::setup::<Tree>(PROOF)?;
    let inputs = PublicInputs {
        replica_id: c1.replica_id,
        seed: Some(c1.seed),
        tau: Some(Tau { comm_d: c1.comm_d.into(), comm_r: c1.comm_r.into() }),
        k: None,
    };
    type Compound = StackedCompound<Tree, DefaultPieceHasher>;
    let own = || Compound::circuit(&inputs, (), &c1.vanilla_proofs[0], &params, Some(0));
    let synthesis = median(N_SLOW_RUNS, || drop(own().map(Straight::of)));
    let ratio = |time: Duration| synthesis.as_secs_f64() / time.as_secs_f64();
    println!(
        "the circuit's own synthesis takes {:.0} times as long as the witness on {} threads, {:.0} \
         times on one; conversion of c1's output is {:.2} of the witness",
        ratio(ours),
        rayon::current_num_threads(),
        ratio(alone),
        conversion.as_secs_f64() / ours.as_secs_f64(),
    );
    eprintln!("{synthesis:?} {ours:?} {alone:?} {conversion:?}");
    Ok(())
}
