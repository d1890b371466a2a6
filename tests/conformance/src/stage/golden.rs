// SPDX-License-Identifier: MIT OR Apache-2.0

//! The golden vectors of `tests/vectors`, within this program: what a sector is made of, what its
//! stages answer, and at 2KiB every file of it.

use std::collections::BTreeMap;

use sealpipe_protocol::{
    Base64, Bytes32,
    stage::{Stage, proof::SealProof},
};
use serde_json::{Value, json};

use super::{
    facts::{Facts, Piece, Source},
    random::Random,
};
use crate::check::{Failure, Verdict};

/// A golden sector.
#[derive(Clone, Copy, Debug)]
pub struct Golden {
    /// The vector's name.
    pub name: &'static str,
    json: &'static str,
    /// Its files, by their path as in [`super::layout`]; none at sizes where they are too large.
    pub files: &'static [(&'static str, &'static [u8])],
}

macro_rules! files {
    ($name:literal, $c1:literal) => {
        &[
            ("sector/c1.json", include_bytes!(concat!("../../../vectors/", $c1))),
            files!($name, "unsealed"; "sector/unsealed"),
            files!($name, "sealed"; "sector/sealed"),
            files!($name, "cache/p_aux"; "sector/cache/p_aux"),
            files!($name, "cache/t_aux"; "sector/cache/t_aux"),
            files!($name, "cache/sc-02-data-layer-1.dat"; "sector/cache/sc-02-data-layer-1.dat"),
            files!($name, "cache/sc-02-data-layer-2.dat"; "sector/cache/sc-02-data-layer-2.dat"),
            files!($name, "cache/sc-02-data-tree-d.dat"; "sector/cache/sc-02-data-tree-d.dat"),
            files!($name, "cache/sc-02-data-tree-c.dat"; "sector/cache/sc-02-data-tree-c.dat"),
            files!($name, "cache/sc-02-data-tree-r-last.dat";
                "sector/cache/sc-02-data-tree-r-last.dat"),
        ]
    };
    ($name:literal, $file:literal; $path:literal) => {
        ($path, include_bytes!(concat!("../../../vectors/", $name, "/", $file)) as &[u8])
    };
}

const DATA_2KIB: Golden = Golden {
    name: "2KiB-data",
    json: include_str!("../../../vectors/2KiB-data.json"),
    files: files!("2KiB-data", "2KiB-data.c1-api.json"),
};

const CC_2KIB: Golden = Golden {
    name: "2KiB-cc",
    json: include_str!("../../../vectors/2KiB-cc.json"),
    files: files!("2KiB-cc", "2KiB-cc.c1-api.json"),
};

const DATA_8MIB: Golden =
    Golden { name: "8MiB-data", json: include_str!("../../../vectors/8MiB-data.json"), files: &[] };

/// The golden sectors of a size.
pub fn of(proof: SealProof) -> &'static [Golden] {
    match proof {
        SealProof::StackedDrg2KiBV1_1 => &[DATA_2KIB, CC_2KIB],
        SealProof::StackedDrg8MiBV1_1 => &[DATA_8MIB],
        _ => &[],
    }
}

impl Golden {
    /// What is known of it.
    pub fn facts(&self) -> Verdict<Facts> {
        let vector: Value =
            serde_json::from_str(self.json).map_err(|e| Failure::harness(self.name, e))?;
        self.read(&vector)
            .ok_or_else(|| Failure::Harness(format!("{} is no golden vector", self.name)))
    }

    fn read(&self, vector: &Value) -> Option<Facts> {
        let bytes32 = |name: &str| -> Option<Bytes32> { vector[name].as_str()?.parse().ok() };
        let golden_pieces = vector["pieces"].as_array()?;
        let size = |piece: &Value| Some(piece["unpadded_size"].as_u64()? / 127 * 128);
        let mut data = Random(0);
        let mut pieces = Vec::new();
        let total: u64 = golden_pieces.iter().filter_map(|p| p["unpadded_size"].as_u64()).sum();
        let all = data.bytes(total as usize);
        let mut rest = all.as_slice();
        for piece in golden_pieces {
            let payload_bytes = piece["unpadded_size"].as_u64()?;
            let (content, behind) = rest.split_at_checked(payload_bytes as usize)?;
            rest = behind;
            let source = match vector["data"].as_str()? {
                "all zero bytes" => Source::Zero,
                _ => Source::File { content: content.to_vec(), payload_bytes },
            };
            pieces.push(Piece { source, piece_bytes: size(piece)? });
        }
        let piece =
            |piece: &Value| Some(json!({"commP": piece["comm_p"], "pieceSize": size(piece)?}));
        let comm_ps: Option<Vec<Value>> = golden_pieces.iter().map(piece).collect();
        let comm_d = &vector["comm_d"];
        let c1 = &vector["c1"]["api_json"];
        let mut outputs = BTreeMap::from([
            (Stage::AddPieces, json!({ "pieces": comm_ps? })),
            (Stage::TreeD, json!({ "commD": comm_d })),
            (Stage::Pc1, json!({"replicaId": vector["replica_id"], "commD": comm_d})),
            (
                Stage::Pc2,
                json!({
                    "commR": vector["comm_r"],
                    "commC": vector["comm_c"],
                    "commRLast": vector["comm_r_last"],
                }),
            ),
            (Stage::C1, json!({"file": {"size": c1["size"], "sha256": c1["sha256"]}})),
        ]);
        if let Some(proof) = vector["c2"]["proof"].as_str() {
            outputs.insert(Stage::C2, json!({ "proof": Base64(from_hex(proof)?) }));
        }
        Some(Facts {
            proof: vector["registered_seal_proof"].as_str()?.parse().ok()?,
            prover_id: bytes32("prover_id")?,
            sector_number: vector["sector_number"].as_u64()?,
            ticket: bytes32("ticket")?,
            seed: bytes32("seed")?,
            pieces,
            outputs,
        })
    }

    /// SHA-256 of each file whose content is golden, by its path.
    pub fn digests(&self) -> Verdict<BTreeMap<String, String>> {
        let vector: Value =
            serde_json::from_str(self.json).map_err(|e| Failure::harness(self.name, e))?;
        let sha256 = |value: &Value| value["sha256"].as_str().unwrap_or_default().to_owned();
        let mut digests = BTreeMap::from([
            ("sector/unsealed".to_owned(), sha256(&vector["unsealed"])),
            ("sector/sealed".to_owned(), sha256(&vector["sealed"])),
            ("sector/c1.json".to_owned(), sha256(&vector["c1"]["api_json"])),
        ]);
        let cached = vector["cache_files"].as_object().into_iter().flatten();
        digests.extend(cached.map(|(name, file)| (super::layout::cached(name), sha256(file))));
        Ok(digests)
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_files_within_are_the_golden_ones() {
        for golden in [DATA_2KIB, CC_2KIB] {
            let digests = golden.digests().unwrap();
            assert_eq!(digests.len(), 9);
            for (path, expected) in digests {
                let (_, content) = golden.files.iter().find(|(name, _)| *name == path).unwrap();
                let found = Bytes32(Sha256::digest(content).into()).to_string();
                assert_eq!(found, expected, "{}: {path}", golden.name);
            }
        }
    }

    #[test]
    fn the_facts_are_whole() {
        for golden in [DATA_2KIB, CC_2KIB, DATA_8MIB] {
            let facts = golden.facts().unwrap();
            assert_eq!(facts.data().len() as u64, facts.data_bytes(), "{}", golden.name);
            assert_eq!(facts.outputs.contains_key(&Stage::C2), golden.name != "8MiB-data");
        }
    }
}
