// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who may take how much memory, so that groups of sectors that are staggered share it without ever
//! waiting for each other in a circle. Pure.
//!
//! A group keeps one layer for good, and its layer in work grows beside it. At the end of a layer
//! the one before is given back, so that a group holds between one and two layers. What grows is
//! granted only if afterwards the groups can still finish their layers one after the other, each
//! with what is free then (the banker's algorithm, Dijkstra 1965). The one that is nearest to its
//! end can therefore always go on.

use std::collections::BTreeMap;

/// A group's number.
pub type GroupId = u64;

/// The ledger of the memory that labels may take.
#[derive(Debug)]
pub struct Pool {
    capacity: u64,
    groups: BTreeMap<GroupId, Share>,
    peak: u64,
    next_id: GroupId,
}

/// What a group has, in bytes.
#[derive(Clone, Copy, Debug)]
struct Share {
    layer: u64,
    grown: u64,
}

impl Share {
    fn missing(self) -> u64 {
        self.layer - self.grown
    }
}

impl Pool {
    /// A pool of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        Self { capacity, groups: BTreeMap::new(), peak: 0, next_id: 0 }
    }

    /// Lets a group in whose layers take `layer` bytes, if all can still finish.
    pub fn admit(&mut self, layer: u64) -> Option<GroupId> {
        let id = self.next_id;
        self.groups.insert(id, Share { layer, grown: 0 });
        if self.is_safe() {
            self.next_id += 1;
            self.note();
            return Some(id);
        }
        self.groups.remove(&id);
        None
    }

    /// Grants `bytes` more for the layer in work beside the one before, if that is safe.
    pub fn grow(&mut self, id: GroupId, bytes: u64) -> bool {
        let Some(share) = self.groups.get_mut(&id) else { return false };
        let bytes = bytes.min(share.missing());
        share.grown += bytes;
        if self.is_safe() {
            self.note();
            return true;
        }
        if let Some(share) = self.groups.get_mut(&id) {
            share.grown -= bytes;
        }
        false
    }

    /// A layer is done, and the one before has been given back.
    pub fn layer_done(&mut self, id: GroupId) {
        if let Some(share) = self.groups.get_mut(&id) {
            share.grown = 0;
        }
    }

    /// A group is gone with all that it had.
    pub fn leave(&mut self, id: GroupId) {
        self.groups.remove(&id);
    }

    /// Bytes granted now.
    pub fn in_use(&self) -> u64 {
        self.groups.values().map(|share| share.layer + share.grown).sum()
    }

    /// The most that was ever granted at a time, in bytes.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    /// Bytes that may be granted in all.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn note(&mut self) {
        self.peak = self.peak.max(self.in_use());
    }

    /// Whether the groups can finish their layers in some order: if any order will do, the one by
    /// what is missing does.
    fn is_safe(&self) -> bool {
        let Some(mut free) = self.capacity.checked_sub(self.in_use()) else { return false };
        let mut shares: Vec<_> = self.groups.values().collect();
        shares.sort_by_key(|share| share.missing());
        for share in shares {
            if share.missing() > free {
                return false;
            }
            free += share.grown;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = 1;

    /// Runs groups of layers of 100 pieces for `n_layers` each, in an order that `random` chooses;
    /// the peak in layers a group, and the mean.
    fn simulate(capacity: u64, sizes: &[u64], n_layers: u32, seed: u64) -> (f64, f64) {
        let mut pool = Pool::new(capacity);
        let mut ids: Vec<_> =
            sizes.iter().map(|size| (pool.admit(*size).unwrap(), *size, 0, 0)).collect();
        let total: u64 = sizes.iter().sum();
        let mut random = seed;
        let (mut sum, mut steps) = (0.0, 0);
        while !ids.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let start = (random >> 33) as usize % ids.len();
            // Somebody can always go on: that is what safety means.
            let moved = (0..ids.len()).map(|i| (start + i) % ids.len()).find(|i| {
                let (id, ..) = ids[*i];
                pool.grow(id, PIECE)
            });
            let i = moved.expect("all groups wait for each other");
            let (id, size, grown, layers) = &mut ids[i];
            *grown += PIECE;
            assert!(pool.in_use() <= capacity);
            if *grown == *size {
                pool.layer_done(*id);
                (*grown, *layers) = (0, *layers + 1);
                if *layers == n_layers {
                    pool.leave(*id);
                    ids.remove(i);
                }
            }
            if ids.len() == sizes.len() {
                sum += pool.in_use() as f64;
                steps += 1;
            }
        }
        assert_eq!(pool.in_use(), 0);
        (pool.peak() as f64 / total as f64, sum / f64::from(steps) / total as f64)
    }

    #[test]
    fn groups_never_wait_for_each_other_in_a_circle() {
        for seed in 0..200 {
            let sizes = [[40, 40, 40, 40], [100, 10, 25, 60], [7, 7, 90, 1]][seed as usize % 3];
            let least = sizes.iter().sum::<u64>() + sizes.iter().max().unwrap();
            for capacity in [least, least + 13, least * 3 / 2, least * 2] {
                simulate(capacity, &sizes, 5, seed);
            }
        }
    }

    #[test]
    fn a_group_is_let_in_only_if_everybody_can_finish() {
        let mut pool = Pool::new(300);
        let first = pool.admit(100).unwrap();
        pool.admit(100).unwrap();
        assert_eq!(pool.admit(100), None);
        assert_eq!(pool.admit(1), None);
        assert!(pool.grow(first, 100));
        pool.layer_done(first);
        pool.leave(first);
        pool.admit(100).unwrap();
        assert_eq!(Pool::new(199).admit(100), None);
    }

    #[test]
    fn seven_staggered_groups_need_little_more_than_one_and_a_half_layers_each() {
        let sizes = [100; 7];
        let capacity = 7 * 100 + 4 * 100;
        let (peak, mean) = simulate(capacity, &sizes, 30, 1);
        assert!(peak <= 11.0 / 7.0 && mean < 1.56, "{peak} {mean}");
    }
}
