// SPDX-License-Identifier: MIT OR Apache-2.0

//! The label of a node, written down as the specification has it: what everything else here is
//! compared with (storage-proofs-porep, `create_label/single.rs` and `graph.rs`).

use sha2::{Digest, Sha256};

use super::constants::PARENTS_HASHED;

/// SHA-256 of replica id, layer, node, zeros, and 37 parents' labels, with two bits off.
///
/// `parents` are the labels of the six parents in the layer and, above layer 1, of the eight in the
/// layer before; empty for node 0, which has none.
pub fn label(replica_id: &[u8; 32], layer: u32, node: u64, parents: &[[u8; 32]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(replica_id);
    hasher.update(layer.to_be_bytes());
    hasher.update(node.to_be_bytes());
    hasher.update([0; 20]);
    if !parents.is_empty() {
        parents.iter().cycle().take(PARENTS_HASHED).for_each(|label| hasher.update(label));
    }
    let mut label: [u8; 32] = hasher.finalize().into();
    label[31] &= 0b0011_1111;
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_is_the_golden_one() {
        let mut replica_id = [0; 32];
        let text = "49fc5caa1ce27ee029d73df6ed7dcbb4020a0753f6d8cbe3aa771bb159261605";
        hex::decode_to_slice(text, &mut replica_id).unwrap();
        assert_eq!(
            hex::encode(label(&replica_id, 2, 0, &[])),
            "8a932f3e4a606cdb9f5e26fd4787a65348f2bd5717e8cce0eb94afef78dbfd1f"
        );
    }
}
