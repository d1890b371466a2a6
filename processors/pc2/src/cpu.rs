// SPDX-License-Identifier: MIT OR Apache-2.0

//! pc2 on the CPU, by explicit choice: every thread takes a batch, reads its columns, hashes and encodes
//! them, builds the rows above them, and writes.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use sealpipe_protocol::{Code, TaskError};

use crate::{
    NODE_BYTES, Node,
    plan::{Shape, Tree},
    poseidon::{Poseidon, encode},
    sector::{Inputs, Outputs},
    stage::Watch,
    top::{Tops, next_row},
};

/// Columns of a batch: 8^4, so that a thread has 128 KiB of each layer, 1.5 MiB of 11 and the data.
const BATCH: u64 = 1 << 12;

/// Hashes of every arity.
#[derive(Debug, Default)]
pub struct Hashes {
    /// Columns of two layers, and what is above the octrees.
    pub pair: Poseidon<3>,
    /// Nodes of the trees.
    pub octree: Poseidon<9>,
    /// Columns of eleven layers.
    pub eleven: Poseidon<12>,
}

impl Hashes {
    /// The hash of a column.
    ///
    /// # Panics
    /// When it has neither 2 nor 11 labels: no proof has.
    pub fn column<'n>(&self, n_layers: u32, labels: impl IntoIterator<Item = &'n Node>) -> Node {
        match n_layers {
            2 => self.pair.hash(labels),
            _ => self.eleven.hash(labels),
        }
    }
}

/// Computes the sector; gives the roots of tree-c and tree-r-last.
///
/// # Errors
/// Inputs that are wrong or unreadable, what the disk says, and a stop.
pub fn run(
    shape: Shape,
    inputs: &Inputs,
    outputs: &Outputs,
    hashes: &Hashes,
    watch: &Watch<'_>,
) -> Result<(Node, Node), TaskError> {
    let batch = shape.batch(BATCH);
    let tops = Mutex::new(Tops::new(shape, batch));
    let done = AtomicU64::new(0);
    (0..shape.nodes() / batch).into_par_iter().try_for_each(|index| {
        watch.check()?;
        let first = index * batch;
        let [c, r_last] = run_batch(shape, inputs, outputs, hashes, (first, batch))?;
        let (which, at) = ((first / shape.leaves) as u32, (first % shape.leaves / batch) as usize);
        let mut tops = tops.lock().unwrap_or_else(PoisonError::into_inner);
        tops.set(Tree::C, which, at, &[c]);
        tops.set(Tree::RLast, which, at, &[r_last]);
        drop(tops);
        watch.done(done.fetch_add(batch, Ordering::Relaxed) + batch);
        Ok::<_, TaskError>(())
    })?;
    let tops = tops.into_inner().unwrap_or_else(PoisonError::into_inner);
    tops.finish(outputs, &hashes.octree, &hashes.pair, batch)
}

/// Computes a batch and gives its top nodes.
fn run_batch(
    shape: Shape,
    inputs: &Inputs,
    outputs: &Outputs,
    hashes: &Hashes,
    (first, batch): (u64, u64),
) -> Result<[Node; 2], TaskError> {
    let mut columns = Vec::with_capacity(inputs.count());
    for which in 0..inputs.count() {
        let mut nodes = vec![[0; NODE_BYTES]; batch as usize];
        inputs.read(which, nodes.as_flattened_mut(), first)?;
        columns.push(nodes);
    }
    let (data, layers) = columns.split_last().ok_or_else(no_inputs)?;
    let labels = layers.last().ok_or_else(no_inputs)?;
    let hash = |i: usize| hashes.column(shape.n_layers, layers.iter().map(|layer| &layer[i]));
    let leaves = (0..batch as usize).map(hash).collect();
    let replica: Vec<_> =
        data.iter().zip(labels).map(|(data, label)| encode(data, label)).collect();
    outputs.write_replica(first, replica.as_flattened())?;
    let (which, first) = ((first / shape.leaves) as u32, first % shape.leaves);
    let mut tops = [[0; NODE_BYTES]; 2];
    for (top, (tree, mut nodes)) in tops.iter_mut().zip([(Tree::C, leaves), (Tree::RLast, replica)])
    {
        let mut row = 0;
        outputs.write_row(tree, which, 0, first, nodes.as_flattened())?;
        while nodes.len() > 1 {
            nodes = next_row(&hashes.octree, &nodes);
            row += 1;
            outputs.write_row(tree, which, row, first >> (3 * row), nodes.as_flattened())?;
        }
        *top = nodes[0];
    }
    Ok(tops)
}

fn no_inputs() -> TaskError {
    TaskError::new(Code::InternalError, "a sector without layers")
}
