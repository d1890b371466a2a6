// SPDX-License-Identifier: MIT OR Apache-2.0

//! tree-d: the binary SHA-256 tree over the unsealed data, and CommD, its root.
//!
//! The data is read in blocks, each of which is hashed up to its root by one thread; the rows above
//! the blocks come last. A block of zeros, which committed capacity consists of, is known.

pub mod pairs;
mod sha_ni;

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable, failure,
    stage::{files, piece::Piece, proof::SealProof},
};

use self::pairs::{Node, Pairs};

/// Leaves of a block: 1 MiB of data.
const BLOCK_LEAVES: usize = 1 << 15;

/// Bytes of a node.
const NODE_BYTES: u64 = 32;

/// Bytes of the file: all rows.
pub fn file_bytes(n_leaves: u64) -> u64 {
    NODE_BYTES * (2 * n_leaves - 1)
}

/// Builds tree-d in `cache_dir`; its root. `on_leaves` hears how many leaves are done.
///
/// # Errors
/// Data that is missing or has another size, what the disk says, and what `check` ends it with.
pub fn build(
    proof: SealProof,
    unsealed: &Path,
    cache_dir: &Path,
    on_leaves: &(dyn Fn(u64) + Sync),
    check: &(dyn Fn() -> Result<(), TaskError> + Sync),
) -> Result<Bytes32, TaskError> {
    let what = "the unsealed data";
    let data = File::open(unsealed).map_err(|error| failure::input(what, unsealed, &error))?;
    let found = data.metadata().map_err(|error| failure::input(what, unsealed, &error))?.len();
    if found != proof.sector_bytes() {
        return Err(TaskError::new(
            Code::InvalidInput,
            format!(
                "{what} {} has {found} bytes, expected {}",
                unsealed.display(),
                proof.sector_bytes()
            ),
        ));
    }
    let path = cache_dir.join(files::TREE_D);
    durable::require_space(cache_dir, file_bytes(proof.n_nodes()))?;
    durable::write_file(&path, |tree| {
        let build = Build {
            data: &data,
            tree,
            n_leaves: proof.n_nodes() as usize,
            read_failed: &|error| failure::input(what, unsealed, &error),
            write_failed: &|error| failure::output("tree-d", &path, &error),
            on_leaves,
            check,
        };
        build.run().map(Bytes32)
    })
}

/// Refuses a tree-d that is not whole or whose root is not `comm_d`.
///
/// # Errors
/// [`Code::InputUnavailable`] and [`Code::InvalidInput`].
pub fn verify(proof: SealProof, cache_dir: &Path, comm_d: Bytes32) -> Result<(), TaskError> {
    let path = cache_dir.join(files::TREE_D);
    let failed = |error: io::Error| failure::input("tree-d", &path, &error);
    let file = File::open(&path).map_err(failed)?;
    let (found, expected) = (file.metadata().map_err(failed)?.len(), file_bytes(proof.n_nodes()));
    let wrong = |message: String| {
        Err(TaskError::new(Code::InvalidInput, message)
            .hint("the file belongs to other data or is damaged; run tree_d again"))
    };
    if found != expected {
        return wrong(format!("{} has {found} bytes, expected {expected}", path.display()));
    }
    let mut root = [0; 32];
    file.read_exact_at(&mut root, expected - NODE_BYTES).map_err(failed)?;
    if Bytes32(root) != comm_d {
        let root = Bytes32(root);
        return wrong(format!("{} has the root {root}, `commD` is {comm_d}", path.display()));
    }
    Ok(())
}

/// Root over the pieces of a sector, in order; they fill it exactly.
///
/// # Errors
/// [`Code::InvalidInput`] for a commitment of zeros, which no piece has.
pub fn root_of_pieces(pieces: &[Piece]) -> Result<Bytes32, TaskError> {
    let pairs = Pairs::detect();
    let mut stack: Vec<(u64, Node)> = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        if piece.comm_p.0 == [0; 32] {
            return Err(TaskError::new(
                Code::InvalidInput,
                format!("`pieces[{i}].commP` is all zeros, which is no piece's root"),
            ));
        }
        let mut top = (piece.piece_size, piece.comm_p.0);
        while let Some((size, left)) = stack.pop_if(|(size, _)| *size == top.0) {
            top = (2 * size, pairs.join(&left, &top.1));
        }
        stack.push(top);
    }
    match stack.as_slice() {
        [(_, root)] => Ok(Bytes32(*root)),
        _ => Err(TaskError::new(Code::InvalidInput, "`pieces` do not fill a sector")),
    }
}

/// One tree being built.
struct Build<'b> {
    data: &'b File,
    tree: &'b File,
    n_leaves: usize,
    read_failed: &'b (dyn Fn(io::Error) -> TaskError + Sync),
    write_failed: &'b (dyn Fn(io::Error) -> TaskError + Sync),
    on_leaves: &'b (dyn Fn(u64) + Sync),
    check: &'b (dyn Fn() -> Result<(), TaskError> + Sync),
}

impl Build<'_> {
    fn run(&self) -> Result<Node, TaskError> {
        let block = BLOCK_LEAVES.min(self.n_leaves);
        let n_blocks = self.n_leaves / block;
        let zeros = zero_roots(block);
        let roots = Mutex::new(vec![[0; 32]; n_blocks]);
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> Result<(), TaskError> {
            let pairs = Pairs::detect();
            let mut rows = vec![[0; 32]; 2 * block];
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= n_blocks {
                    return Ok(());
                }
                (self.check)()?;
                let root = self.block(&pairs, i, block, &mut rows, &zeros)?;
                roots.lock().unwrap_or_else(PoisonError::into_inner)[i] = root;
                let done = done.fetch_add(block, Ordering::Relaxed) + block;
                (self.on_leaves)(done as u64);
            }
        };
        let n_threads = thread::available_parallelism().map_or(1, usize::from).min(n_blocks);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(TaskError::new(Code::InternalError, "a thread that hashes panicked"))
                })
            })
        })?;
        let roots = roots.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.top(roots, block.ilog2())
    }

    /// Hashes a block of leaves up to its root and writes all of its rows.
    fn block(
        &self,
        pairs: &Pairs,
        i: usize,
        block: usize,
        rows: &mut [Node],
        zeros: &[Node],
    ) -> Result<Node, TaskError> {
        let leaves = rows[..block].as_flattened_mut();
        let at = (i * block) as u64 * NODE_BYTES;
        self.data.read_exact_at(leaves, at).map_err(self.read_failed)?;
        let is_zero = leaves.iter().all(|byte| *byte == 0);
        let (mut start, mut len) = (0, block);
        for row in 0..=block.ilog2() {
            let (nodes, above) = rows[start..].split_at_mut(len);
            let at = NODE_BYTES * (row_start(self.n_leaves, row) + i * len) as u64;
            self.tree.write_all_at(nodes.as_flattened(), at).map_err(self.write_failed)?;
            if len == 1 {
                return Ok(nodes[0]);
            }
            match is_zero {
                true => above[..len / 2].fill(zeros[row as usize + 1]),
                false => pairs.row(nodes, &mut above[..len / 2]),
            }
            start += len;
            len /= 2;
        }
        Err(TaskError::new(Code::InternalError, "a block's number of leaves is no power of two"))
    }

    /// The rows above the blocks.
    fn top(&self, mut nodes: Vec<Node>, mut row: u32) -> Result<Node, TaskError> {
        let pairs = Pairs::detect();
        while nodes.len() > 1 {
            let mut above = vec![[0; 32]; nodes.len() / 2];
            pairs.row(&nodes, &mut above);
            row += 1;
            let at = NODE_BYTES * row_start(self.n_leaves, row) as u64;
            self.tree.write_all_at(above.as_flattened(), at).map_err(self.write_failed)?;
            nodes = above;
        }
        Ok(nodes[0])
    }
}

/// Nodes before a row, the leaves being row 0.
fn row_start(n_leaves: usize, row: u32) -> usize {
    2 * n_leaves - ((2 * n_leaves) >> row)
}

/// Roots of trees over 1, 2, 4 … zero leaves, up to `most`.
fn zero_roots(most: usize) -> Vec<Node> {
    let pairs = Pairs::detect();
    let next = |node: &Node| Some(pairs.join(node, node));
    std::iter::successors(Some([0; 32]), next).take(most.ilog2() as usize + 1).collect()
}

#[cfg(test)]
mod tests;
