// SPDX-License-Identifier: MIT OR Apache-2.0

//! The prover on a circuit of any size that means nothing: random rows, random values, and few different
//! points. All of it takes as long as it would if it meant something.

use std::{io, time::Instant};

use blstrs::{G1Projective, G2Projective, Scalar};
use ff::Field as _;
use group::{Curve as _, Group as _};
use sealpipe_gpu::device::Device;
use sealpipe_protocol::TaskError;
use serde_json::{Value, json};

use super::ms;
use crate::{
    assignment::{Assignment, Variables},
    circuit::{Circuit, Densities, Matrix},
    gpu::{
        self,
        points::{Curve, G1, G2},
    },
    params::{
        Params, Section,
        file::{Content, Header},
        queries::Queries,
    },
    watch::Watch,
};

/// Different points of each group.
const N_POINTS: u64 = 1 << 12;

/// Of so many auxiliary variables one is a full-size value: 98 of 100 are bits.
const BITS_TO_A_VALUE: u32 = 50;

/// Of so many auxiliary variables one is in B.
const TO_ONE_IN_B: u32 = 4;

/// Terms of a row of A, B and C: about as many as in the sealing circuit.
const TERMS: [usize; 3] = [2, 1, 2];

/// Runs that are measured, after one that is not.
const RUNS: usize = 5;

/// Measures a prover of 2^`lg` rows, its variables nearly all bits or none.
///
/// # Errors
/// What the device says.
pub fn measure(
    device: &Device,
    lg: u32,
    dense: bool,
    print: &dyn Fn(&Value),
) -> Result<(), TaskError> {
    let mut random = Random(u64::from(lg));
    let circuit = circuit(lg, dense, &mut random);
    let assignment = assignment(&circuit.variables, &mut random);
    let watch = Watch::nobody();
    let mut prover = gpu::prover::load(device, &circuit, params(&circuit), &watch)?;
    let mut all = Vec::new();
    for run in 0..=RUNS {
        let began = Instant::now();
        prover.sums(&assignment, &watch)?;
        if run > 0 {
            all.push(ms(began));
        }
    }
    all.sort_by(f64::total_cmp);
    print(&json!({
        "bench": "prover, synthetic", "lg": lg, "values": if dense { "all" } else { "1 of 50" },
        "ms": all[RUNS / 2], "min": all[0], "max": all[RUNS - 1],
    }));
    Ok(())
}

/// Splitmix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u32
    }
}

fn circuit(lg: u32, dense: bool, random: &mut Random) -> Circuit {
    let n_rows = 1_u32 << lg;
    // Some inputs, and as many variables as rows.
    let (n_inputs, n_aux) = (40, n_rows - 40);
    let full = (0..n_aux).filter(|aux| dense || aux % BITS_TO_A_VALUE == 0).collect();
    let words = |is_set: &dyn Fn(u32) -> bool| -> Vec<u64> {
        let mut words = vec![0; n_aux.div_ceil(64) as usize];
        for aux in (0..n_aux).filter(|aux| is_set(*aux)) {
            words[aux as usize / 64] |= 1 << (aux % 64);
        }
        words
    };
    let densities = Densities {
        a_aux: words(&|_| true),
        b_inputs: vec![1],
        b_aux: words(&|aux| aux % TO_ONE_IN_B == 0),
    };
    let [a, b, c] = TERMS.map(|terms| Matrix {
        ends: (1..=n_rows).map(|row| row * terms as u32).collect(),
        columns: (0..n_rows as usize * terms).map(|_| random.below(n_rows)).collect(),
        coefficients: vec![0; n_rows as usize * terms],
    });
    let variables = Variables { n_inputs, n_aux, full };
    Circuit { variables, a, b, c, coefficients: vec![Scalar::ONE], densities, digest: [0; 32] }
}

fn assignment(variables: &Variables, random: &mut Random) -> Assignment {
    let mut value = Scalar::from(random.next());
    let values = (0..variables.n_values()).map(|_| {
        value = value.square() + Scalar::from(random.next());
        value
    });
    let values = values.collect();
    let bits = (0..variables.n_bits().div_ceil(64)).map(|_| random.next()).collect();
    Assignment { values, bits }
}

/// Multiples of the generators, over and over.
struct Repeated {
    g1: Vec<u8>,
    g2: Vec<u8>,
    queries: Queries,
}

impl Content for Repeated {
    fn read(&self, section: Section, at: usize, to: &mut [u8]) -> io::Result<()> {
        let Queries { a, b, .. } = &self.queries;
        let numbers = match section {
            Section::AValueColumns => &a.values.numbers,
            Section::ABitNumbers => &a.bits.numbers,
            Section::BValueColumns => &b.values.numbers,
            Section::BBitNumbers => &b.bits.numbers,
            _ => {
                let is_g2 = section.element_bytes() == G2::POINT_BYTES;
                let table = if is_g2 { &self.g2 } else { &self.g1 };
                let mut at = at;
                let mut to = to;
                while !to.is_empty() {
                    let from = &table[at % table.len()..];
                    let n = from.len().min(to.len());
                    to[..n].copy_from_slice(&from[..n]);
                    to = &mut to[n..];
                    at += n;
                }
                return Ok(());
            }
        };
        let bytes = numbers[at / 4..].iter().flat_map(|number| number.to_le_bytes());
        to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        Ok(())
    }
}

/// Parameters of a circuit, as if they had been converted.
fn params(circuit: &Circuit) -> Params {
    let queries = Queries::of(&circuit.variables, &circuit.densities);
    let Queries { l, a, b } = &queries;
    let count = |section| match section {
        Section::Key => 0,
        Section::H => circuit.n_constraints(),
        Section::LValues => l.values.numbers.len(),
        Section::LBits => l.bits.numbers.len(),
        Section::AValues | Section::AValueColumns => a.values.numbers.len(),
        Section::ABits | Section::ABitNumbers => a.bits.numbers.len(),
        Section::B1Values | Section::B2Values | Section::BValueColumns => b.values.numbers.len(),
        Section::B1Bits | Section::B2Bits | Section::BBitNumbers => b.bits.numbers.len(),
    };
    let counts = Section::ALL.map(|section| count(section) as u64);
    let header = Header { order: gpu::ORDER.id, circuit: circuit.digest, source: [0; 16], counts };
    let (mut g1, mut g2) = (Vec::new(), Vec::new());
    for i in 1..=N_POINTS {
        let scalar = Scalar::from(i * i);
        G1::write(&(G1Projective::generator() * scalar).to_affine(), &mut g1);
        G2::write(&(G2Projective::generator() * scalar).to_affine(), &mut g2);
    }
    Params::with(header, Repeated { g1, g2, queries })
}
