// SPDX-License-Identifier: MIT OR Apache-2.0

//! A Merkle tree of which only some leaves are known. The others, and all nodes without anything known below
//! them, are what a filler says.

use std::collections::BTreeMap;

use filecoin_hashers::{Hasher, PoseidonArity};
use filecoin_proofs::DefaultPieceHasher;
use merkletree::hash::Algorithm;
use storage_proofs_core::merkle::MerkleProof;

/// A tree, by rows: the first has the leaves, the last the root.
pub(super) struct Sparse<H: Hasher, F> {
    /// For each row the children of a node of the row above.
    arities: Vec<usize>,
    rows: Vec<BTreeMap<u64, H::Domain>>,
    filler: F,
}

impl<H: Hasher, F: Fn(usize, u64) -> H::Domain> Sparse<H, F> {
    /// The tree over `leaves`, by their places; `filler` gives the node at a row and place.
    pub(super) fn new(arities: Vec<usize>, leaves: BTreeMap<u64, H::Domain>, filler: F) -> Self {
        let mut tree = Self { arities, rows: vec![leaves], filler };
        for row in 0..tree.arities.len() {
            let above = tree.row_above(row);
            tree.rows.push(above);
        }
        tree
    }

    fn row_above(&self, row: usize) -> BTreeMap<u64, H::Domain> {
        let arity = self.arities[row] as u64;
        let mut above = BTreeMap::new();
        for place in self.rows[row].keys().map(|place| place / arity) {
            above.entry(place).or_insert_with(|| {
                let children = (0..arity).map(|child| self.node(row, place * arity + child));
                H::Function::default().multi_node(&children.collect::<Vec<_>>(), row)
            });
        }
        above
    }

    fn node(&self, row: usize, place: u64) -> H::Domain {
        let known = self.rows[row].get(&place).copied();
        known.unwrap_or_else(|| (self.filler)(row, place))
    }

    /// The root.
    pub(super) fn root(&self) -> H::Domain {
        self.node(self.arities.len(), 0)
    }

    /// The proof of the leaf at a place.
    pub(super) fn proof<A, B, C>(&self, leaf: u64) -> MerkleProof<H, A, B, C>
    where
        A: 'static + PoseidonArity,
        B: 'static + PoseidonArity,
        C: 'static + PoseidonArity,
    {
        let mut place = leaf;
        let step = |(row, arity): (usize, &usize)| {
            let arity = *arity as u64;
            let (own, first) = (place, place - place % arity);
            place /= arity;
            let others = (first..first + arity).filter(|other| *other != own);
            (others.map(|other| self.node(row, other)).collect(), (own - first) as usize)
        };
        let path = self.arities.iter().enumerate().map(step).collect();
        MerkleProof::from_parts(self.node(0, leaf), self.root(), path)
    }
}

/// Tree-d over zeros.
pub(super) type Zeros = Sparse<DefaultPieceHasher, ZeroRows>;

type ZeroRows = Box<dyn Fn(usize, u64) -> <DefaultPieceHasher as Hasher>::Domain>;

/// The binary tree over so many zeros, a power of two.
pub(super) fn of_zeros(n_leaves: u64) -> Zeros {
    let n_rows = n_leaves.ilog2() as usize;
    let mut rows = vec![<DefaultPieceHasher as Hasher>::Domain::default()];
    for row in 0..n_rows {
        let mut hash = <DefaultPieceHasher as Hasher>::Function::default();
        rows.push(hash.multi_node(&[rows[row]; 2], row));
    }
    let filler: ZeroRows = Box::new(move |row, _| rows[row]);
    Sparse::new(vec![2; n_rows], BTreeMap::new(), filler)
}
