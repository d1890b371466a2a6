// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is computed in which order and where it goes: rows, batches and offsets. Pure.
//!
//! A tree has `8^k` leaves and k rows above them; its file has all rows that are kept, from the lowest to
//! the root. Row d of a tree with l leaves has `l / 8^d` nodes.

use sealpipe_protocol::stage::{files, proof::SealProof};

use crate::NODE_BYTES;

/// filecoin-proofs' default of `FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE`, in columns.
pub const DEFAULT_COLUMN_BATCH: u64 = 400_000;
/// filecoin-proofs' default of `FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE`, in nodes.
pub const DEFAULT_TREE_BATCH: u64 = 700_000;
/// filecoin-proofs' default of `FIL_PROOFS_ROWS_TO_DISCARD`.
pub const DEFAULT_ROWS_TO_DISCARD: u32 = 2;

/// Columns of a span at most: what is hashed on the device before its tops are, 8^8.
const MAX_SPAN: u64 = 1 << 24;

/// The shape of a sector's trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// SDR layers: the arity of the column hash.
    pub n_layers: u32,
    /// Trees that tree-c and tree-r-last consist of, a file each.
    pub n_trees: u32,
    /// Leaves of each tree: a power of 8.
    pub leaves: u64,
    /// Rows above the leaves that tree-r-last leaves out.
    pub discard: u32,
}

impl Shape {
    /// The shape of a proof's sector, with as many rows discarded as asked for.
    pub fn of(proof: SealProof, rows_to_discard: u32) -> Self {
        let n_trees = files::n_trees(proof);
        Self::new(proof.n_layers(), n_trees, proof.n_nodes() / u64::from(n_trees), rows_to_discard)
    }

    /// A shape; storage-proofs-core, `util.rs`, `default_rows_to_discard`, decides about the rows.
    pub fn new(n_layers: u32, n_trees: u32, leaves: u64, rows_to_discard: u32) -> Self {
        let discard = match depth(leaves) {
            0 | 1 => 0,
            2 => 1,
            rows_above => rows_to_discard.min(rows_above - 1),
        };
        Self { n_layers, n_trees, leaves, discard }
    }

    /// Nodes of the sector.
    pub fn nodes(self) -> u64 {
        self.leaves * u64::from(self.n_trees)
    }

    /// Rows above the leaves.
    pub fn depth(self) -> u32 {
        depth(self.leaves)
    }

    /// The lowest row that a file has.
    pub fn first_row(self, tree: Tree) -> u32 {
        match tree {
            Tree::C => 0,
            Tree::RLast => self.discard + 1,
        }
    }

    /// Where node `at` of row `row` stands in its file, in bytes; `None` for a row that is not kept.
    pub fn offset(self, tree: Tree, row: u32, at: u64) -> Option<u64> {
        let first = self.first_row(tree);
        let below: u64 = (first..row).map(|d| self.leaves >> (3 * d)).sum();
        (row >= first).then_some((below + at) * NODE_BYTES as u64)
    }

    /// Bytes of a file.
    pub fn file_bytes(self, tree: Tree) -> u64 {
        let rows = self.first_row(tree)..=self.depth();
        rows.map(|d| self.leaves >> (3 * d)).sum::<u64>() * NODE_BYTES as u64
    }

    /// The names of a tree's files, in order: one, or numbered from 0.
    pub fn file_names(self, tree: Tree) -> Vec<String> {
        let stem = match tree {
            Tree::C => "sc-02-data-tree-c",
            Tree::RLast => "sc-02-data-tree-r-last",
        };
        match self.n_trees {
            1 => vec![format!("{stem}.dat")],
            n => (0..n).map(|i| format!("{stem}-{i}.dat")).collect(),
        }
    }

    /// Columns of a batch: the largest power of 8 within the limit and the tree.
    pub fn batch(self, limit: u64) -> u64 {
        let mut batch = 1;
        while batch * 8 <= limit && batch < self.leaves {
            batch *= 8;
        }
        batch
    }

    /// The spans of a sector in order: batches of one tree that are hashed on one device before the rows
    /// above them are. At least two for each of `n_devices`, as far as there are batches.
    pub fn spans(self, batch: u64, n_devices: u64) -> Vec<Span> {
        let wanted = (self.nodes() / (2 * n_devices.max(1))).clamp(batch, MAX_SPAN.max(batch));
        let wanted = wanted.min(self.leaves);
        // With one device the whole of a small sector is one span: fewer tops.
        let columns = if n_devices <= 1 { self.leaves.min(MAX_SPAN.max(batch)) } else { wanted };
        let columns = columns - columns % batch;
        let trees = (0..self.n_trees).flat_map(|tree| {
            (0..self.leaves).step_by(columns as usize).map(move |first| Span {
                tree,
                first,
                columns: columns.min(self.leaves - first),
            })
        });
        trees.collect()
    }
}

fn depth(leaves: u64) -> u32 {
    leaves.max(1).ilog2() / 3
}

/// One of the two trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tree {
    /// Over the column hashes.
    C,
    /// Over the replica.
    RLast,
}

/// Consecutive batches of one tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Which tree, from 0.
    pub tree: u32,
    /// Its first column within the tree.
    pub first: u64,
    /// How many columns: a multiple of the batch.
    pub columns: u64,
}

/// Limits on batches that filecoin-proofs' settings give: the smaller of both.
pub fn batch_limit(column_batch: Option<u64>, tree_batch: Option<u64>) -> u64 {
    column_batch
        .unwrap_or(DEFAULT_COLUMN_BATCH)
        .min(tree_batch.unwrap_or(DEFAULT_TREE_BATCH))
        .max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SealProof; 5] = [
        SealProof::StackedDrg2KiBV1_1,
        SealProof::StackedDrg8MiBV1_1,
        SealProof::StackedDrg512MiBV1_1,
        SealProof::StackedDrg32GiBV1_1,
        SealProof::StackedDrg64GiBV1_1,
    ];

    #[test]
    fn files_have_the_sizes_of_filecoin_proofs() {
        let sizes = ALL.map(|proof| {
            let shape = Shape::of(proof, DEFAULT_ROWS_TO_DISCARD);
            (shape.n_trees, shape.file_bytes(Tree::C), shape.file_bytes(Tree::RLast))
        });
        let of_32gib = (4_908_534_048, 9_586_976);
        assert_eq!(
            sizes,
            [
                (1, 2_336, 32),
                (1, 9_586_976, 18_720),
                (1, 613_566_752, 1_198_368),
                (8, of_32gib.0, of_32gib.1),
                (16, of_32gib.0, of_32gib.1),
            ]
        );
    }

    #[test]
    fn files_have_the_names_of_the_protocol() {
        for proof in ALL {
            let shape = Shape::of(proof, DEFAULT_ROWS_TO_DISCARD);
            assert_eq!(shape.file_names(Tree::C), files::tree_c(proof));
            assert_eq!(shape.file_names(Tree::RLast), files::tree_r_last(proof));
        }
    }

    #[test]
    fn at_most_all_rows_but_the_root_are_discarded() {
        let check = |leaves, asked, expected| {
            assert_eq!(Shape::new(2, 1, leaves, asked).discard, expected, "{leaves} {asked}");
        };
        check(8, 2, 0);
        check(64, 2, 1);
        // As the library has it: with one row between base and root nobody is asked.
        check(64, 0, 1);
        check(512, 2, 2);
        check(512, 7, 2);
        check(1 << 27, 7, 7);
        check(1 << 27, 0, 0);
    }

    #[test]
    fn the_root_is_the_last_node() {
        for proof in ALL {
            for discard in 0..5 {
                let shape = Shape::of(proof, discard);
                for tree in [Tree::C, Tree::RLast] {
                    let root = shape.offset(tree, shape.depth(), 0).unwrap();
                    assert_eq!(root + 32, shape.file_bytes(tree), "{proof} {tree:?} {discard}");
                }
            }
        }
    }

    #[test]
    fn batches_are_powers_of_eight_within_the_limit() {
        let check = |leaves, limit, expected| {
            assert_eq!(Shape::new(11, 1, leaves, 2).batch(limit), expected, "{leaves} {limit}");
        };
        check(1 << 27, batch_limit(None, None), 1 << 18);
        check(1 << 27, batch_limit(Some(100_000), None), 1 << 15);
        check(1 << 27, batch_limit(None, Some(9)), 8);
        check(1 << 27, batch_limit(Some(0), None), 8);
        check(64, batch_limit(None, None), 64);
    }

    #[test]
    fn spans_cover_every_column_once_and_no_span_two_trees() {
        for proof in ALL {
            let shape = Shape::of(proof, 2);
            for (n_devices, limit) in [(1, 400_000), (2, 400_000), (3, 5_000), (8, 64)] {
                let batch = shape.batch(limit);
                let spans = shape.spans(batch, n_devices);
                let mut next = (0, 0);
                for span in &spans {
                    assert_eq!((span.tree, span.first), next, "{proof} {n_devices} {limit}");
                    assert_eq!(span.columns % batch, 0);
                    assert!(span.columns <= MAX_SPAN.max(batch));
                    next.1 += span.columns;
                    if next.1 == shape.leaves {
                        next = (next.0 + 1, 0);
                    }
                }
                assert_eq!(next, (shape.n_trees, 0));
                let batches = shape.nodes() / batch;
                assert!(
                    spans.len() as u64 >= (n_devices).min(batches),
                    "{proof} {n_devices} {limit}"
                );
            }
        }
    }
}
