// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of a partition (storage-proofs-porep, `stacked/circuit/proof.rs` and `params.rs`), in
//! pieces that are made side by side and put together in the circuit's order.

use std::iter::repeat_n;

use blstrs::Scalar;
use rayon::prelude::*;
use sealpipe_protocol::TaskError;

use super::{
    Public,
    bits::Writer,
    label, node,
    path::{self, Hash},
    poseidon::Poseidon,
    sha256,
    vanilla::{ColumnProof, Node, Proof, invalid, scalar},
    word::Word,
};
use crate::{
    assignment::{Assignment, Variables},
    shape::{N_DRG_PARENTS, N_EXP_PARENTS, Shape},
};

/// Variables of a Poseidon of 8 with its insertion, at most; for the room that is made beforehand.
const N_VALUES_OF_LEVEL: usize = 600;

/// The roots that all paths of a partition lead to.
#[derive(Clone, Copy)]
struct Roots {
    comm_d: Scalar,
    comm_c: Scalar,
    comm_r_last: Scalar,
}

/// See [`super::generate`]; also whether the assignment satisfies the circuit.
pub(super) fn generate(
    shape: &Shape,
    variables: &Variables,
    public: &Public,
    proofs: &[Proof],
) -> Result<(Assignment, bool), TaskError> {
    if proofs.len() != shape.n_challenges {
        let (n, expected) = (proofs.len(), shape.n_challenges);
        return Err(invalid(format!("{n} challenges in a partition of {expected}")));
    }
    let (head, replica_id, roots) = write_head(public, &proofs[0])?;
    let challenges = (proofs.iter())
        .map(|proof| Challenge::new(shape, &replica_id, roots, proof))
        .collect::<Result<Vec<_>, _>>()?;
    let n_parts = challenges.first().map_or(0, Challenge::n_parts);
    let parts = (0..challenges.len() * n_parts)
        .into_par_iter()
        .map(|i| challenges[i / n_parts].write_part(i % n_parts))
        .collect::<Result<Vec<_>, _>>()?;
    let tails = challenges
        .par_iter()
        .zip(parts.par_chunks(n_parts))
        .map(|(challenge, parts)| challenge.write_tail(&parts[n_parts - shape.n_layers..]))
        .collect::<Result<Vec<_>, _>>()?;
    let challenges = parts.chunks(n_parts).zip(&tails);
    let pieces = challenges.flat_map(|(parts, tail)| parts.iter().chain([tail]));
    let pieces: Vec<_> = [&head].into_iter().chain(pieces).collect();
    let holds = pieces.iter().all(|piece| piece.holds());
    Ok((Writer::assemble(pieces.into_iter(), variables)?, holds))
}

/// Writes what all challenges share; the replica's id is returned as booleans.
fn write_head(public: &Public, first: &Proof) -> Result<(Writer, [Word; 8], Roots), TaskError> {
    let mut out = Writer::default();
    let input = |out: &mut Writer, node: &Node| -> Result<Scalar, TaskError> {
        let number = scalar(node)?;
        out.value(number);
        out.inputs.push(number);
        Ok(number)
    };
    let replica_id = input(&mut out, &public.replica_id)?;
    let replica_id = node::write_bits(&mut out, &replica_id);
    let comm_d = input(&mut out, &public.comm_d)?;
    let comm_r = input(&mut out, &public.comm_r)?;
    let comm_r_last = scalar(first.comm_r_last_proof.path().root())?;
    let comm_c = scalar(first.replica_column_proofs.c_x.inclusion_proof.path().root())?;
    out.value(comm_r_last);
    out.value(comm_c);
    let root = poseidon(2)?.write(&mut out, &[comm_c, comm_r_last]);
    out.equal(root, comm_r);
    Ok((out, replica_id, Roots { comm_d, comm_c, comm_r_last }))
}

fn poseidon(arity: usize) -> Result<&'static Poseidon, TaskError> {
    Poseidon::of(arity).ok_or_else(|| invalid(format!("columns of {arity} layers")))
}

/// One challenge of a vanilla proof, whose shape has been checked.
struct Challenge<'p> {
    shape: &'p Shape,
    replica_id: &'p [Word; 8],
    roots: Roots,
    proof: &'p Proof,
    /// The challenged node's number.
    node: u64,
    /// The parents' labels in each layer: those in the same layer first.
    columns: Vec<Vec<Scalar>>,
    column_hash: &'static Poseidon,
}

impl<'p> Challenge<'p> {
    fn new(
        shape: &'p Shape,
        replica_id: &'p [Word; 8],
        roots: Roots,
        proof: &'p Proof,
    ) -> Result<Self, TaskError> {
        let columns = &proof.replica_column_proofs;
        let n_parents = (columns.drg_parents.len(), columns.exp_parents.len());
        if n_parents != (N_DRG_PARENTS, N_EXP_PARENTS) {
            return Err(invalid(format!("{} and {} parents", n_parents.0, n_parents.1)));
        }
        let Some(labeling) = proof.labeling_proofs.first() else {
            return Err(invalid("a challenge without labels".to_owned()));
        };
        let column = |parent: &ColumnProof| {
            let rows = &parent.column.rows;
            if rows.len() != shape.n_layers {
                let (n, expected) = (rows.len(), shape.n_layers);
                return Err(invalid(format!("a column of {n} labels in {expected} layers")));
            }
            rows.iter().map(scalar).collect::<Result<Vec<_>, _>>()
        };
        Ok(Challenge {
            shape,
            replica_id,
            roots,
            proof,
            node: labeling.node,
            columns: (columns.drg_parents.iter().chain(&columns.exp_parents))
                .map(column)
                .collect::<Result<_, _>>()?,
            column_hash: poseidon(shape.n_layers)?,
        })
    }

    /// The data, the parents, the challenge, and the labels: all but the tail.
    fn n_parts(&self) -> usize {
        1 + self.columns.len() + 1 + self.shape.n_layers
    }

    /// Writes one of the parts that depend on no other.
    fn write_part(&self, part: usize) -> Result<Writer, TaskError> {
        let n_parents = self.columns.len();
        match part.checked_sub(1) {
            None => self.write_data(),
            Some(parent) if parent < n_parents => self.write_parent(parent),
            Some(part) if part == n_parents => Ok(self.write_node()),
            Some(part) => Ok(self.write_label(part - n_parents)),
        }
    }

    /// The data's node and its inclusion.
    fn write_data(&self) -> Result<Writer, TaskError> {
        let n_levels = self.shape.n_data_levels();
        let n_bits = n_levels * 2 * (sha256::N_BITS + node::N_BITS);
        let mut out = Writer::with_capacity(n_levels * 8, n_bits);
        let path = self.proof.comm_d_proofs.path();
        let leaf = scalar(path.leaf())?;
        out.value(leaf);
        let root = path::write(&mut out, Hash::Sha256, leaf, path, repeat_n(2, n_levels))?;
        out.equal(root, self.roots.comm_d);
        Ok(out)
    }

    /// A parent's column, its hash and its inclusion.
    fn write_parent(&self, parent: usize) -> Result<Writer, TaskError> {
        let columns = &self.proof.replica_column_proofs;
        let mut proofs = columns.drg_parents.iter().chain(&columns.exp_parents);
        let mut out = self.path_writer(1);
        for label in &self.columns[parent] {
            out.value(*label);
        }
        let hash = self.column_hash.write(&mut out, &self.columns[parent]);
        if let Some(proof) = proofs.nth(parent) {
            self.write_path(&mut out, hash, proof.inclusion_proof.path(), self.roots.comm_c)?;
        }
        Ok(out)
    }

    /// The challenged node's number.
    fn write_node(&self) -> Writer {
        let mut out = Writer::default();
        out.bits.push(self.node, 64);
        out.inputs.push(Scalar::from(self.node));
        out
    }

    /// The label of a layer, counted from 1; the first layer has no parents in a layer before.
    fn write_label(&self, layer: usize) -> Writer {
        let mut out = Writer::with_capacity(1, label::N_BITS);
        let (drg, exp) = self.columns.split_at(N_DRG_PARENTS);
        let mut parents: Vec<_> = drg.iter().map(|column| column[layer - 1]).collect();
        if layer > 1 {
            parents.extend(exp.iter().map(|column| column[layer - 2]));
        }
        label::write(&mut out, self.replica_id, layer as u32, self.node, &parents);
        out
    }

    /// What follows from the labels: the replica's node and the challenged column.
    fn write_tail(&self, labels: &[Writer]) -> Result<Writer, TaskError> {
        let labels: Vec<_> = labels.iter().filter_map(Writer::last_value).collect();
        let mut out = self.path_writer(2);
        let data = scalar(self.proof.comm_d_proofs.path().leaf())?;
        let replica = labels.last().copied().unwrap_or_default() + data;
        out.value(replica);
        let path = self.proof.comm_r_last_proof.path();
        self.write_path(&mut out, replica, path, self.roots.comm_r_last)?;
        let hash = self.column_hash.write(&mut out, &labels);
        let proof = &self.proof.replica_column_proofs.c_x.inclusion_proof;
        self.write_path(&mut out, hash, proof.path(), self.roots.comm_c)?;
        Ok(out)
    }

    /// Room for so many ways to the root, and a column.
    fn path_writer(&self, n_paths: usize) -> Writer {
        let n_levels = n_paths * self.shape.arities.len();
        Writer::with_capacity((n_levels + 2) * N_VALUES_OF_LEVEL, n_levels * 8)
    }

    fn write_path(
        &self,
        out: &mut Writer,
        leaf: Scalar,
        path: &super::vanilla::Path,
        expected: Scalar,
    ) -> Result<(), TaskError> {
        let arities = self.shape.arities.iter().copied();
        let root = path::write(out, Hash::Poseidon, leaf, path, arities)?;
        out.equal(root, expected);
        Ok(())
    }
}
