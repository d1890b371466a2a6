// SPDX-License-Identifier: MIT OR Apache-2.0

//! Groth16 (Groth 2016, as bellperson 0.27 has it): from the sums that are most of the work to a proof.

use bellperson::groth16::{
    PreparedVerifyingKey, Proof, VerifyingKey, prepare_verifying_key, verify_proof,
};
use blstrs::{Bls12, G1Projective, G2Projective, Scalar};
use ff::Field as _;
use group::{Curve as _, prime::PrimeCurveAffine as _};
use sealpipe_protocol::{Code, TaskError};

use crate::{assignment::Assignment, watch::Watch};

/// The sums of a query's points, each multiplied by its variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sums {
    /// Over the coefficients of the quotient (A B - C) / Z.
    pub h: G1Projective,
    /// Over the auxiliary variables.
    pub l: G1Projective,
    /// Over the variables in A, inputs included.
    pub a: G1Projective,
    /// Over the variables in B, in the first group.
    pub b_g1: G1Projective,
    /// The same in the second group.
    pub b_g2: G2Projective,
}

/// What computes the sums: it has the circuit and its parameters.
pub trait Prover: Send {
    /// What it is, for people: a device's name.
    fn name(&self) -> &str;

    /// The sums of an assignment of its circuit.
    ///
    /// # Errors
    /// What the device says, and a stop.
    fn sums(&mut self, assignment: &Assignment, watch: &Watch<'_>) -> Result<Sums, TaskError>;
}

/// What hides the assignment in a proof.
#[derive(Clone, Copy, Debug)]
pub struct Blinding {
    /// For A.
    pub r: Scalar,
    /// For B.
    pub s: Scalar,
}

impl Blinding {
    /// A new one, from the system's randomness.
    pub fn random() -> Self {
        Self { r: Scalar::random(rand_core::OsRng), s: Scalar::random(rand_core::OsRng) }
    }
}

/// The proof, bit for bit that of bellperson's `create_proof` with the same r and s.
///
/// # Errors
/// [`Code::ParametersMissing`] for a key with a delta of zero, by which anything could be proved.
pub fn assemble(
    key: &VerifyingKey<Bls12>,
    sums: &Sums,
    Blinding { r, s }: Blinding,
) -> Result<Proof<Bls12>, TaskError> {
    if bool::from(key.delta_g1.is_identity() | key.delta_g2.is_identity()) {
        let text = "the verifying key's delta is zero";
        return Err(TaskError::new(Code::ParametersMissing, text));
    }
    let a = key.delta_g1 * r + key.alpha_g1 + sums.a;
    let b = key.delta_g2 * s + key.beta_g2 + sums.b_g2;
    // s (alpha + a) + r (beta + b) + r s delta, with the common factors taken out.
    let c = a * s + (sums.b_g1 + key.beta_g1) * r + sums.h + sums.l;
    Ok(Proof { a: a.to_affine(), b: b.to_affine(), c: c.to_affine() })
}

/// How often a proof that does not verify is made again.
const REPEATS: usize = 1;

/// The verifying key, in two forms.
pub struct Keys {
    /// For making proofs.
    key: VerifyingKey<Bls12>,
    /// For checking them.
    prepared: PreparedVerifyingKey<Bls12>,
}

impl Keys {
    /// Prepares a key.
    pub fn new(key: VerifyingKey<Bls12>) -> Self {
        let prepared = prepare_verifying_key(&key);
        Self { key, prepared }
    }

    /// A proof of an assignment that verifies with `inputs`, which have to be true. It is made again when it
    /// does not.
    ///
    /// # Errors
    /// What the device says, a stop, and [`Code::VerificationFailed`] with the device's name.
    pub fn prove(
        &self,
        prover: &mut dyn Prover,
        assignment: &Assignment,
        inputs: &[Scalar],
        watch: &Watch<'_>,
    ) -> Result<Proof<Bls12>, TaskError> {
        for _ in 0..=REPEATS {
            watch.check()?;
            let sums = watch.timed("sums", || prover.sums(assignment, watch))?;
            let assembled =
                watch.timed("assembly", || assemble(&self.key, &sums, Blinding::random()));
            let proof = assembled?;
            let verifies = || verify_proof(&self.prepared, &proof, inputs).unwrap_or(false);
            if watch.timed("verification", verifies) {
                return Ok(proof);
            }
            eprintln!("warning: a proof made by {} does not verify", prover.name());
        }
        let (device, tries) = (prover.name(), REPEATS + 1);
        let message = format!("a proof made by {device} does not verify, {tries} times");
        Err(TaskError::new(Code::VerificationFailed, message)
            .hint(
            "that device computes wrong results, or its converted parameters are damaged: remove the \
             `.keys` file beside the parameters, and it is made again",
        ))
    }
}
