// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of inclusion in a tree (storage-proofs-core, `gadgets/por.rs` and
//! `gadgets/insertion.rs`).

use blstrs::Scalar;
use sealpipe_protocol::TaskError;

use super::{
    bits::Writer,
    node,
    poseidon::Poseidon,
    sha256,
    vanilla::{Level, Path, invalid, scalar},
};

/// How a tree hashes.
#[derive(Clone, Copy)]
pub(super) enum Hash {
    Poseidon,
    /// Of two nodes.
    Sha256,
}

/// Writes the way from a leaf to the root, whose levels have these arities, and the leaf's position as
/// an input; gives the root that the way leads to.
///
/// # Errors
/// A path of another tree, or nodes that are no field elements.
pub(super) fn write(
    out: &mut Writer,
    hash: Hash,
    leaf: Scalar,
    path: &Path,
    arities: impl ExactSizeIterator<Item = usize>,
) -> Result<Scalar, TaskError> {
    let (n_levels, found) = (arities.len(), path.levels().count());
    if found != n_levels {
        return Err(invalid(format!("a path of {found} levels in a tree of {n_levels}")));
    }
    let (mut node, mut position, mut n_position) = (leaf, 0u64, 0);
    for (level, arity) in path.levels().zip(arities) {
        let lg_arity = arity.ilog2();
        // As the circuit takes it, whatever is above.
        let index = level.index & (arity as u64 - 1);
        position |= index << n_position;
        n_position += lg_arity;
        out.bits.push(index, lg_arity as usize);
        let children = write_inserted(out, node, level, index, arity)?;
        node = match hash {
            Hash::Poseidon => match Poseidon::of(arity) {
                Some(poseidon) => poseidon.write(out, &children[..arity]),
                None => return Err(invalid(format!("a tree of arity {arity}"))),
            },
            Hash::Sha256 => {
                let message =
                    [node::write_bits(out, &children[0]), node::write_bits(out, &children[1])];
                let hash = sha256::sha256(&mut out.bits, message.as_flattened());
                node::write_packed(out, hash)
            }
        };
    }
    out.inputs.push(Scalar::from(position));
    Ok(node)
}

/// The largest arity of a tree.
const MAX_ARITY: usize = 8;

/// Writes the siblings of a node and `insert` of the node between them: all children.
fn write_inserted(
    out: &mut Writer,
    node: Scalar,
    level: &Level,
    index: u64,
    arity: usize,
) -> Result<[Scalar; MAX_ARITY], TaskError> {
    if level.hashes.len() + 1 != arity {
        let n = level.hashes.len();
        return Err(invalid(format!("{n} siblings in a tree of arity {arity}")));
    }
    let mut siblings = [Scalar::default(); MAX_ARITY - 1];
    for (sibling, hash) in siblings.iter_mut().zip(&level.hashes) {
        *sibling = scalar(hash)?;
        out.value(*sibling);
    }
    match arity {
        2 => Ok(insert_2(out, node, index, &siblings)),
        4 => Ok(insert_4(out, node, index, &siblings)),
        8 => Ok(insert_8(out, node, index, &siblings)),
        _ => Err(invalid(format!("a tree of arity {arity}"))),
    }
}

/// `pick`: a variable of its own for what is already known.
fn pick(out: &mut Writer, condition: bool, yes: Scalar, no: Scalar) -> Scalar {
    let picked = if condition { yes } else { no };
    out.value(picked);
    picked
}

fn bit(index: u64, i: u32) -> bool {
    index >> i & 1 == 1
}

fn insert_2(
    out: &mut Writer,
    a: Scalar,
    index: u64,
    siblings: &[Scalar; 7],
) -> [Scalar; MAX_ARITY] {
    let (b0, b) = (bit(index, 0), siblings[0]);
    let mut children = [Scalar::default(); MAX_ARITY];
    children[0] = pick(out, b0, b, a);
    children[1] = pick(out, b0, a, b);
    children
}

fn insert_4(
    out: &mut Writer,
    a: Scalar,
    index: u64,
    siblings: &[Scalar; 7],
) -> [Scalar; MAX_ARITY] {
    let [b, c, d, ..] = *siblings;
    let (b0, b1) = (bit(index, 0), bit(index, 1));
    let mut children = [Scalar::default(); MAX_ARITY];
    let p0_x0 = pick(out, b0, b, a);
    children[0] = pick(out, b1, b, p0_x0);
    let p1_x0 = pick(out, b0, a, b);
    children[1] = pick(out, b1, c, p1_x0);
    let p2_x1 = pick(out, b0, d, a);
    children[2] = pick(out, b1, p2_x1, c);
    let p3_x1 = pick(out, b0, a, d);
    children[3] = pick(out, b1, p3_x1, d);
    children
}

/// Names as in the gadget: `p2_x10` is position 2 when b0 is unknown, b1 is 1 and b2 is 0.
fn insert_8(
    out: &mut Writer,
    a: Scalar,
    index: u64,
    siblings: &[Scalar; 7],
) -> [Scalar; MAX_ARITY] {
    let [b, c, d, e, f, g, h] = *siblings;
    let (b0, b1, b2) = (bit(index, 0), bit(index, 1), bit(index, 2));
    let (nor, and) = (!b0 && !b1, b0 && b1);
    out.bits.push(u64::from(nor) | u64::from(and) << 1, 2);

    let p0_xx0 = pick(out, nor, a, b);
    let p0 = pick(out, b2, b, p0_xx0);
    let p1_x00 = pick(out, b0, a, b);
    let p1_xx0 = pick(out, b1, c, p1_x00);
    let p1 = pick(out, b2, c, p1_xx0);
    let p2_x10 = pick(out, b0, d, a);
    let p2_xx0 = pick(out, b1, p2_x10, c);
    let p2 = pick(out, b2, d, p2_xx0);
    let p3_xx0 = pick(out, and, a, d);
    let p3 = pick(out, b2, e, p3_xx0);
    let p4_xx1 = pick(out, nor, a, f);
    let p4 = pick(out, b2, p4_xx1, e);
    let p5_x01 = pick(out, b0, a, f);
    let p5_xx1 = pick(out, b1, g, p5_x01);
    let p5 = pick(out, b2, p5_xx1, f);
    let p6_x11 = pick(out, b0, h, a);
    let p6_xx1 = pick(out, b1, p6_x11, g);
    let p6 = pick(out, b2, p6_xx1, g);
    let p7_xx1 = pick(out, and, a, h);
    let p7 = pick(out, b2, p7_xx1, h);
    [p0, p1, p2, p3, p4, p5, p6, p7]
}

#[cfg(test)]
mod tests;
