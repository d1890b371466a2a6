// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of the files in a sector's cache directory: those of filecoin-proofs, so that every stage
//! can be another implementation's (storage-proofs-core, `cache_key.rs`; merkletree, `store.rs`).

/// The binary tree over the unsealed data: all rows, leaves first.
pub const TREE_D: &str = "sc-02-data-tree-d.dat";
/// `comm_c || comm_r_last`, 64 bytes.
pub const P_AUX: &str = "p_aux";
/// Bincode of the stores' configurations; the paths inside are not read.
pub const T_AUX: &str = "t_aux";

/// Layer `layer` of the labels, counted from 1: 32 bytes a node.
pub fn layer(layer: u32) -> String {
    format!("sc-02-data-layer-{layer}.dat")
}

/// Trees that tree-c and tree-r-last are split into: 1 up to 512MiB, 8 at 32GiB, 16 at 64GiB
/// (filecoin-proofs, `constants.rs`: the shape above the octree base).
pub fn n_trees(proof: super::proof::SealProof) -> u32 {
    match proof.sector_bytes() >> 30 {
        0 => 1,
        gib => u32::try_from(gib / 4).unwrap_or(u32::MAX),
    }
}

/// The files of tree-c, in order: one, or numbered from 0.
pub fn tree_c(proof: super::proof::SealProof) -> Vec<String> {
    split("sc-02-data-tree-c", n_trees(proof))
}

/// The files of tree-r-last, in order: one, or numbered from 0.
pub fn tree_r_last(proof: super::proof::SealProof) -> Vec<String> {
    split("sc-02-data-tree-r-last", n_trees(proof))
}

fn split(stem: &str, n: u32) -> Vec<String> {
    match n {
        1 => vec![format!("{stem}.dat")],
        _ => (0..n).map(|i| format!("{stem}-{i}.dat")).collect(),
    }
}
