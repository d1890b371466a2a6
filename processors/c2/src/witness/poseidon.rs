// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of neptune's Poseidon circuit, the older one (neptune, `circuit.rs`, `poseidon_hash`),
//! which the network's parameters are made for.

use std::sync::LazyLock;

use blstrs::Scalar;
use ff::Field as _;
use filecoin_hashers::{
    POSEIDON_CONSTANTS_2, POSEIDON_CONSTANTS_4, POSEIDON_CONSTANTS_8, POSEIDON_CONSTANTS_11,
};

use super::bits::Writer;

/// Elements of the state of the widest hash: a tag and 11 labels.
const MAX_WIDTH: usize = 12;

type State = [Scalar; MAX_WIDTH];

/// The hash of so many elements, as neptune's optimised form has it.
pub(super) struct Poseidon {
    width: usize,
    n_half_full: usize,
    n_partial: usize,
    /// The tag after the first s-box, which is a constant of the circuit.
    tag: Scalar,
    /// What is added to the inputs before the first s-box, the tag's key first.
    pre_keys: &'static [Scalar],
    /// What is added after s-boxes, in the order of the s-boxes.
    keys: &'static [Scalar],
    /// Columns of the matrix of the full rounds.
    matrix: Vec<Scalar>,
    /// Columns of the matrix before the partial rounds.
    pre_sparse: Vec<Scalar>,
    /// For each partial round the first column, and the first row without its first element; the rest
    /// is the identity.
    sparse: Vec<(&'static [Scalar], &'static [Scalar])>,
}

macro_rules! poseidon {
    ($name:ident, $constants:ident) => {
        static $name: LazyLock<Poseidon> = LazyLock::new(|| {
            let constants = &*$constants;
            let width = constants.width();
            let columns = |matrix: &[Vec<Scalar>]| {
                (0..width * width).map(|i| matrix[i % width][i / width]).collect()
            };
            let (pre_keys, keys) = constants.compressed_round_constants.split_at(width);
            let tag = constants.domain_tag + pre_keys[0];
            Poseidon {
                width,
                n_half_full: constants.half_full_rounds,
                n_partial: constants.partial_rounds,
                tag: tag.square().square() * tag + keys[0],
                pre_keys,
                keys,
                matrix: columns(&constants.mds_matrices.m),
                pre_sparse: columns(&constants.pre_sparse_matrix),
                sparse: (constants.sparse_matrixes.iter())
                    .map(|sparse| (&sparse.w_hat[..], &sparse.v_rest[..]))
                    .collect(),
            }
        });
    };
}

poseidon!(OF_2, POSEIDON_CONSTANTS_2);
poseidon!(OF_4, POSEIDON_CONSTANTS_4);
poseidon!(OF_8, POSEIDON_CONSTANTS_8);
poseidon!(OF_11, POSEIDON_CONSTANTS_11);

impl Poseidon {
    /// The hash of `arity` elements: 2, 4, 8 or 11, as trees and columns have them.
    pub(super) fn of(arity: usize) -> Option<&'static Self> {
        match arity {
            2 => Some(&OF_2),
            4 => Some(&OF_4),
            8 => Some(&OF_8),
            11 => Some(&OF_11),
            _ => None,
        }
    }

    /// Writes the variables of a hash, whose last one is the result.
    ///
    /// # Panics
    /// When there are not as many elements as this hash takes.
    pub(super) fn write(&self, out: &mut Writer, elements: &[Scalar]) -> Scalar {
        assert_eq!(elements.len() + 1, self.width, "a hash of another arity");
        let mut keys = self.keys[1..].iter();
        let mut key = || keys.next().copied().unwrap_or_default();
        let mut state = [Scalar::ZERO; MAX_WIDTH];
        state[0] = self.tag;
        for ((element, input), pre_key) in
            state[1..].iter_mut().zip(elements).zip(&self.pre_keys[1..])
        {
            // The input is a variable already.
            *element = s_box(out, input + pre_key, key());
        }
        for round in 1..self.n_half_full {
            self.mix(&mut state, &self.matrix);
            self.full_round(out, &mut state, &mut key);
            if round + 1 == self.n_half_full {
                self.mix(&mut state, &self.pre_sparse);
            }
        }
        for (column, row) in &self.sparse[..self.n_partial] {
            out.value(state[0]);
            let made = s_box(out, state[0], key());
            state[0] = made;
            state[0] = dot(&state, column);
            for (element, factor) in state[1..].iter_mut().zip(*row) {
                *element += made * factor;
            }
        }
        for round in 0..self.n_half_full {
            self.full_round(out, &mut state, &mut key);
            if round + 1 < self.n_half_full {
                self.mix(&mut state, &self.matrix);
            }
        }
        let result = dot(&state, &self.matrix[self.width..2 * self.width]);
        out.value(result);
        result
    }

    /// A round whose inputs are sums, so that each takes a variable.
    fn full_round(&self, out: &mut Writer, state: &mut State, key: &mut impl FnMut() -> Scalar) {
        for element in &mut state[..self.width] {
            out.value(*element);
            *element = s_box(out, *element, key());
        }
    }

    fn mix(&self, state: &mut State, columns: &[Scalar]) {
        let mut mixed = [Scalar::ZERO; MAX_WIDTH];
        for (element, column) in mixed.iter_mut().zip(columns.chunks_exact(self.width)) {
            *element = dot(state, column);
        }
        *state = mixed;
    }
}

/// x^5 + key, where x^2, x^4 and the result are variables.
#[inline]
fn s_box(out: &mut Writer, x: Scalar, key: Scalar) -> Scalar {
    let square = x.square();
    out.value(square);
    let fourth = square.square();
    out.value(fourth);
    let result = fourth * x + key;
    out.value(result);
    result
}

#[inline]
fn dot(state: &State, factors: &[Scalar]) -> Scalar {
    state.iter().zip(factors).fold(Scalar::ZERO, |sum, (element, factor)| sum + element * factor)
}

#[cfg(test)]
mod tests;
