// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests compare with: transforms by recursion, in blstrs' arithmetic.

use blstrs::Scalar;
use ff::{Field, PrimeField};

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn scalar(&mut self) -> Scalar {
        let shift = Scalar::from(u64::MAX) + Scalar::ONE;
        (0..4).fold(Scalar::ZERO, |sum, _| sum * shift + Scalar::from(self.word()))
    }

    pub fn scalars(&mut self, n: usize) -> Vec<Scalar> {
        (0..n).map(|_| self.scalar()).collect()
    }
}

/// The values of a polynomial at `shift` times the powers of the root of unity of its length's order.
pub fn evaluate(coefficients: &[Scalar], shift: Scalar) -> Vec<Scalar> {
    let mut power = Scalar::ONE;
    let mut shifted = Vec::with_capacity(coefficients.len());
    for coefficient in coefficients {
        shifted.push(coefficient * power);
        power *= shift;
    }
    let lg_n = coefficients.len().ilog2();
    let root = (lg_n..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square());
    at_powers(&shifted, root)
}

/// The coefficients of the polynomial with these values at `shift` times the powers of the root.
pub fn interpolate(values: &[Scalar], shift: Scalar) -> Vec<Scalar> {
    let lg_n = values.len().ilog2();
    let root = (lg_n..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square());
    let mut coefficients = at_powers(values, root.invert().unwrap());
    let step = shift.invert().unwrap();
    let mut factor = Scalar::from(values.len() as u64).invert().unwrap();
    for coefficient in &mut coefficients {
        *coefficient *= factor;
        factor *= step;
    }
    coefficients
}

/// Even and odd coefficients apart.
fn at_powers(coefficients: &[Scalar], root: Scalar) -> Vec<Scalar> {
    let n = coefficients.len();
    if n == 1 {
        return coefficients.to_vec();
    }
    let half = |from| coefficients.iter().skip(from).step_by(2).copied().collect::<Vec<_>>();
    let (even, odd) = (at_powers(&half(0), root.square()), at_powers(&half(1), root.square()));
    let mut values = vec![Scalar::ZERO; n];
    let mut power = Scalar::ONE;
    for i in 0..n / 2 {
        let product = odd[i] * power;
        (values[i], values[i + n / 2]) = (even[i] + product, even[i] - product);
        power *= root;
    }
    values
}
