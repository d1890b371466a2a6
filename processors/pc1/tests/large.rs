// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector of 512 MiB against storage-proofs-porep, which is what the reference processor runs:
//! minutes, and 4 GiB of disk.

#[path = "common/library.rs"]
mod library;

use sealpipe_protocol::stage::proof::SealProof;

#[test]
#[ignore = "takes minutes; `cargo test --release -p sealpipe-pc1 --test large -- --ignored`"]
fn a_sector_of_512_mib_is_the_librarys() {
    let proof = SealProof::StackedDrg512MiBV1_1;
    library::compare(proof.n_nodes(), proof.n_layers(), proof.porep_id());
}
