// SPDX-License-Identifier: MIT OR Apache-2.0

//! Commitments as the chain writes them: CIDs.

use cid::Cid;
use multihash::Multihash;
use sealpipe_protocol::Bytes32;

/// Multicodec `fil-commitment-unsealed` (multicodec table).
const FIL_COMMITMENT_UNSEALED: u64 = 0xf101;
/// Multicodec `fil-commitment-sealed`.
const FIL_COMMITMENT_SEALED: u64 = 0xf102;
/// Multihash `sha2-256-trunc254-padded`.
const SHA2_256_TRUNC254_PADDED: u64 = 0x1012;
/// Multihash `poseidon-bls12_381-a2-fc1`.
const POSEIDON_BLS12_381_A2_FC1: u64 = 0xb401;

/// The CID of a CommD or CommP.
pub fn data_cid(commitment: &Bytes32) -> String {
    cid(FIL_COMMITMENT_UNSEALED, SHA2_256_TRUNC254_PADDED, commitment)
}

/// The CID of a CommR.
pub fn replica_cid(commitment: &Bytes32) -> String {
    cid(FIL_COMMITMENT_SEALED, POSEIDON_BLS12_381_A2_FC1, commitment)
}

fn cid(codec: u64, hash: u64, commitment: &Bytes32) -> String {
    let digest = Multihash::<64>::wrap(hash, &commitment.0).expect("32 bytes fit into 64");
    Cid::new_v1(codec, digest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CommD of 2 KiB of zeros and of a whole 32 GiB sector of zeros, as go-fil-commcid writes them
    /// (lotus, `chain/actors/builtin/market`, zero piece commitments).
    #[test]
    fn commitments_are_written_as_the_chain_does() {
        let zero_32gib = "077e5fde35c50a9303a55009e3498a4ebedff39c42b710b730d8ec7ac7afa63e";
        assert_eq!(
            data_cid(&zero_32gib.parse().unwrap()),
            "baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq"
        );
        assert!(replica_cid(&Bytes32([1; 32])).starts_with("bagboea4b5abc"));
    }
}
