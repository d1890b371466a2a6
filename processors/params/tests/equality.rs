// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our parameter files against bellperson's own, byte for byte.

use std::sync::atomic::AtomicBool;

use bellperson::groth16::generate_random_parameters;
use bellperson::{Circuit, ConstraintSystem, LinearCombination, SynthesisError, Variable};
use blstrs::{Bls12, Scalar};
use ff::Field;
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;
use sealpipe_params::{Layout, make, verifying_key};

/// A circuit drawn from a seed: inputs allocated between auxiliary variables, a share of which
/// stands in one matrix only; constants; coefficients 0, 1, -1, small and large; and terms that
/// cancel. It has no witness: set-up never asks for one.
#[derive(Clone, Copy)]
struct Drawn {
    seed: u8,
    n_aux: usize,
    n_constraints: usize,
}

impl Circuit<Scalar> for Drawn {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let mut rng = XorShiftRng::from_seed([self.seed; 16]);
        let missing = || Err(SynthesisError::AssignmentMissing);
        let mut anywhere = vec![CS::one()];
        let mut only: [Vec<Variable>; 3] = Default::default();
        for i in 0..self.n_aux {
            let variable = cs.alloc(|| "aux", missing)?;
            if i % 8 < 3 { &mut only[i % 8] } else { &mut anywhere }.push(variable);
            if i % 50 == 7 {
                anywhere.push(cs.alloc_input(|| "input", missing)?);
            }
        }
        let large = Scalar::random(&mut rng);
        let mut next = 0;
        for row in 0..self.n_constraints {
            let mut draw = |matrix: usize| {
                let mut lc = LinearCombination::zero();
                let pool = if rng.next_u32() % 3 == 0 { &only[matrix] } else { &anywhere };
                for _ in 0..rng.next_u32() % 5 {
                    let Some(variable) = pool.get(rng.next_u32() as usize % pool.len().max(1))
                    else {
                        break;
                    };
                    let coefficient = match rng.next_u32() % 6 {
                        0 => Scalar::ZERO,
                        1 => -Scalar::ONE,
                        2 => Scalar::from(u64::from(rng.next_u32() % 4)),
                        3 => large,
                        _ => Scalar::ONE,
                    };
                    lc = lc + (coefficient, *variable);
                }
                lc
            };
            let (a, b, mut c) = (draw(0), draw(1), draw(2));
            if row == 3 {
                // Cancels to a term with coefficient zero.
                c = c + anywhere[0] - anywhere[0];
            }
            cs.enforce(|| "row", |lc| lc + &a, |lc| lc + &b, |lc| lc + &c);
        }
        // Whatever the draw left out gets a row of its own, each in the matrices it belongs to.
        for variable in only[0].iter().chain(&anywhere) {
            next += 1;
            let coefficient = Scalar::from(next);
            cs.enforce(|| "a", |lc| lc + (coefficient, *variable), |lc| lc, |lc| lc);
        }
        for variable in &only[1] {
            cs.enforce(|| "b", |lc| lc, |lc| lc + *variable, |lc| lc);
        }
        for variable in &only[2] {
            cs.enforce(|| "c", |lc| lc, |lc| lc, |lc| lc + *variable);
        }
        Ok(())
    }
}

/// The bytes of our file, or the circuit's error as text.
fn ours(circuit: impl Circuit<Scalar>, rng_seed: [u8; 16]) -> Result<Vec<u8>, String> {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("some.params");
    let mut rng = XorShiftRng::from_seed(rng_seed);
    let made = make(circuit, &mut rng, &target, &|_| {}, &AtomicBool::new(false))
        .map_err(|error| error.synthesis().expect("a circuit's error").to_string())?;
    let bytes = std::fs::read(&target).unwrap();
    assert!(!made.found);
    assert_eq!(made.layout.n_bytes(), bytes.len() as u64);
    assert_eq!(Layout::read(&target).unwrap(), made.layout);
    let key = verifying_key(&target).unwrap();
    assert_eq!(key, bytes[..key.len()]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    Ok(bytes)
}

fn theirs(circuit: impl Circuit<Scalar>, rng_seed: [u8; 16]) -> Result<Vec<u8>, String> {
    let mut rng = XorShiftRng::from_seed(rng_seed);
    let params = generate_random_parameters::<Bls12, _, _>(circuit, &mut rng)
        .map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    params.write(&mut out).unwrap();
    Ok(out)
}

fn check(circuit: impl Circuit<Scalar> + Copy, rng_seed: [u8; 16]) {
    let (ours, theirs) = (ours(circuit, rng_seed), theirs(circuit, rng_seed));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours.len(), theirs.len());
            let different = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
            assert_eq!(different, None, "the first byte that differs");
        }
        _ => assert_eq!(ours, theirs),
    }
}

#[test]
fn a_circuit_of_thousands_of_constraints_gives_the_same_file() {
    check(Drawn { seed: 1, n_aux: 3000, n_constraints: 2000 }, filecoin_proofs::TEST_SEED);
}

#[test]
fn small_circuits_give_the_same_file_for_any_seed() {
    for seed in 1..=12 {
        let circuit =
            Drawn { seed, n_aux: 9 * usize::from(seed), n_constraints: 5 * usize::from(seed) };
        check(circuit, [seed; 16]);
    }
}

#[test]
fn domains_at_a_power_of_two_give_the_same_file() {
    // One row for the constant one's input and one for each variable: 4, 5, 8, 9, ... in all.
    for n_aux in 2..10 {
        check(Drawn { seed: 5, n_aux, n_constraints: 0 }, [3; 16]);
    }
}

#[test]
fn a_circuit_without_variables_gives_the_same_file() {
    check(Drawn { seed: 1, n_aux: 0, n_constraints: 0 }, [1; 16]);
    check(Empty, [1; 16]);
}

#[derive(Clone, Copy)]
struct Empty;

impl Circuit<Scalar> for Empty {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, _: &mut CS) -> Result<(), SynthesisError> {
        Ok(())
    }
}

/// Inputs without a row of their own, so that parts of the ic and b sections are at infinity.
#[derive(Clone, Copy)]
struct Inputs(usize);

impl Circuit<Scalar> for Inputs {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        for _ in 0..self.0 {
            cs.alloc_input(|| "input", || Err(SynthesisError::AssignmentMissing))?;
        }
        Ok(())
    }
}

#[test]
fn inputs_alone_give_the_same_file() {
    for n in [1, 2, 3, 7, 40] {
        check(Inputs(n), [9; 16]);
    }
}

/// One auxiliary variable in no row, in a row with coefficient zero, or in one that cancels.
#[derive(Clone, Copy)]
struct Unconstrained(usize);

impl Circuit<Scalar> for Unconstrained {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let variable = cs.alloc(|| "aux", || Err(SynthesisError::AssignmentMissing))?;
        match self.0 {
            0 => {}
            1 => cs.enforce(|| "", |lc| lc + (Scalar::ZERO, variable), |lc| lc, |lc| lc),
            _ => cs.enforce(|| "", |lc| lc + variable - variable, |lc| lc, |lc| lc),
        }
        Ok(())
    }
}

#[test]
fn unconstrained_variables_give_the_same_error() {
    for how in 0..3 {
        let expected = SynthesisError::UnconstrainedVariable.to_string();
        assert_eq!(ours(Unconstrained(how), [1; 16]).unwrap_err(), expected);
        assert_eq!(theirs(Unconstrained(how), [1; 16]).unwrap_err(), expected);
    }
}

/// Fails in the middle of synthesis.
#[derive(Clone, Copy)]
struct Broken;

impl Circuit<Scalar> for Broken {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        cs.alloc(|| "aux", || Ok(Scalar::ONE))?;
        Err(SynthesisError::DivisionByZero)
    }
}

#[test]
fn a_circuits_own_error_comes_through() {
    check(Broken, [1; 16]);
}
