// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a task takes of memory, by stage and size of the sector.
//!
//! damocles' own table for 32 GiB sectors on an EPYC 7642 and an RTX 3080, and in proportion for
//! other sizes. Stages that are not named take little.

use sealpipe_protocol::{Stage, stage::proof::SealProof};

/// One GiB, in bytes.
const GIB: u64 = 1 << 30;

/// Memory of one task while it runs, in bytes.
pub fn memory_bytes(stage: Stage, proof: SealProof) -> u64 {
    let of_32_gib = match stage {
        // 0.2 GiB.
        Stage::AddPieces => GIB / 5,
        Stage::TreeD => 47 * GIB,
        Stage::Pc1 | Stage::Pc2 => 64 * GIB,
        Stage::C2 => 128 * GIB,
        Stage::Echo | Stage::C1 | Stage::Verify | Stage::Unseal => 0,
    };
    scaled(of_32_gib, proof)
}

fn scaled(of_32_gib: u64, proof: SealProof) -> u64 {
    let bytes = u128::from(of_32_gib) * u128::from(proof.sector_bytes()) / u128::from(32 * GIB);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_grow_with_the_sector() {
        use SealProof::{
            StackedDrg2KiBV1_1 as KIB2, StackedDrg32GiBV1_1 as GIB32, StackedDrg64GiBV1_1 as GIB64,
        };
        assert_eq!(memory_bytes(Stage::Pc1, GIB32), 64 * GIB);
        assert_eq!(memory_bytes(Stage::Pc1, GIB64), 128 * GIB);
        assert_eq!(memory_bytes(Stage::Pc1, KIB2), 4096);
    }
}
