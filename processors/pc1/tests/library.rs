// SPDX-License-Identifier: MIT OR Apache-2.0

//! Eleven layers, the network's number, against storage-proofs-porep: 8 MiB a layer, with set-up
//! parameters of their own, so that neither vectors nor known digests help.

#[path = "common/library.rs"]
mod library;

#[test]
fn eleven_layers_are_the_librarys() {
    library::compare(1 << 18, 11, [0x2a; 32]);
}
