// SPDX-License-Identifier: MIT OR Apache-2.0

//! The edges of the stacked depth-robust graph: six parents of a node in its layer, eight in the
//! layer before (storage-proofs-core, `drgraph.rs`, API version 1.1, and storage-proofs-porep,
//! `graph.rs`). Pure.

use blake2b_simd::blake2b;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use sealpipe_protocol::stage::proof::SealProof;
use sha2::{Digest, Sha256};

/// Parents in the layer.
pub const BASE_DEGREE: usize = 6;

/// Parents in the layer before.
pub const EXPANSION_DEGREE: usize = 8;

/// Parents of a node.
pub const N_PARENTS: usize = BASE_DEGREE + EXPANSION_DEGREE;

/// Rounds of the permutation from which the expander's edges come (`feistel.rs`).
const FEISTEL_ROUNDS: usize = 3;

/// The graph of a number of nodes under a porep id.
#[derive(Clone, Debug)]
pub struct Graph {
    n_nodes: u64,
    bucket_seed: [u8; 28],
    feistel_keys: [u64; 4],
    half_bits: u32,
}

impl Graph {
    /// The graph of a registered proof.
    pub fn of_proof(proof: SealProof) -> Self {
        Self::new(proof.n_nodes(), proof.porep_id())
    }

    /// A graph of any size, below 2^32 nodes.
    pub fn new(n_nodes: u64, porep_id: [u8; 32]) -> Self {
        assert!((2..1 << 32).contains(&n_nodes), "a graph of {n_nodes} nodes");
        let seed = |tag: &str| -> [u8; 32] {
            Sha256::new().chain_update(tag).chain_update(porep_id).finalize().into()
        };
        let mut bucket_seed = [0; 28];
        bucket_seed.copy_from_slice(&seed("Filecoin_DRSample")[..28]);
        let mut feistel_keys = [0; 4];
        for (key, bytes) in feistel_keys.iter_mut().zip(seed("Filecoin_Feistel").as_chunks().0) {
            *key = u64::from_le_bytes(*bytes);
        }
        // The least even number of bits that counts all edges, at least 2.
        let n_edges = n_nodes * EXPANSION_DEGREE as u64;
        let half_bits = (u64::BITS - (n_edges - 1).leading_zeros()).div_ceil(2).max(1);
        Self { n_nodes, bucket_seed, feistel_keys, half_bits }
    }

    /// Number of nodes.
    pub fn n_nodes(&self) -> u64 {
        self.n_nodes
    }

    /// The keys of the permutation, which name the parent cache.
    pub fn feistel_keys(&self) -> [u64; 4] {
        self.feistel_keys
    }

    /// All parents of a node; node 0 has itself, which means none.
    pub fn parents(&self, node: u32) -> [u32; N_PARENTS] {
        let mut parents = [0; N_PARENTS];
        self.base_parents(node, &mut parents);
        for (i, parent) in parents[BASE_DEGREE..].iter_mut().enumerate() {
            *parent = self.expander_parent(node, i as u64);
        }
        parents
    }

    /// Bucket sampling: the node before, and five at distances whose logarithms are uniform.
    fn base_parents(&self, node: u32, parents: &mut [u32; N_PARENTS]) {
        if node < 2 {
            return;
        }
        let mut seed = [0; 32];
        seed[..28].copy_from_slice(&self.bucket_seed);
        seed[28..].copy_from_slice(&node.to_le_bytes());
        let mut random = ChaCha8Rng::from_seed(seed);
        // Each node stands for five of a metagraph, which have one such parent each.
        let n_meta = BASE_DEGREE as u64 - 1;
        let meta_node = u64::from(node) * n_meta;
        let n_buckets = u64::from(u64::BITS - (meta_node - 1).leading_zeros());
        parents[0] = node - 1;
        for parent in &mut parents[1..BASE_DEGREE] {
            let bucket = random.next_u64() % n_buckets + 1;
            let largest = meta_node.min(1 << bucket);
            let smallest = (largest >> 1).max(2);
            let distance = smallest + random.next_u64() % (largest - smallest + 1);
            let mapped = ((meta_node - distance) / n_meta) as u32;
            *parent = if mapped == node { node - 1 } else { mapped };
        }
    }

    /// An edge of the expander: a permutation of all edges, repeated until it lands among them.
    fn expander_parent(&self, node: u32, i: u64) -> u32 {
        let n_edges = self.n_nodes * EXPANSION_DEGREE as u64;
        let mut edge = self.permute(u64::from(node) * EXPANSION_DEGREE as u64 + i);
        while edge >= n_edges {
            edge = self.permute(edge);
        }
        (edge / EXPANSION_DEGREE as u64) as u32
    }

    fn permute(&self, edge: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (edge >> self.half_bits & mask, edge & mask);
        for key in &self.feistel_keys[..FEISTEL_ROUNDS] {
            let mut block = [0; 16];
            block[..8].copy_from_slice(&right.to_be_bytes());
            block[8..].copy_from_slice(&key.to_be_bytes());
            let hash = blake2b(&block);
            let first = hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            (left, right) = (right, left ^ (first & mask));
        }
        (left << self.half_bits) | right
    }
}
