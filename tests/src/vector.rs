// SPDX-License-Identifier: MIT OR Apache-2.0

//! The golden vectors: inputs of a sector, and what has to come out.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Bench, journal::text, root};

/// SHA-256 of a file, as hex.
#[track_caller]
pub fn digest(path: &Path) -> String {
    let mut file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut hasher = HashWriter(Sha256::new());
    io::copy(&mut file, &mut hasher).unwrap();
    hex::encode(hasher.0.finalize())
}

struct HashWriter(Sha256);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The data of the vectors: 64-bit words of splitmix64, little-endian (`data` in the vectors).
pub fn pattern(size: usize) -> Vec<u8> {
    let word = |j: u64| {
        let z = (j + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..).flat_map(|j| word(j).to_le_bytes()).take(size).collect()
}

/// A golden vector.
pub struct Vector {
    name: &'static str,
    value: Value,
}

impl Vector {
    /// Reads a vector of `tests/vectors`.
    pub fn read(name: &'static str) -> Self {
        let path = root().join(format!("tests/vectors/{name}.json"));
        let text = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { name, value: serde_json::from_slice(&text).unwrap() }
    }

    /// CommR.
    pub fn comm_r(&self) -> &str {
        text(&self.value, "comm_r")
    }

    /// The command that seals it into `out` up to c1; its pieces are written into the bench.
    pub fn seal(&self, bench: &Bench, out: &str) -> Vec<String> {
        let proof = text(&self.value, "registered_seal_proof");
        let size = proof.trim_start_matches("StackedDrg").trim_end_matches("V1_1");
        let number = self.value["sector_number"].to_string();
        let mut args: Vec<String> =
            ["seal", "--until", "c1", "--keep", "all"].map(Into::into).into();
        let mut option = |name: &str, value: &str| args.extend([name.into(), value.into()]);
        option("--size", size);
        option("--prover-id", text(&self.value, "prover_id"));
        option("--sector", &number);
        option("--ticket", text(&self.value, "ticket"));
        option("--seed", text(&self.value, "seed"));
        option("--out", out);
        for piece in self.pieces(bench) {
            option("--piece", &piece);
        }
        args
    }

    /// Writes the pieces: consecutive slices of the data. Committed capacity has none.
    fn pieces(&self, bench: &Bench) -> Vec<String> {
        if self.name.ends_with("-cc") {
            return Vec::new();
        }
        let sizes = self.value["pieces"].as_array().unwrap().iter();
        let sizes: Vec<_> =
            sizes.map(|piece| piece["unpadded_size"].as_u64().unwrap() as usize).collect();
        let data = pattern(sizes.iter().sum());
        let mut rest = data.as_slice();
        let written = sizes.iter().enumerate().map(|(i, size)| {
            let name = format!("{}-piece-{i}", self.name);
            let (piece, behind) = rest.split_at(*size);
            rest = behind;
            bench.write(&name, piece);
            name
        });
        written.collect()
    }

    /// Checks the record and every file of the sector in `dir` that was sealed up to c1 and kept.
    #[track_caller]
    pub fn check(&self, dir: &Path) {
        let record = fs::read(dir.join("sector.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        for (ours, golden) in
            [("commD", "comm_d"), ("commR", "comm_r"), ("replicaId", "replica_id")]
        {
            assert_eq!(record["results"][ours], self.value[golden], "{}: {ours}", self.name);
        }
        let comm_p = |pieces: &Value, member| -> Vec<Value> {
            pieces.as_array().unwrap().iter().map(|piece| piece[member].clone()).collect()
        };
        let ours = comm_p(&record["results"]["pieces"], "commP");
        assert_eq!(ours, comm_p(&self.value["pieces"], "comm_p"), "{}: CommP", self.name);
        let check = |file: &str, golden: &Value| {
            let path = dir.join(file);
            assert_eq!(digest(&path), text(golden, "sha256"), "{}: {file}", self.name);
        };
        check("unsealed", &self.value["unsealed"]);
        check("sealed", &self.value["sealed"]);
        check("c1.json", &self.value["c1"]["api_json"]);
        let mut expected: Vec<_> =
            self.value["cache_files"].as_object().unwrap().keys().cloned().collect();
        for (name, golden) in self.value["cache_files"].as_object().unwrap() {
            check(&format!("cache/{name}"), golden);
        }
        // It holds paths, so its content is compared with nothing; but it is there.
        expected.push("t_aux".to_owned());
        expected.sort();
        let cache = fs::read_dir(dir.join("cache")).unwrap();
        let mut found: Vec<_> =
            cache.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        assert_eq!(found, expected, "{}: the files of the cache directory", self.name);
    }
}
