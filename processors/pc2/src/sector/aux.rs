// SPDX-License-Identifier: MIT OR Apache-2.0

//! p_aux and t_aux, as filecoin-proofs writes them.

use std::path::Path;

use crate::{
    NODE_BYTES, Node,
    plan::{Shape, Tree},
};

/// `comm_c || comm_r_last`.
pub fn p_aux(comm_c: &Node, comm_r_last: &Node) -> Vec<u8> {
    [comm_c.as_slice(), comm_r_last.as_slice()].concat()
}

/// Bincode 1 of storage-proofs-porep's `TemporaryAux`: the stores' configurations, of the layers, tree-d,
/// tree-r-last and tree-c. The path is the cache directory's; its readers ignore it.
pub fn t_aux(cache_dir: &Path, shape: Shape) -> Vec<u8> {
    let path = cache_dir.as_os_str().as_encoded_bytes();
    let nodes = shape.nodes();
    // Of one tree, all rows, whatever is discarded.
    let tree = shape.file_bytes(Tree::C) / NODE_BYTES as u64;
    let mut bytes = u64::from(shape.n_layers).to_le_bytes().to_vec();
    let mut store = |id: &str, size: u64, rows_to_discard: u32| {
        for text in [path, id.as_bytes()] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text);
        }
        bytes.push(1);
        bytes.extend(size.to_le_bytes());
        bytes.extend(u64::from(rows_to_discard).to_le_bytes());
    };
    for layer in 1..=shape.n_layers {
        store(&format!("layer-{layer}"), nodes, 0);
    }
    store("tree-d", 2 * nodes - 1, 0);
    store("tree-r-last", tree, shape.discard);
    store("tree-c", tree, 0);
    bytes
}
