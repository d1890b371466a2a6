// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prover by the book, from the converted parameters: what the device's is compared with.

use bellperson::domain::EvaluationDomain;
use blst::{blst_fp, blst_fp2, blst_p1_affine, blst_p2_affine};
use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective, Scalar};
use ec_gpu_gen::threadpool::Worker;
use ff::Field as _;
use group::{Group as _, prime::PrimeCurveAffine as _};
use sealpipe_c2::{
    assignment::Assignment,
    circuit::{Circuit, Matrix},
    params::{Params, Section, convert::Order},
    prove::{Prover, Sums},
    watch::Watch,
};
use sealpipe_protocol::TaskError;

/// Sums by blst's Pippenger, the quotient by bellperson's domain.
pub struct Book<'a> {
    pub circuit: &'a Circuit,
    pub params: &'a Params,
    /// That of the parameters' points over the quotient.
    pub order: Order,
}

impl Prover for Book<'_> {
    fn name(&self) -> &str {
        "the book"
    }

    fn sums(&mut self, assignment: &Assignment, _: &Watch<'_>) -> Result<Sums, TaskError> {
        let n_values = self.circuit.variables.n_values();
        let n_inputs = self.circuit.variables.n_inputs;
        let columns = |section| -> Vec<u32> {
            let numbers = self.elements(section);
            numbers.chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let values = |columns: &[u32]| -> Vec<Scalar> {
            columns.iter().map(|column| assignment.column(*column)).collect()
        };
        let bits = |numbers: &[u32]| -> Vec<Scalar> {
            numbers.iter().map(|number| assignment.column(n_values + number)).collect()
        };
        let l_values: Vec<u32> = (n_inputs..n_values).collect();
        let l_bits: Vec<u32> = (0..self.circuit.variables.n_bits()).collect();
        let (a_values, a_bits) = (columns(Section::AValueColumns), columns(Section::ABitNumbers));
        let (b_values, b_bits) = (columns(Section::BValueColumns), columns(Section::BBitNumbers));
        Ok(Sums {
            h: self.g1(Section::H, &self.quotient(assignment)),
            l: self.g1(Section::LValues, &values(&l_values))
                + self.g1(Section::LBits, &bits(&l_bits)),
            a: self.g1(Section::AValues, &values(&a_values))
                + self.g1(Section::ABits, &bits(&a_bits)),
            b_g1: self.g1(Section::B1Values, &values(&b_values))
                + self.g1(Section::B1Bits, &bits(&b_bits)),
            b_g2: self.g2(Section::B2Values, &values(&b_values))
                + self.g2(Section::B2Bits, &bits(&b_bits)),
        })
    }
}

impl Book<'_> {
    fn elements(&self, section: Section) -> Vec<u8> {
        let mut bytes = vec![0; self.params.len(section) * section.element_bytes()];
        self.params.read_bytes(section, 0, &mut bytes).unwrap();
        bytes
    }

    /// All coefficients of the quotient, the last of which is zero, in the parameters' order.
    fn quotient(&self, assignment: &Assignment) -> Vec<Scalar> {
        let worker = Worker::new();
        let domain = |matrix: &Matrix| {
            let rows = (0..matrix.n_rows())
                .map(|row| matrix.product(row, &self.circuit.coefficients, assignment));
            let mut domain = EvaluationDomain::from_coeffs(rows.collect()).unwrap();
            domain.ifft(&worker, &mut None).unwrap();
            domain.coset_fft(&worker, &mut None).unwrap();
            domain
        };
        let mut a = domain(&self.circuit.a);
        a.mul_assign(&worker, &domain(&self.circuit.b));
        a.sub_assign(&worker, &domain(&self.circuit.c));
        a.divide_by_z_on_coset(&worker);
        a.icoset_fft(&worker, &mut None).unwrap();
        let coefficients = a.into_coeffs();
        let mut ordered = vec![Scalar::ZERO; coefficients.len()];
        let lg = ordered.len().ilog2();
        for (i, coefficient) in (0..).zip(coefficients) {
            ordered[(self.order.position)(lg, i) as usize] = coefficient;
        }
        ordered
    }

    fn g1(&self, section: Section, scalars: &[Scalar]) -> G1Projective {
        let bytes = self.elements(section);
        assert_eq!(bytes.len(), scalars.len() * 96, "{section:?}");
        let limbs = |bytes: &[u8]| blst_fp { l: limbs(bytes) };
        let points = bytes.chunks_exact(96).map(|b| {
            let mut point = G1Affine::identity();
            *point.as_mut() = blst_p1_affine { x: limbs(&b[..48]), y: limbs(&b[48..]) };
            point
        });
        let (points, scalars): (Vec<_>, Vec<_>) = points
            .zip(scalars)
            .filter(|(point, _)| !bool::from(point.is_identity()))
            .map(|(point, scalar)| (G1Projective::from(point), *scalar))
            .unzip();
        if points.is_empty() {
            return G1Projective::identity();
        }
        G1Projective::multi_exp(&points, &scalars)
    }

    fn g2(&self, section: Section, scalars: &[Scalar]) -> G2Projective {
        let bytes = self.elements(section);
        assert_eq!(bytes.len(), scalars.len() * 192, "{section:?}");
        let pair = |bytes: &[u8]| blst_fp2 {
            fp: [blst_fp { l: limbs(&bytes[..48]) }, blst_fp { l: limbs(&bytes[48..]) }],
        };
        let points: Vec<_> = bytes
            .chunks_exact(192)
            .map(|b| {
                let mut point = G2Affine::identity();
                *point.as_mut() = blst_p2_affine { x: pair(&b[..96]), y: pair(&b[96..]) };
                G2Projective::from(point)
            })
            .collect();
        if points.is_empty() {
            return G2Projective::identity();
        }
        G2Projective::multi_exp(&points, scalars)
    }
}

fn limbs(bytes: &[u8]) -> [u64; 6] {
    std::array::from_fn(|i| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap()))
}
