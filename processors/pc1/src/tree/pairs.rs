// SPDX-License-Identifier: MIT OR Apache-2.0

//! The node above two others: SHA-256 of both with two bits off (filecoin-hashers, `sha256.rs`).

use super::sha_ni;
use crate::label::{
    constants::{IV, LAST_WORD_MASK},
    portable::{compress, expand},
    sha_ni::ShaNi,
};
use crate::memory::labels::{Words, to_bytes, to_words};

/// A node of the tree.
pub type Node = [u8; 32];

/// The second block of every pair: padding, and the length of 512 bits.
pub(super) const PADDING: [Words; 2] =
    [[0x8000_0000, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 512]];

/// What hashes pairs on this machine.
#[derive(Clone, Copy, Debug)]
pub enum Pairs {
    /// Four at a time on the SHA extensions.
    ShaNi(ShaNi),
    /// Any machine.
    Portable,
}

impl Pairs {
    /// The best there is.
    pub fn detect() -> Self {
        ShaNi::detect().map_or(Self::Portable, Self::ShaNi)
    }

    /// The node above two others.
    pub fn join(&self, left: &Node, right: &Node) -> Node {
        let mut above = [[0; 32]];
        self.row(&[*left, *right], &mut above);
        above[0]
    }

    /// The row above `nodes`.
    ///
    /// # Panics
    /// If `above` is not half as long.
    pub fn row(&self, nodes: &[Node], above: &mut [Node]) {
        assert_eq!(nodes.len(), 2 * above.len());
        match self {
            Self::ShaNi(unit) => sha_ni::row(*unit, nodes, above),
            Self::Portable => {
                let padding = expand(PADDING[0], PADDING[1]);
                for (pair, above) in nodes.as_chunks::<2>().0.iter().zip(above) {
                    let block = expand(to_words(&pair[0]), to_words(&pair[1]));
                    let mut words = compress(compress(IV, &block), &padding);
                    words[7] &= LAST_WORD_MASK;
                    *above = to_bytes(words);
                }
            }
        }
    }
}
