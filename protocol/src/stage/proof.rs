// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registered seal proofs: what follows from the name of a proof.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The registered seal proofs of 1.0: Stacked DRG PoRep, API version 1.1, interactive.
///
/// Names and numbers are filecoin-proofs-api's `RegisteredSealProof`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SealProof {
    StackedDrg2KiBV1_1,
    StackedDrg8MiBV1_1,
    StackedDrg512MiBV1_1,
    StackedDrg32GiBV1_1,
    StackedDrg64GiBV1_1,
}

impl SealProof {
    /// All proofs, smallest sector first.
    pub const ALL: &'static [Self] = &[
        Self::StackedDrg2KiBV1_1,
        Self::StackedDrg8MiBV1_1,
        Self::StackedDrg512MiBV1_1,
        Self::StackedDrg32GiBV1_1,
        Self::StackedDrg64GiBV1_1,
    ];

    /// Bytes of the sector, fr32 padded.
    pub fn sector_bytes(self) -> u64 {
        match self {
            Self::StackedDrg2KiBV1_1 => 2 << 10,
            Self::StackedDrg8MiBV1_1 => 8 << 20,
            Self::StackedDrg512MiBV1_1 => 512 << 20,
            Self::StackedDrg32GiBV1_1 => 32 << 30,
            Self::StackedDrg64GiBV1_1 => 64 << 30,
        }
    }

    /// The sector's size as people write it.
    pub fn size_name(self) -> &'static str {
        match self {
            Self::StackedDrg2KiBV1_1 => "2KiB",
            Self::StackedDrg8MiBV1_1 => "8MiB",
            Self::StackedDrg512MiBV1_1 => "512MiB",
            Self::StackedDrg32GiBV1_1 => "32GiB",
            Self::StackedDrg64GiBV1_1 => "64GiB",
        }
    }

    /// Nodes of 32 bytes.
    pub fn n_nodes(self) -> u64 {
        self.sector_bytes() / 32
    }

    /// SDR layers (filecoin-proofs, `constants.rs`, `LAYERS`).
    pub fn n_layers(self) -> u32 {
        if self.is_test_size() { 2 } else { 11 }
    }

    /// Whether the network takes no such sectors, so that anybody may make parameters for them.
    pub fn is_test_size(self) -> bool {
        self.sector_bytes() < 32 << 30
    }

    /// The PoRep id: the registered proof's number as 8 little-endian bytes, zeros after it
    /// (filecoin-proofs-api, `registry.rs`, `porep_id`; numbers 5 to 9 are V1_1).
    pub fn porep_id(self) -> [u8; 32] {
        let number: u64 = match self {
            Self::StackedDrg2KiBV1_1 => 5,
            Self::StackedDrg8MiBV1_1 => 6,
            Self::StackedDrg512MiBV1_1 => 7,
            Self::StackedDrg32GiBV1_1 => 8,
            Self::StackedDrg64GiBV1_1 => 9,
        };
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        id
    }
}

impl fmt::Display for SealProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Reads a size such as `8MiB`, or the whole name of a proof.
impl FromStr for SealProof {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |p: &&Self| {
            p.size_name().eq_ignore_ascii_case(text) || p.to_string().eq_ignore_ascii_case(text)
        };
        Self::ALL.iter().find(known).copied().ok_or_else(|| {
            let sizes: Vec<_> = Self::ALL.iter().map(|p| p.size_name()).collect();
            format!("unknown sector size {text:?}; the sizes are {}", sizes.join(", "))
        })
    }
}
