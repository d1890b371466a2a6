// SPDX-License-Identifier: MIT OR Apache-2.0

//! The constants of Poseidon and what becomes of them when a scale is carried through the rounds.

use blstrs::Scalar;
use ff::{Field, PrimeField};

use super::{FULL_ROUNDS, limbs, raw};

/// Bits of an element of the field.
const FIELD_BITS: usize = 255;

/// What a hash needs, by its width; names are those of `poseidon.cuh`. Scalars are held as stored words that
/// are multiplied in the way of Montgomery, without being in that form.
#[derive(Debug)]
pub struct Tables<const T: usize> {
    /// `h(k) = L / (k + t)`, for k up to 2t - 2.
    pub hankel: Vec<u64>,
    /// What is added before the s-boxes of the full rounds, t a round.
    pub full: Vec<Scalar>,
    /// What is added to row 0 of each round's product but the last.
    pub row0: Vec<[u64; 4]>,
    /// What brings element 0 back to the common scale, for each partial round.
    pub kappa: Vec<Scalar>,
    /// What takes the scale off the hash.
    pub last: Scalar,
}

impl<const T: usize> Tables<T> {
    /// Computes them.
    pub(super) fn new() -> Self {
        let partial = partial_rounds(T);
        let rounds = FULL_ROUNDS + partial;
        let is_partial =
            |round: usize| (FULL_ROUNDS / 2..FULL_ROUNDS / 2 + partial).contains(&round);
        let constants = carried(grain(T, partial), T, is_partial);
        let l = (T..3 * T - 1).fold(1, |l, k| lcm(l, k as u64));
        let montgomery = Scalar::from(2).pow_vartime([256]);
        let (by_l, two_64) = (inverse(Scalar::from(l)), Scalar::from(2).pow_vartime([64]));
        let mut scale = Scalar::ONE;
        let (mut full, mut row0, mut kappa) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let of_round = &constants[round * T..][..T];
            if is_partial(round) {
                kappa.push(stored(scale.pow_vartime([4]) * montgomery.pow_vartime([5])));
            } else {
                let by_scale = inverse(scale);
                full.extend(of_round.iter().map(|c| stored(*c * by_scale)));
                scale = scale.pow_vartime([5]) * montgomery.pow_vartime([4]);
            }
            scale *= by_l * two_64;
            if round + 1 < rounds {
                let next =
                    if is_partial(round + 1) { constants[(round + 1) * T] } else { Scalar::ZERO };
                row0.push(limbs(stored(next * inverse(scale) * two_64)));
            }
        }
        let hankel = (0..2 * T - 1).map(|k| l / (k + T) as u64).collect();
        Self { hankel, full, row0, kappa, last: stored(scale * montgomery) }
    }
}

/// Partial rounds by width (neptune, `round_numbers.rs`).
fn partial_rounds(t: usize) -> usize {
    if t == 3 { 55 } else { 57 }
}

/// A value as the words that stand for it here: its canonical ones.
fn stored(value: Scalar) -> Scalar {
    let bytes = value.to_repr();
    raw(super::words(&bytes))
}

fn inverse(value: Scalar) -> Scalar {
    value.invert().unwrap_or(Scalar::ZERO)
}

fn lcm(a: u64, b: u64) -> u64 {
    let gcd = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    a / gcd(a, b) * b
}

/// Carries the constants of elements that pass no s-box through the MDS into the next round.
fn carried(mut c: Vec<Scalar>, t: usize, is_partial: impl Fn(usize) -> bool) -> Vec<Scalar> {
    let mds: Vec<_> = (0..2 * t - 1).map(|k| inverse(Scalar::from((k + t) as u64))).collect();
    for round in (0..c.len() / t).filter(|round| is_partial(*round)) {
        let (this, next) = c[round * t..(round + 2) * t].split_at_mut(t);
        for (i, to) in next.iter_mut().enumerate() {
            *to += (1..t).map(|j| mds[i + j] * this[j]).sum::<Scalar>();
        }
        this[1..].fill(Scalar::ZERO);
    }
    c
}

/// Round constants: the Grain LFSR of the Poseidon paper (appendix E), as neptune seeds it.
fn grain(t: usize, partial: usize) -> Vec<Scalar> {
    let seed = [
        (2, 1),
        (4, 1),
        (12, FIELD_BITS),
        (12, t),
        (10, FULL_ROUNDS),
        (10, partial),
        (30, (1 << 30) - 1),
    ];
    let mut bits: Vec<bool> = seed
        .iter()
        .flat_map(|(n, value)| (0..*n).rev().map(move |i| value >> i & 1 == 1))
        .collect();
    let mut at = 0;
    // The register is a window of 80 bits over all bits so far.
    let mut step = move || {
        let bit = [62, 51, 38, 23, 13, 0].iter().fold(false, |bit, tap| bit ^ bits[at + tap]);
        bits.push(bit);
        at += 1;
        bit
    };
    for _ in 0..160 {
        step();
    }
    let mut shrunk = move || {
        while !step() {
            step();
        }
        step()
    };
    let mut element = || {
        let mut node = [0_u8; 32];
        for i in (0..FIELD_BITS).rev() {
            node[i / 8] |= u8::from(shrunk()) << (i % 8);
        }
        Option::<Scalar>::from(Scalar::from_repr(node))
    };
    let mut constants = Vec::new();
    while constants.len() < t * (FULL_ROUNDS + partial) {
        constants.extend(element());
    }
    constants
}
