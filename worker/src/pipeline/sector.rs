// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which sector it is, and what goes into it.

use std::{fmt, path::PathBuf};

use sealpipe_protocol::{
    Bytes32,
    stage::{
        piece::{MIN_PIECE_BYTES, PieceSource, Source, unpadded},
        proof::SealProof,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Everything that a replica and its proof depend on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sector {
    /// The registered seal proof.
    pub proof: SealProof,
    /// Whose sector it is.
    pub prover: Prover,
    /// Its number.
    pub number: u64,
    /// Randomness that the replica is bound to; `None` until pc1 asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Bytes32>,
    /// Randomness that the challenges are drawn from; `None` until c1 asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Bytes32>,
    /// The pieces, filling the sector.
    pub pieces: Vec<PieceSource>,
}

impl Sector {
    /// The sector as people call it: `t01000-1`, or by the first bytes of a raw prover id.
    pub fn name(&self) -> String {
        format!("{}-{}", self.prover, self.number)
    }

    /// Whether it holds zeros alone: committed capacity.
    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|piece| piece.source == Source::Zero)
    }

    /// What differs from another sector, with both values; empty when they are the same. Randomness
    /// that one of them does not know yet makes no difference.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, ours: String, theirs: String| {
            if ours != theirs {
                found.push(format!("{what} {ours}, not {theirs}"));
            }
        };
        compare("size", self.proof.size_name().into(), other.proof.size_name().into());
        compare("prover", self.prover.id().to_string(), other.prover.id().to_string());
        compare("sector number", self.number.to_string(), other.number.to_string());
        let randomness = [("ticket", self.ticket, other.ticket), ("seed", self.seed, other.seed)];
        for (what, ours, theirs) in randomness {
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                compare(what, ours.to_string(), theirs.to_string());
            }
        }
        if self.pieces != other.pieces {
            found.push("other pieces".to_owned());
        }
        found
    }
}

/// What a sector takes from the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Randomness {
    /// What the replica is bound to.
    Ticket,
    /// What the challenges are drawn from.
    Seed,
}

impl fmt::Display for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticket => "ticket",
            Self::Seed => "seed",
        })
    }
}

/// Which files stay once a sector is proven.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// What later proofs need: sealed, p_aux, t_aux, tree-r-last
    #[default]
    Needed,
    /// Everything
    All,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Needed => "needed",
            Self::All => "all",
        })
    }
}

/// Whose sector it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Prover {
    /// A miner's ID address.
    Miner(u64),
    /// A prover id given as it is.
    Raw(Bytes32),
}

impl Prover {
    /// The prover id: the ID address' payload, an unsigned LEB128 number, zero padded to 32 bytes
    /// (lotus, `ffiwrapper`, `toProverID`; Filecoin specification, addresses, protocol 0).
    pub fn id(self) -> Bytes32 {
        match self {
            Self::Raw(id) => id,
            Self::Miner(mut number) => {
                let mut id = [0; 32];
                for byte in &mut id {
                    let low = (number & 0x7f) as u8;
                    number >>= 7;
                    *byte = if number == 0 { low } else { low | 0x80 };
                    if number == 0 {
                        break;
                    }
                }
                Bytes32(id)
            }
        }
    }

    /// Reads an ID address such as `f01000` or `t01000`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse_miner(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("f0").or_else(|| text.strip_prefix("t0"));
        digits
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .map(Self::Miner)
            .ok_or_else(|| format!("expected a miner's ID address such as f01000, got {text:?}"))
    }
}

impl fmt::Display for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Miner(number) => write!(f, "t0{number}"),
            Self::Raw(id) => f.write_str(&id.to_string()[..8]),
        }
    }
}

/// Ticket or seed of a sector that no chain is behind: SHA-256 of a text that says so.
pub fn practice_randomness(what: Randomness) -> Bytes32 {
    Bytes32(Sha256::digest(format!("sealpipe practice {what}")).into())
}

/// Lays pieces out in a sector: in the given order, each at a multiple of its size, zeros between
/// them and after the last.
///
/// Without pieces the sector is committed capacity: zeros.
///
/// # Errors
/// Which piece is empty or does not fit, and how much there is.
pub fn lay_out(proof: SealProof, files: &[(PathBuf, u64)]) -> Result<Vec<PieceSource>, String> {
    let sector_bytes = proof.sector_bytes();
    let mut pieces = Vec::new();
    let mut offset = 0;
    for (path, payload_size) in files {
        let shown = path.display();
        if *payload_size == 0 {
            return Err(format!("piece {shown} is empty"));
        }
        let piece_size = piece_size(*payload_size);
        let start = offset + gap(offset, piece_size);
        if piece_size > sector_bytes || start + piece_size > sector_bytes {
            return Err(format!(
                "piece {shown} of {payload_size} bytes takes {piece_size} with padding, the {} \
                 sector has {} left",
                proof.size_name(),
                sector_bytes.saturating_sub(start)
            ));
        }
        fill(&mut pieces, &mut offset, start);
        let source = Source::Path(path.clone());
        pieces.push(PieceSource { source, payload_size: *payload_size, piece_size });
        offset += piece_size;
    }
    fill(&mut pieces, &mut offset, sector_bytes);
    Ok(pieces)
}

/// Bytes that a payload takes: the smallest power of two whose unpadded size holds it.
fn piece_size(payload_size: u64) -> u64 {
    let mut size = MIN_PIECE_BYTES;
    while unpadded(size) < payload_size && size < 1 << 62 {
        size *= 2;
    }
    size
}

/// Bytes from `offset` to the next multiple of `size`, a power of two.
fn gap(offset: u64, size: u64) -> u64 {
    offset.wrapping_neg() & (size - 1)
}

/// Adds zeros up to `end`, in the largest pieces that are aligned to themselves.
fn fill(pieces: &mut Vec<PieceSource>, offset: &mut u64, end: u64) {
    while *offset < end {
        let left = end - *offset;
        let fits = 1 << (63 - left.leading_zeros());
        let aligned = if *offset == 0 { fits } else { 1 << offset.trailing_zeros() };
        let piece_size = fits.min(aligned);
        pieces.push(PieceSource { source: Source::Zero, payload_size: 0, piece_size });
        *offset += piece_size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

    fn sizes(payloads: &[u64]) -> Result<Vec<(bool, u64)>, String> {
        let files: Vec<_> = payloads.iter().map(|p| (PathBuf::from("/p"), *p)).collect();
        let pieces = lay_out(PROOF, &files)?;
        Ok(pieces.iter().map(|p| (p.source != Source::Zero, p.piece_size)).collect())
    }

    #[test]
    fn pieces_are_aligned_and_fill_the_sector() {
        let check = |payloads: &[u64], expected: &[(bool, u64)]| {
            assert_eq!(sizes(payloads).unwrap(), expected, "{payloads:?}");
        };
        check(&[], &[(false, 2048)]);
        check(&[2032], &[(true, 2048)]);
        check(&[1], &[(true, 128), (false, 128), (false, 256), (false, 512), (false, 1024)]);
        check(&[127, 128], &[(true, 128), (false, 128), (true, 256), (false, 512), (false, 1024)]);
        check(&[1016, 508, 508], &[(true, 1024), (true, 512), (true, 512)]);
        check(&[127, 1016], &[(true, 128), (false, 128), (false, 256), (false, 512), (true, 1024)]);
    }

    #[test]
    fn randomness_that_is_not_known_yet_makes_no_difference() {
        let sector = |ticket, seed| Sector {
            proof: PROOF,
            prover: Prover::Miner(1000),
            number: 1,
            ticket,
            seed,
            pieces: lay_out(PROOF, &[]).unwrap(),
        };
        let one = Some(Bytes32([1; 32]));
        let two = Some(Bytes32([2; 32]));
        let check = |ours: &Sector, theirs: &Sector, expected: usize| {
            assert_eq!(ours.differences(theirs).len(), expected);
        };
        check(&sector(one, None), &sector(None, one), 0);
        check(&sector(one, two), &sector(one, None), 0);
        check(&sector(one, two), &sector(two, one), 2);
        let known = serde_json::to_string(&sector(one, two)).unwrap();
        assert_eq!(serde_json::from_str::<Sector>(&known).unwrap(), sector(one, two));
        let unknown = serde_json::to_string(&sector(None, None)).unwrap();
        assert!(!unknown.contains("ticket"), "{unknown}");
        assert_eq!(serde_json::from_str::<Sector>(&unknown).unwrap(), sector(None, None));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert!(sizes(&[0]).unwrap_err().contains("is empty"));
        assert!(sizes(&[2033]).unwrap_err().contains("takes 4096 with padding"));
        assert!(sizes(&[1016, 1016, 1]).unwrap_err().contains("has 0 left"));
        assert!(sizes(&[u64::MAX]).is_err());
    }

    #[test]
    fn prover_ids_are_leb128() {
        let check = |miner: &str, hex: &str| {
            let id = Prover::parse_miner(miner).unwrap().id().to_string();
            assert!(id.starts_with(hex) && id[hex.len()..].bytes().all(|b| b == b'0'), "{id}");
        };
        check("f01000", "e807");
        check("t01", "01");
        check("f00", "00");
        check("f0128", "8001");
        check("f018446744073709551615", "ffffffffffffffffff01");
        for bad in ["", "f1abc", "1000", "f0", "f0x", "f018446744073709551616", "f0+1"] {
            Prover::parse_miner(bad).unwrap_err();
        }
    }
}
