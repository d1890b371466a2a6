// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is above the batches: the last rows of each tree, the roots, and CommR. A few hundred hashes.

use crate::{
    Node,
    plan::{Shape, Tree},
    poseidon::Poseidon,
    sector::Outputs,
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use sealpipe_protocol::TaskError;

/// Builds the rows of a tree above `row`, whose nodes are `nodes`, writes them, and gives the root.
///
/// # Errors
/// What the disk says.
pub fn finish_tree(
    outputs: &Outputs,
    octree: &Poseidon<9>,
    (tree, which): (Tree, u32),
    mut row: u32,
    mut nodes: Vec<Node>,
) -> Result<Node, TaskError> {
    while nodes.len() > 1 {
        nodes = next_row(octree, &nodes);
        row += 1;
        outputs.write_row(tree, which, row, 0, nodes.as_flattened())?;
    }
    Ok(nodes[0])
}

/// A row of an octree from the one below it.
pub fn next_row(octree: &Poseidon<9>, below: &[Node]) -> Vec<Node> {
    let (groups, _) = below.as_chunks::<8>();
    groups.into_par_iter().map(|group| octree.hash(group)).collect()
}

/// The root above the roots of all trees: 8 under one node; with 16, two such nodes under one of arity 2.
pub fn join_roots(octree: &Poseidon<9>, pair: &Poseidon<3>, mut roots: Vec<Node>) -> Node {
    while roots.len() >= 8 {
        roots = next_row(octree, &roots);
    }
    match roots.as_slice() {
        [one] => *one,
        two => pair.hash(two),
    }
}

/// Rows that a batch of so many columns makes by itself.
pub fn rows_of_batch(batch: u64) -> u32 {
    batch.ilog2() / 3
}

/// The nodes of the row at which batches end, to be filled in batch by batch: for each tree, both kinds.
#[derive(Debug)]
pub struct Tops {
    per_tree: usize,
    nodes: Vec<[Vec<Node>; 2]>,
}

impl Tops {
    /// Empty ones for a shape and a batch.
    pub fn new(shape: Shape, batch: u64) -> Self {
        let per_tree = (shape.leaves / batch) as usize;
        let of_tree = || [vec![[0; 32]; per_tree], vec![[0; 32]; per_tree]];
        Self { per_tree, nodes: (0..shape.n_trees).map(|_| of_tree()).collect() }
    }

    /// Sets nodes of a tree from batch `first` of it on.
    pub fn set(&mut self, tree: Tree, which: u32, first: usize, nodes: &[Node]) {
        debug_assert!(first + nodes.len() <= self.per_tree, "{first} + {} batches", nodes.len());
        let row = &mut self.nodes[which as usize][usize::from(tree == Tree::RLast)];
        row[first..first + nodes.len()].copy_from_slice(nodes);
    }

    /// Finishes all trees and gives the roots of tree-c and of tree-r-last.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(
        self,
        outputs: &Outputs,
        octree: &Poseidon<9>,
        pair: &Poseidon<3>,
        batch: u64,
    ) -> Result<(Node, Node), TaskError> {
        let row = rows_of_batch(batch);
        let mut roots = [Vec::new(), Vec::new()];
        for (which, of_tree) in self.nodes.into_iter().enumerate() {
            for (tree, (nodes, roots)) in
                [Tree::C, Tree::RLast].into_iter().zip(of_tree.into_iter().zip(&mut roots))
            {
                let at = (tree, u32::try_from(which).unwrap_or(u32::MAX));
                roots.push(finish_tree(outputs, octree, at, row, nodes)?);
            }
        }
        let [c, r_last] = roots.map(|roots| join_roots(octree, pair, roots));
        Ok((c, r_last))
    }
}
