// SPDX-License-Identifier: MIT OR Apache-2.0

//! Extracts the circuit of a sector size, says how large it is, and keeps it in a directory.
//!
//! `cargo run --release -p sealpipe-c2 --example circuit -- StackedDrg32GiBV1_1 /var/tmp`

use std::{error::Error, path::Path, sync::atomic::AtomicBool, time::Instant};

use sealpipe_c2::circuit::{self, Circuit};
use sealpipe_protocol::stage::proof::SealProof;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(dir)) = (args.next(), args.next()) else {
        return Err("give a registered proof and a directory".into());
    };
    let names = || SealProof::ALL.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Some(proof) = SealProof::ALL.iter().find(|proof| proof.to_string() == name) else {
        return Err(format!("no proof {name}; there are {}", names()).into());
    };
    let dir = Path::new(&dir);
    let started = Instant::now();
    let circuit =
        Circuit::extract(*proof, &AtomicBool::new(false)).map_err(|error| error.message)?;
    eprintln!("extracted in {:?}", started.elapsed());
    println!(
        "{} constraints, {} inputs, {} full-size and {} bits of {} others, {} coefficients",
        circuit.n_constraints(),
        circuit.variables.n_inputs,
        circuit.variables.full.len(),
        circuit.variables.n_bits(),
        circuit.variables.n_aux,
        circuit.coefficients.len(),
    );
    for (name, matrix) in [("A", &circuit.a), ("B", &circuit.b), ("C", &circuit.c)] {
        println!("{name}: {} terms", matrix.n_terms());
    }
    let count = |marks: &[u64]| marks.iter().map(|word| word.count_ones()).sum::<u32>();
    let densities = &circuit.densities;
    println!("dense: {} in A, {} in B", count(&densities.a_aux), count(&densities.b_aux));
    circuit.save(*proof, dir).map_err(|error| error.message)?;
    let path = circuit::path(*proof, dir).map_err(|error| error.message)?;
    println!("{} has {} bytes", path.display(), path.metadata()?.len());
    let digest = circuit.digest;
    // Not twice in memory: 32GiB's has 4.3 GB.
    drop(circuit);
    let started = Instant::now();
    let loaded = Circuit::load(*proof, dir).map_err(|error| error.message)?;
    eprintln!("loaded in {:?}", started.elapsed());
    match loaded {
        Some(loaded) if loaded.digest == digest => Ok(()),
        _ => Err("the file holds another circuit".into()),
    }
}
