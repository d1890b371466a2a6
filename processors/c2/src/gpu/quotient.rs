// SPDX-License-Identifier: MIT OR Apache-2.0

//! The quotient of the constraints by what vanishes on the domain: h = (A B - C) / (X^m - 1).
//!
//! A, B and C are the polynomials whose values at the powers of the root w are the rows of the matrices times
//! the assignment. bellperson takes all three to the coset 7 w^i, divides by 7^m - 1 and comes back, seven
//! transforms. C has less than m coefficients, so it comes back from the coset unchanged: six are enough,
//!
//! ```text
//! h = (from_coset(to_coset(A) to_coset(B)) - C) / (7^m - 1),
//! ```
//!
//! with every factor in the tables of a transform, and the product and the difference in its first and last
//! pass. Equal to bellperson's for any a, b and c, whether or not they satisfy anything.

use std::sync::Arc;

use blstrs::Scalar;
use ff::{Field, PrimeField};
use sealpipe_gpu::{
    GpuError,
    driver::{Context, DeviceMemory, Staging, Stream},
};

use super::ntt::{Fused, Ntt, Transform, plan::Direction};

/// Quotients of one size.
#[derive(Debug)]
pub struct Quotient {
    ntt: Ntt,
    /// Values to coefficients of the polynomial at 7 X.
    to_shifted: Transform,
    /// Coefficients to values.
    to_values: Transform,
    /// Values on the coset to coefficients, divided by 7^m - 1.
    from_coset: Transform,
    /// Values to coefficients, divided by 1 - 7^m.
    subtrahend: Transform,
}

impl Quotient {
    /// For 2^`lg_m` rows, 1 to 32.
    ///
    /// # Errors
    /// [`OutOfMemory`](sealpipe_gpu::Kind::OutOfMemory), and what else the driver says.
    pub fn new(context: &Arc<Context>, staging: &mut Staging, lg_m: u32) -> Result<Self, GpuError> {
        Self::with_ntt(Ntt::new(context, lg_m)?, staging)
    }

    /// The same, with transforms that are cut into passes in another way.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_ntt(ntt: Ntt, staging: &mut Staging) -> Result<Self, GpuError> {
        let invert = |scalar: Scalar| scalar.invert().unwrap_or(Scalar::ONE);
        let shift = Scalar::MULTIPLICATIVE_GENERATOR;
        let m_inverse = invert(Scalar::from(ntt.n()));
        let vanishing = shift.pow_vartime([ntt.n()]) - Scalar::ONE;
        let divided = m_inverse * invert(vanishing);
        let mut inverse =
            |constant, scale| ntt.transform(staging, Direction::Inverse, constant, scale);
        let to_shifted = inverse(m_inverse, shift)?;
        let from_coset = inverse(divided, invert(shift))?;
        let subtrahend = inverse(-divided, Scalar::ONE)?;
        let to_values = ntt.evaluate(staging, Scalar::ONE)?;
        Ok(Self { ntt, to_shifted, to_values, from_coset, subtrahend })
    }

    /// m.
    pub fn n_rows(&self) -> u64 {
        self.ntt.n()
    }

    /// Where coefficient `k` of h is in the result; the one of m - 1, which a proof has no use for, is last.
    pub fn position(&self, k: u64) -> u64 {
        self.ntt.position(k)
    }

    /// Replaces the m values of `a` by the coefficients of h, and those of `b` and `c` by something.
    ///
    /// # Errors
    /// [`Defect`](sealpipe_gpu::Kind::Defect) for less than m values,
    /// [`Lost`](sealpipe_gpu::Kind::Lost).
    pub fn run(
        &self,
        stream: &mut Stream,
        a: &DeviceMemory,
        b: &DeviceMemory,
        c: &DeviceMemory,
    ) -> Result<(), GpuError> {
        let none = Fused::default();
        for values in [a, b] {
            self.ntt.run(stream, &self.to_shifted, values, none)?;
            self.ntt.run(stream, &self.to_values, values, none)?;
        }
        self.ntt.run(stream, &self.subtrahend, c, none)?;
        let fused = Fused { factor: Some(b), addend: Some(c) };
        self.ntt.run(stream, &self.from_coset, a, fused)
    }
}
