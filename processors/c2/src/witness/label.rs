// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of a label (storage-proofs-porep, `stacked/circuit/create_label.rs` and, for the
//! parents, `params.rs`).

use blstrs::Scalar;

use super::{bits::Writer, node, sha256, word::Word};

/// Parents that are hashed, repetitions counted (storage-proofs-porep, `TOTAL_PARENTS`).
const N_PARENTS: usize = 37;

/// Words of the message: the replica's id, the position with zeros after it, and the parents.
const N_WORDS: usize = 8 * (2 + N_PARENTS);

/// Bits of a label's SHA-256, at most.
pub(super) const N_BITS: usize = (N_WORDS / 16 + 1) * sha256::N_BITS + 14 * node::N_BITS;

/// Writes the parents' bits and the label's hash, whose packing is the last variable.
pub(super) fn write(
    out: &mut Writer,
    replica_id: &[Word; 8],
    layer: u32,
    node: u64,
    parents: &[Scalar],
) -> Scalar {
    let parents: Vec<_> = parents.iter().map(|parent| node::write_bits(out, parent)).collect();
    let mut message = Vec::with_capacity(N_WORDS);
    message.extend(replica_id);
    message.push(Word::constant(layer));
    message.push(Word::variable((node >> 32) as u32, 0));
    message.push(Word::variable(node as u32, 0));
    message.resize(16, Word::constant(0));
    message.extend(parents.iter().cycle().take(N_PARENTS).flatten());
    let hash = sha256::sha256(&mut out.bits, &message);
    node::write_packed(out, hash)
}

#[cfg(test)]
mod tests;
