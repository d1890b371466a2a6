// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scalars of the parameters: the circuit's polynomials at the trapdoor's tau.
//!
//! Groth16 parameters are multiples of two points; this module computes by which scalars (J. Groth,
//! "On the Size of Pairing-based Non-interactive Arguments", section 3.2; the order and the choices
//! are those of bellperson's `groth16/generator.rs`). bellperson gets the Lagrange coefficients by
//! an inverse FFT of the powers of tau; over the m-th roots of unity they also have a closed form,
//! `L_j(tau) = w^j (tau^m - 1) / (m (tau - w^j))`, which takes about 6 multiplications each.

use bellperson::SynthesisError;
use blstrs::{G1Projective, G2Projective, Scalar};
use ff::{Field, PrimeField};
use group::Group;
use rand_core::RngCore;
use rayon::prelude::*;

use crate::assembly::{Assembly, Rows, Term};
use crate::error::Error;
use crate::progress::{Step, Watch};

/// Elements that share an inversion, and the unit of parallel work.
const N_CHUNK: usize = 1 << 12;

/// The secrets of a set-up. Whoever knows them can forge proofs, which is why parameters made here
/// are for tests only.
pub(crate) struct Trapdoor {
    pub(crate) g1: G1Projective,
    pub(crate) g2: G2Projective,
    pub(crate) alpha: Scalar,
    pub(crate) beta: Scalar,
    pub(crate) gamma: Scalar,
    pub(crate) delta: Scalar,
    pub(crate) tau: Scalar,
}

impl Trapdoor {
    /// Draws in the order of bellperson's `generate_random_parameters`.
    pub(crate) fn draw<R: RngCore>(rng: &mut R) -> Self {
        Trapdoor {
            g1: G1Projective::random(&mut *rng),
            g2: G2Projective::random(&mut *rng),
            alpha: Scalar::random(&mut *rng),
            beta: Scalar::random(&mut *rng),
            gamma: Scalar::random(&mut *rng),
            delta: Scalar::random(&mut *rng),
            tau: Scalar::random(&mut *rng),
        }
    }
}

/// The scalars of each section of the file.
#[derive(Debug)]
pub struct Queries {
    /// `(beta a_i + alpha b_i + c_i) / gamma` for each input.
    pub ic: Vec<Scalar>,
    /// The powers of tau times Z(tau) / delta.
    pub h: Powers,
    /// `(beta a_i + alpha b_i + c_i) / delta` for each auxiliary variable.
    pub l: Vec<Scalar>,
    /// The non-zero `a_i`, inputs first.
    pub a: Vec<Scalar>,
    /// The non-zero `b_i`, inputs first.
    pub b: Vec<Scalar>,
}

/// The sequence `factor * base^i` for i below `len`.
#[derive(Clone, Copy, Debug)]
pub struct Powers {
    base: Scalar,
    factor: Scalar,
    /// How many there are.
    pub len: usize,
}

impl Powers {
    /// Writes the elements from `start` on.
    pub fn fill(&self, start: usize, out: &mut [Scalar]) {
        let mut power = self.base.pow_vartime([start as u64]) * self.factor;
        for out in out {
            *out = power;
            power *= self.base;
        }
    }
}

/// Evaluates the circuit at the trapdoor.
///
/// # Errors
/// `UnexpectedIdentity` where gamma or delta is zero or a base is the neutral element, and
/// `UnconstrainedVariable` where an element of the L query is zero; cancellation.
pub(crate) fn evaluate(
    assembly: Assembly<'_>,
    trapdoor: &Trapdoor,
    watch: Watch<'_>,
) -> Result<Queries, Error> {
    watch.report(Step::Evaluation, 0);
    let invert = |scalar: &Scalar| {
        Option::<Scalar>::from(scalar.invert()).ok_or(SynthesisError::UnexpectedIdentity)
    };
    let (gamma_inverse, delta_inverse) = (invert(&trapdoor.gamma)?, invert(&trapdoor.delta)?);
    if bool::from(trapdoor.g1.is_identity() | trapdoor.g2.is_identity()) {
        return Err(SynthesisError::UnexpectedIdentity.into());
    }
    let (n_inputs, n_aux) = (assembly.n_inputs, assembly.n_aux);
    let n_domain = assembly.n_constraints.next_power_of_two();
    let z = trapdoor.tau.pow_vartime([n_domain as u64]) - Scalar::ONE;
    let h = Powers { base: trapdoor.tau, factor: z * delta_inverse, len: n_domain - 1 };

    let lagrange = lagrange(&trapdoor.tau, n_domain, assembly.n_constraints);
    let coefficients = &assembly.coefficients;
    let at_tau = |rows: Rows| -> Result<Vec<Scalar>, Error> {
        watch.check()?;
        let columns = rows.into_columns(n_inputs, n_aux);
        let value = |i| combine(columns.column(i), coefficients, &lagrange);
        Ok((0..n_inputs + n_aux).into_par_iter().map(value).collect())
    };
    let mut a = at_tau(assembly.a)?;
    let mut b = at_tau(assembly.b)?;
    let mut l = at_tau(assembly.c)?;
    drop(lagrange);

    l.par_iter_mut().zip(&a).zip(&b).enumerate().for_each(|(i, ((value, a), b))| {
        let inverse = if i < n_inputs { &gamma_inverse } else { &delta_inverse };
        *value = (*a * trapdoor.beta + *b * trapdoor.alpha + *value) * inverse;
    });
    let ic: Vec<_> = l.drain(..n_inputs).collect();
    if l.par_iter().any(|value| bool::from(value.is_zero())) {
        return Err(SynthesisError::UnconstrainedVariable.into());
    }
    a.retain(|value| !bool::from(value.is_zero()));
    b.retain(|value| !bool::from(value.is_zero()));
    b.shrink_to_fit();
    Ok(Queries { ic, h, l, a, b })
}

/// The value at tau of one variable's polynomial.
fn combine(column: &[Term], coefficients: &[Scalar], lagrange: &[Scalar]) -> Scalar {
    column.iter().fold(Scalar::ZERO, |sum, term| {
        let value = &lagrange[term.position as usize];
        match term.coefficient {
            0 => sum + value,
            idx => sum + *value * coefficients[idx as usize],
        }
    })
}

/// The first `n` of the `n_domain` Lagrange coefficients at tau over the `n_domain`-th roots of
/// unity; `n_domain` is a power of two.
fn lagrange(tau: &Scalar, n_domain: usize, n: usize) -> Vec<Scalar> {
    let root = (n_domain.ilog2()..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square());
    let z = tau.pow_vartime([n_domain as u64]) - Scalar::ONE;
    let size_inverse = Scalar::from(n_domain as u64).invert();
    let factor = z * size_inverse.expect("a power of two is no multiple of the odd modulus");
    let mut out = vec![Scalar::ZERO; n];
    out.par_chunks_mut(N_CHUNK).enumerate().for_each(|(chunk_idx, out)| {
        let first = root.pow_vartime([(chunk_idx * N_CHUNK) as u64]);
        lagrange_chunk(tau, &root, &factor, first, out);
    });
    out
}

/// Writes `w factor / (tau - w)` for w = first, first root, first root^2, ... with one inversion;
/// where tau is such a w, the coefficient is 1 (and the factor is 0, as are all others).
fn lagrange_chunk(tau: &Scalar, root: &Scalar, factor: &Scalar, first: Scalar, out: &mut [Scalar]) {
    let (mut w, mut product) = (first, Scalar::ONE);
    for out in out.iter_mut() {
        let difference = *tau - w;
        *out = product;
        if !bool::from(difference.is_zero()) {
            product *= difference;
        }
        w *= root;
    }
    let mut inverse = product.invert().expect("a product of non-zero elements is not zero");
    let root_inverse = root.invert().expect("a root of unity is not zero");
    for out in out.iter_mut().rev() {
        w *= root_inverse;
        let difference = *tau - w;
        if bool::from(difference.is_zero()) {
            *out = Scalar::ONE;
        } else {
            *out *= inverse * w * factor;
            inverse *= difference;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L_j(tau) as a product, straight from the definition.
    fn check_lagrange(tau: Scalar, n_domain: usize, n: usize) {
        let root =
            (n_domain.ilog2()..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square());
        let point = |i: usize| root.pow_vartime([i as u64]);
        let actual = lagrange(&tau, n_domain, n);
        assert_eq!(actual.len(), n);
        for (j, actual) in actual.iter().enumerate() {
            let expected = (0..n_domain).filter(|i| *i != j).fold(Scalar::ONE, |value, i| {
                value * (tau - point(i)) * (point(j) - point(i)).invert().unwrap()
            });
            assert_eq!(*actual, expected, "coefficient {j} of {n_domain}");
        }
    }

    #[test]
    fn lagrange_coefficients_are_those_of_the_definition() {
        let tau = Scalar::from(0x1234_5678_9abc_def1).square();
        for (n_domain, n) in [(1, 1), (2, 1), (2, 2), (8, 5), (64, 64)] {
            check_lagrange(tau, n_domain, n);
        }
    }

    #[test]
    fn lagrange_coefficients_hold_where_tau_is_in_the_domain() {
        let root = (4..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square());
        for tau in [Scalar::ONE, root, root.invert().unwrap()] {
            check_lagrange(tau, 16, 16);
        }
        check_lagrange(Scalar::ZERO, 16, 16);
    }

    #[test]
    fn lagrange_coefficients_sum_to_one_over_several_chunks() {
        let tau = Scalar::from(77);
        let n_domain = 4 * N_CHUNK;
        let sum = lagrange(&tau, n_domain, n_domain).iter().fold(Scalar::ZERO, |sum, l| sum + l);
        assert_eq!(sum, Scalar::ONE);
    }
}
