// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers that look random and can be had again, and sectors made of them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use sealpipe_protocol::{
    Bytes32, MAX_INTEGER,
    stage::{
        piece::{MIN_PIECE_BYTES, unpadded},
        proof::SealProof,
    },
};

use super::facts::{Facts, Piece, Source};

/// splitmix64 (Steele, Lea and Flood 2014): also the data of the golden vectors, from state 0.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A state that nobody could know before.
    pub fn fresh() -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(48)).word()
    }

    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0 when that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word().checked_rem(end).unwrap_or(0)
    }

    /// So many bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n + 8);
        while bytes.len() < n {
            bytes.extend_from_slice(&self.word().to_le_bytes());
        }
        bytes.truncate(n);
        bytes
    }

    /// 32 bytes.
    pub fn bytes32(&mut self) -> Bytes32 {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&self.bytes(32));
        Bytes32(bytes)
    }

    /// A sector of random pieces, of which nothing is answered yet.
    pub fn sector(&mut self, proof: SealProof) -> Facts {
        let mut pieces = Vec::new();
        self.fill(proof.sector_bytes(), 3, &mut pieces);
        Facts {
            proof,
            prover_id: self.bytes32(),
            sector_number: self.below(MAX_INTEGER),
            ticket: self.bytes32(),
            seed: self.bytes32(),
            pieces,
            outputs: BTreeMap::new(),
        }
    }

    /// Pieces that fill so many bytes: two halves, or one piece.
    fn fill(&mut self, piece_bytes: u64, splits: u32, pieces: &mut Vec<Piece>) {
        if splits > 0 && piece_bytes > MIN_PIECE_BYTES && self.below(3) > 0 {
            self.fill(piece_bytes / 2, splits - 1, pieces);
            self.fill(piece_bytes / 2, splits - 1, pieces);
            return;
        }
        // The first one is data, so that no sector is all zeros.
        if !pieces.is_empty() && self.below(4) == 0 {
            pieces.push(Piece { source: Source::Zero, piece_bytes });
            return;
        }
        let most = unpadded(piece_bytes);
        let payload_bytes = if self.below(2) == 0 { most } else { 1 + self.below(most) };
        // A file may be longer than its payload.
        let more = self.below(100);
        let content = self.bytes((payload_bytes + more) as usize);
        pieces.push(Piece { source: Source::File { content, payload_bytes }, piece_bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_sectors_are_full_and_their_payloads_fit() {
        let mut random = Random(7);
        for _ in 0..200 {
            let facts = random.sector(SealProof::StackedDrg2KiBV1_1);
            let sum: u64 = facts.pieces.iter().map(|piece| piece.piece_bytes).sum();
            assert_eq!(sum, 2048);
            assert_eq!(facts.data().len() as u64, facts.data_bytes());
        }
    }

    #[test]
    fn the_first_words_are_those_of_the_golden_vectors() {
        let word = |j: u64| {
            let z = (j + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let mut random = Random(0);
        assert!((0..10).all(|j| random.word() == word(j)));
    }
}
