// SPDX-License-Identifier: MIT OR Apache-2.0

//! Random numbers that can be repeated.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A seed from the system.
pub fn seed() -> u64 {
    RandomState::new().hash_one("seed") >> 32
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub struct Random(pub u64);

impl Random {
    /// A number below `most`, which is not zero.
    pub fn number(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A duration below `most`, which is not zero.
    pub fn below(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.next() % nanos)
    }
}
