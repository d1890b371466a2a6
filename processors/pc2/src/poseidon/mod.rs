// SPDX-License-Identifier: MIT OR Apache-2.0

//! Poseidon on the CPU, with neptune's parameters and an integer MDS.
//!
//! The method stands at the head of `processors/gpu/cuda/poseidon.cuh`: the MDS 1/(i+j+t) times
//! `L = lcm(t..3t-2)` is a Hankel matrix of integers below 2^44, a scale common to the state is carried
//! through the rounds, and no element is ever brought into Montgomery form. The tables are computed here
//! from the definition, apart from those of the kernels, so that each checks the other.
//!
//! A hash of arity 8 costs 129 fifth powers and 57 products by blst, and 64 x 81 products of one word by
//! four; neptune's costs 1932 products by blst.

mod tables;

use blst::blst_fr;
use blstrs::Scalar;

pub use self::tables::Tables;
use crate::Node;

/// Full rounds, half of them before the partial ones.
pub(crate) const FULL_ROUNDS: usize = 8;

/// r, least significant word first.
const R: [u64; 4] =
    [0xffff_ffff_0000_0001, 0x53bd_a402_fffe_5bfe, 0x3339_d808_09a1_d805, 0x73ed_a753_299d_7d48];

/// Words of a sum of products of the matrix: below 2^320.
type Sum = [u64; 5];

/// Poseidon over `T - 1` nodes.
#[derive(Debug)]
pub struct Poseidon<const T: usize> {
    tables: Tables<T>,
}

impl<const T: usize> Default for Poseidon<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const T: usize> Poseidon<T> {
    /// Computes the tables: a few milliseconds.
    pub fn new() -> Self {
        Self { tables: Tables::new() }
    }

    /// The hash of `T - 1` nodes, all below r.
    ///
    /// # Panics
    /// When there are not `T - 1`.
    pub fn hash<'n>(&self, preimage: impl IntoIterator<Item = &'n Node>) -> Node {
        let mut state = [raw([0; 4]); T];
        state[0] = raw([(1 << (T - 1)) - 1, 0, 0, 0]);
        let mut n_nodes = 1;
        for (element, node) in state[1..].iter_mut().zip(preimage) {
            *element = raw(words(node));
            n_nodes += 1;
        }
        assert_eq!(n_nodes, T, "a hash of arity {} has {} nodes", T - 1, n_nodes - 1);
        self.permute(&mut state)
    }

    fn permute(&self, state: &mut [Scalar; T]) -> Node {
        let tables = &self.tables;
        let partial = tables.kappa.len();
        let last = FULL_ROUNDS + partial - 1;
        let mut full = tables.full.chunks_exact(T);
        for round in 0..=last {
            match round.checked_sub(FULL_ROUNDS / 2).and_then(|at| tables.kappa.get(at)) {
                Some(kappa) => state[0] = fifth_power(state[0]) * kappa,
                None => {
                    let constants = full.next().unwrap_or_default();
                    for (element, constant) in state.iter_mut().zip(constants) {
                        *element = fifth_power(*element + constant);
                    }
                }
            }
            if round < last {
                *state = self.mix(state, &tables.row0[round]);
            }
        }
        let words = state.map(limbs);
        let hash = raw(reduce(&self.row(&words, 1))) * tables.last;
        node(limbs(hash))
    }

    /// The product with the integer matrix, `constant` added to row 0, all divided by 2^64.
    fn mix(&self, state: &[Scalar; T], constant: &[u64; 4]) -> [Scalar; T] {
        let words = state.map(limbs);
        std::array::from_fn(|i| {
            let mut sum = self.row(&words, i);
            if i == 0 {
                add_constant(&mut sum, constant);
            }
            raw(reduce(&sum))
        })
    }

    /// Row `i` of the integer matrix times the state.
    fn row(&self, state: &[[u64; 4]; T], i: usize) -> Sum {
        // By columns of words: each is below 12 * 2^64 * 2^44, so that it fits in 128 bits.
        let mut columns = [0_u128; 4];
        let hankel: &[u64; T] = self.tables.hankel[i..].first_chunk().unwrap_or(&[0; T]);
        for (element, h) in state.iter().zip(hankel) {
            for (column, word) in columns.iter_mut().zip(element) {
                *column = column.wrapping_add(u128::from(*word).wrapping_mul(u128::from(*h)));
            }
        }
        let mut sum = [0; 5];
        let mut carry = 0;
        for (to, column) in sum.iter_mut().zip(columns) {
            let total = column.wrapping_add(carry);
            *to = total as u64;
            carry = total >> 64;
        }
        sum[4] = carry as u64;
        sum
    }
}

fn add_constant(sum: &mut Sum, constant: &[u64; 4]) {
    let mut carry = false;
    for (to, word) in sum.iter_mut().zip(constant.iter().chain(&[0])) {
        (*to, carry) = to.carrying_add_word(*word, carry);
    }
}

/// Addition with a carry, which the standard library has under an unstable name.
trait CarryingAdd: Sized {
    fn carrying_add_word(self, other: Self, carry: bool) -> (Self, bool);
}

impl CarryingAdd for u64 {
    fn carrying_add_word(self, other: Self, carry: bool) -> (Self, bool) {
        let (sum, first) = self.overflowing_add(other);
        let (sum, second) = sum.overflowing_add(Self::from(carry));
        (sum, first | second)
    }
}

/// `sum / 2^64 mod r`, at most `(sum >> 64) + r`: a sum below 2^302 gives less than r + 2^240.
fn reduce(sum: &Sum) -> [u64; 4] {
    // -1/r mod 2^64 = -(1 + 2^32), since r mod 2^64 = 1 - 2^32.
    let m = sum[0].wrapping_mul(0xffff_fffe_ffff_ffff);
    let mut reduced = [0; 4];
    let (mut carry, _zero) = multiply_add(m, R[0], sum[0], 0);
    for i in 1..4 {
        (carry, reduced[i - 1]) = multiply_add(m, R[i], sum[i], carry);
    }
    reduced[3] = sum[4].wrapping_add(carry);
    reduced
}

/// `a b + c + d`, high and low word: it always fits.
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    let total = product.wrapping_add(u128::from(c)).wrapping_add(u128::from(d));
    ((total >> 64) as u64, total as u64)
}

/// `a^5 / R^4` of the stored value: four Montgomery products' worth, three of them computed.
fn fifth_power(a: Scalar) -> Scalar {
    let square = a * a;
    square * square * a
}

/// Words as they are, taken for an element in Montgomery form.
fn raw(words: [u64; 4]) -> Scalar {
    blst_fr { l: words }.into()
}

/// The words of an element as it is stored.
fn limbs(element: Scalar) -> [u64; 4] {
    blst_fr::from(element).l
}

/// The words of a node.
pub(crate) fn words(node: &Node) -> [u64; 4] {
    let (words, _) = node.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

/// A node from its words.
pub(crate) fn node(words: [u64; 4]) -> Node {
    let mut node = [0; 32];
    for (bytes, word) in node.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    node
}

/// Whether a node is below r.
pub fn is_canonical(node: &Node) -> bool {
    let words = words(node);
    // Almost always the highest word decides.
    words[3] < R[3] || words.iter().rev().lt(R.iter().rev())
}

/// The replica's node: `data + label mod r`, both below r.
pub fn encode(data: &Node, label: &Node) -> Node {
    node(limbs(raw(words(data)) + raw(words(label))))
}

#[cfg(test)]
mod tests;
