// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our maker against bellperson's generator on the same circuit, in one run:
//! `cargo run --release -p sealpipe-params --example compare [-- LG_CONSTRAINTS]`.
//!
//! Prints one line a maker and their ratio, and fails where the bytes differ.

use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use bellperson::groth16::generate_random_parameters;
use bellperson::{Circuit, ConstraintSystem, SynthesisError};
use blstrs::{Bls12, Scalar};
use rand_core::SeedableRng;
use rand_xorshift::XorShiftRng;
use sealpipe_params::{DEFAULT_SEED, make};

/// Rows like those of the sealing circuit: a product of two variables each, of which a quarter
/// stands in the matrix B, and some longer sums.
#[derive(Clone, Copy)]
struct Products {
    n_constraints: usize,
}

impl Circuit<Scalar> for Products {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let missing = || Err(SynthesisError::AssignmentMissing);
        let mut all = vec![cs.alloc_input(|| "input", missing)?];
        // Leaves room for the two rows of the inputs.
        for i in 0..self.n_constraints - 2 {
            let out = cs.alloc(|| "out", missing)?;
            let (left, right) = (all[i], all[i / 4]);
            cs.enforce(
                || "product",
                |lc| lc + left + (Scalar::from(5), all[i / 2]),
                |lc| lc + right,
                |lc| lc + out - left,
            );
            all.push(out);
        }
        Ok(())
    }
}

fn main() {
    let lg_constraints = std::env::args().nth(1).map_or(16, |n| n.parse().expect("a number"));
    let circuit = Products { n_constraints: 1 << lg_constraints };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));

    let started = Instant::now();
    let mut rng = XorShiftRng::from_seed(DEFAULT_SEED);
    let made = make(circuit, &mut rng, &ours, &|_| {}, &AtomicBool::new(false))
        .expect("the circuit has no unconstrained variable");
    let our_time = started.elapsed();

    let started = Instant::now();
    let mut rng = XorShiftRng::from_seed(DEFAULT_SEED);
    let params = generate_random_parameters::<Bls12, _, _>(circuit, &mut rng).expect("as above");
    let file = File::create(&theirs).expect("the directory is writable");
    params.write(BufWriter::new(file)).expect("the disk has room");
    let their_time = started.elapsed();

    let read = |path| std::fs::read(path).expect("the file was just written");
    assert!(read(&ours) == read(&theirs), "the files differ");
    let threads = rayon::current_num_threads();
    let layout = made.layout;
    println!("2^{lg_constraints} constraints, {threads} threads, {layout:?}");
    println!("sealpipe-params {:8.3} s", our_time.as_secs_f64());
    println!("bellperson      {:8.3} s (buffered writes)", their_time.as_secs_f64());
    println!("ratio           {:8.1}", their_time.as_secs_f64() / our_time.as_secs_f64());
}
