// SPDX-License-Identifier: MIT OR Apache-2.0

//! Labelling on any machine: one lane after the other, each distinct block's schedule expanded once.

use super::{
    Batch, Lane,
    constants::{IV, K, LAST_WORD_MASK, N_DISTINCT, PADDING, last_parent, order},
};
use crate::memory::labels::Words;

/// Words of a schedule with the round constants added.
pub type Schedule = [u32; 64];

/// Labels nodes with plain integer arithmetic.
#[derive(Debug, Default)]
pub struct Engine {
    staged: Vec<Words>,
}

impl Engine {
    pub(super) fn advance(&mut self, batches: &mut [&mut Batch], n_nodes: usize) {
        for batch in batches {
            let first = batch.current.labels().published();
            for lane in batch.lanes.clone() {
                self.staged.clear();
                for node in first..first + n_nodes {
                    let label = self.label(batch, lane, first, node);
                    self.staged.push(label);
                }
                for (i, label) in self.staged.iter().enumerate() {
                    let bytes = crate::memory::labels::to_bytes(*label);
                    batch.current.fill(first + i, lane.index, &bytes);
                }
            }
        }
    }

    /// The label of a node, when those from `first` on are in `staged`.
    fn label(&self, batch: &Batch, lane: Lane, first: usize, node: usize) -> Words {
        let current = batch.current.labels();
        let parents = batch.parents.of(node);
        let last = current.n_nodes() - 1;
        let parent = |i: usize| match (&batch.previous, parents[i] as usize & last) {
            (Some(previous), parent) if i >= 6 => previous.get(parent, lane.index),
            // No graph has such parents: see `sha_ni`.
            (_, parent) if parent >= node => [0; 8],
            (_, parent) if parent >= first => self.staged[parent - first],
            (_, parent) => current.get(parent, lane.index),
        };
        let node_words = [batch.layer, (node >> 32) as u32, node as u32, 0, 0, 0, 0, 0];
        let mut schedules = [[0; 64]; N_DISTINCT];
        schedules[0] = expand(lane.replica_id, node_words);
        let n_pairs = if batch.layer == 1 { 3 } else { 7 };
        for pair in 0..n_pairs {
            schedules[1 + pair] = expand(parent(2 * pair), parent(2 * pair + 1));
        }
        schedules[N_DISTINCT - 1] = expand(parent(last_parent(batch.layer)), PADDING);
        let blocks = order(batch.layer).into_iter();
        let mut label = blocks.fold(IV, |state, block| compress(state, &schedules[block]));
        label[7] &= LAST_WORD_MASK;
        label
    }
}

/// The schedule of a block that is given as two halves (FIPS 180-4, 6.2.2, step 1).
pub fn expand(first: Words, second: Words) -> Schedule {
    let mut w = [0_u32; 64];
    w[..8].copy_from_slice(&first);
    w[8..16].copy_from_slice(&second);
    for t in 16..64 {
        let s0 = w[t - 15].rotate_right(7) ^ w[t - 15].rotate_right(18) ^ (w[t - 15] >> 3);
        let s1 = w[t - 2].rotate_right(17) ^ w[t - 2].rotate_right(19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1);
    }
    for (w, k) in w.iter_mut().zip(K) {
        *w = w.wrapping_add(k);
    }
    w
}

/// The chaining value after a block (FIPS 180-4, 6.2.2, steps 2 to 4).
pub fn compress(state: Words, schedule: &Schedule) -> Words {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
    for w in schedule {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let t1 = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(*w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
    }
    let after = [a, b, c, d, e, f, g, h];
    std::array::from_fn(|i| state[i].wrapping_add(after[i]))
}
