// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests compare with, in blstrs' arithmetic: transforms by recursion, matrices row by row.
#![allow(dead_code, reason = "each test uses its part")]

use blstrs::Scalar;
use ff::{Field, PrimeField};
use sealpipe_c2::{assignment::Assignment, gpu::rows::order::Rows};

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

/// A matrix by rows, with its table, and an assignment.
pub struct Product {
    pub ends: Vec<u32>,
    pub columns: Vec<u32>,
    pub coefficients: Vec<u16>,
    pub table: Vec<Scalar>,
    pub z: Assignment,
}

impl Product {
    /// Rows of given lengths; of ten columns one is a value.
    pub fn random(random: &mut Random, lengths: &[usize], n_values: usize, n_bits: usize) -> Self {
        let mut table: Vec<_> = (0..40).map(|i| Scalar::from(1 << i)).collect();
        table.push(-Scalar::ONE);
        table.extend(random.scalars(10));
        let mut ends = Vec::new();
        let (mut columns, mut coefficients) = (Vec::new(), Vec::new());
        for length in lengths {
            for _ in 0..*length {
                let column = match random.word() % 10 {
                    0 => random.word() as usize % n_values,
                    _ => n_values + random.word() as usize % n_bits,
                };
                columns.push(column as u32);
                coefficients.push((random.word() as usize % table.len()) as u16);
            }
            ends.push(columns.len() as u32);
        }
        let mut bits: Vec<_> = (0..n_bits.div_ceil(64)).map(|_| random.word()).collect();
        if let Some(last) = bits.last_mut() {
            *last &= u64::MAX >> ((64 - n_bits % 64) % 64);
        }
        let z = Assignment { values: random.scalars(n_values), bits };
        Self { ends, columns, coefficients, table, z }
    }

    pub fn rows(&self) -> Rows<'_> {
        Rows { ends: &self.ends, columns: &self.columns, coefficients: &self.coefficients }
    }

    pub fn y(&self) -> Vec<Scalar> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins
            .zip(&self.ends)
            .map(|(begin, end)| {
                let term = |at: usize| {
                    let coefficient = self.table[usize::from(self.coefficients[at])];
                    coefficient * self.z.column(self.columns[at])
                };
                (*begin as usize..*end as usize).map(term).sum()
            })
            .collect()
    }
}

/// Lengths of rows: of every short one some, long ones around a warp's lanes, a few of hundreds.
pub fn lengths(random: &mut Random, n: usize) -> Vec<usize> {
    let length = |random: &mut Random| match random.word() % 64 {
        0 => 20 + random.word() as usize % 50,
        1 => random.word() as usize % 700,
        2..20 => random.word() as usize % 24,
        _ => 1 + random.word() as usize % 3,
    };
    (0..n).map(|_| length(random)).collect()
}
