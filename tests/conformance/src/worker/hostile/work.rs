// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stages that the hostile processor really serves, so that a worker gets what it asked for.
//!
//! `add_pieces` is written here once more, bit by bit from SPEC.md, and shares nothing with the
//! processors that are tested elsewhere.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Bytes of a node.
const NODE_BYTES: usize = 32;

/// Sectors that it takes: everything is held in memory.
const MAX_SECTOR_BYTES: u64 = 8 * 1024 * 1024;

/// The stages.
pub const STAGES: &[&str] = &["add_pieces", "echo"];

/// The output of a stage.
///
/// # Errors
/// The parameters do not fit, or a file cannot be read or written.
pub fn run(stage: &str, params: &Value) -> Result<Value, String> {
    match stage {
        "echo" => Ok(json!({"payload": params["payload"]})),
        "add_pieces" => add_pieces(params),
        other => Err(format!("`{other}` is not served")),
    }
}

fn add_pieces(params: &Value) -> Result<Value, String> {
    let path = params["unsealedPath"].as_str().ok_or("no unsealedPath")?;
    let mut unsealed = Vec::new();
    let mut answer = Vec::new();
    for piece in params["pieces"].as_array().ok_or("no pieces")? {
        let padded = padded_piece(piece)?;
        answer.push(json!({"commP": hex(&root(&padded)), "pieceSize": padded.len()}));
        unsealed.extend(padded);
    }
    install(Path::new(path), &unsealed).map_err(|e| format!("cannot write {path}: {e}"))?;
    Ok(json!({"pieces": answer}))
}

/// A piece with its fr32 padding.
fn padded_piece(piece: &Value) -> Result<Vec<u8>, String> {
    let size = piece["pieceSize"].as_u64().filter(|n| n.is_power_of_two()).ok_or("no pieceSize")?;
    let payload = piece["payloadSize"].as_u64().ok_or("no payloadSize")?;
    if !(128..=MAX_SECTOR_BYTES).contains(&size) || payload > size / 128 * 127 {
        return Err(format!("a payload of {payload} bytes in a piece of {size}"));
    }
    let mut bytes = Vec::new();
    if let Some(path) = piece["source"]["path"].as_str() {
        let file = File::open(path).map_err(|e| format!("{path}: {e}"))?;
        file.take(payload).read_to_end(&mut bytes).map_err(|e| format!("{path}: {e}"))?;
    } else if piece["source"] != "zero" {
        return Err(format!("a source {}", piece["source"]));
    } else {
        bytes.resize(usize::try_from(payload).map_err(|e| e.to_string())?, 0);
    }
    if bytes.len() as u64 != payload {
        return Err("a file is shorter than its payload".into());
    }
    bytes.resize(usize::try_from(size / 128 * 127).map_err(|e| e.to_string())?, 0);
    Ok(fr32(&bytes))
}

/// After each 254 bits, lowest bit of each byte first, come two zero bits.
fn fr32(bytes: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; bytes.len() / 127 * 128];
    for bit in 0..bytes.len() * 8 {
        let to = bit / 254 * 256 + bit % 254;
        padded[to / 8] |= (bytes[bit / 8] >> (bit % 8) & 1) << (to % 8);
    }
    padded
}

/// The root of the binary SHA-256 tree whose nodes have their two highest bits cleared.
fn root(leaves: &[u8]) -> Vec<u8> {
    let mut row = leaves.to_vec();
    while row.len() > NODE_BYTES {
        let parents = row.chunks(2 * NODE_BYTES).flat_map(|pair| {
            let mut node = Sha256::digest(pair).to_vec();
            node[NODE_BYTES - 1] &= 0x3f;
            node
        });
        row = parents.collect();
    }
    row
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Written beside, synced, renamed, and the directory synced.
fn install(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("partial");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/vectors/2KiB-cc.json`: the root of a sector of zeros.
    #[test]
    fn a_sector_of_zeros_has_the_networks_root() {
        let text = include_str!("../../../../vectors/2KiB-cc.json");
        let vector: Value = serde_json::from_str(text).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unsealed");
        let params = json!({
            "proof": "StackedDrg2KiBV1_1", "unsealedPath": path,
            "pieces": [{"source": "zero", "payloadSize": 2032, "pieceSize": 2048}],
        });
        let output = run("add_pieces", &params).unwrap();
        assert_eq!(output["pieces"][0]["commP"], vector["comm_d"]);
        assert_eq!(fs::metadata(path).unwrap().len(), 2048);
    }
    /// `tests/vectors/2KiB-data.json`: three pieces of splitmix64's words.
    #[test]
    fn pieces_of_data_have_the_networks_roots() {
        let text = include_str!("../../../../vectors/2KiB-data.json");
        let vector: Value = serde_json::from_str(text).unwrap();
        let word = |j: u64| {
            let z = (j + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let data: Vec<u8> = (0..).flat_map(|j| word(j).to_le_bytes()).take(2032).collect();
        let dir = tempfile::tempdir().unwrap();
        let piece = |from: usize, bytes: usize| {
            let path = dir.path().join(from.to_string());
            fs::write(&path, &data[from..from + bytes]).unwrap();
            json!({
                "source": {"path": path}, "payloadSize": bytes, "pieceSize": bytes / 127 * 128,
            })
        };
        let params = json!({
            "proof": "StackedDrg2KiBV1_1", "unsealedPath": dir.path().join("unsealed"),
            "pieces": [piece(0, 1016), piece(1016, 508), piece(1524, 508)],
        });
        let output = run("add_pieces", &params).unwrap();
        for (index, piece) in vector["pieces"].as_array().unwrap().iter().enumerate() {
            assert_eq!(output["pieces"][index]["commP"], piece["comm_p"]);
        }
        let unsealed = fs::read(dir.path().join("unsealed")).unwrap();
        assert_eq!(hex(&Sha256::digest(unsealed)), vector["unsealed"]["sha256"]);
    }
}
