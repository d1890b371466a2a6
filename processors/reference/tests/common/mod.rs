// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sectors of the golden vectors, sealed stage by stage.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealpipe_protocol::{
    Bytes32, TaskError,
    stage::{
        add_pieces, c1, files, pc1, pc2,
        piece::{Piece, PieceSource, Source, unpadded},
        proof::SealProof,
        tree_d, unseal,
    },
};
use sealpipe_reference::{report::Reporter, sector_files, stage};
use serde_json::Value;
use tempfile::TempDir;

/// A golden vector.
pub struct Vector {
    pub name: &'static str,
    value: Value,
}

impl Vector {
    pub fn read(name: &'static str) -> Self {
        let path = Self::dir().join(format!("{name}.json"));
        let value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        Self { name, value }
    }

    pub fn dir() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
    }

    pub fn proof(&self) -> SealProof {
        self.value["registered_seal_proof"].as_str().unwrap().parse().unwrap()
    }

    pub fn bytes32(&self, member: &str) -> Bytes32 {
        self.value[member].as_str().unwrap().parse().unwrap()
    }

    pub fn sector_number(&self) -> u64 {
        self.value["sector_number"].as_u64().unwrap()
    }

    pub fn pieces(&self) -> Vec<Piece> {
        let pieces = self.value["pieces"].as_array().unwrap();
        let piece = |piece: &Value| Piece {
            comm_p: piece["comm_p"].as_str().unwrap().parse().unwrap(),
            piece_size: piece["unpadded_size"].as_u64().unwrap() / 127 * 128,
        };
        pieces.iter().map(piece).collect()
    }

    /// Digests and sizes of the files of the cache directory that do not depend on paths.
    pub fn cache_files(&self) -> Vec<(String, Bytes32, u64)> {
        let files = self.value["cache_files"].as_object().unwrap();
        let file = |(name, file): (&String, &Value)| {
            let sha256 = file["sha256"].as_str().unwrap().parse().unwrap();
            (name.clone(), sha256, file["size"].as_u64().unwrap())
        };
        files.iter().map(file).collect()
    }

    pub fn digest(&self, of: &str) -> Bytes32 {
        self.value[of]["sha256"].as_str().unwrap().parse().unwrap()
    }

    pub fn c1_api(&self) -> (Bytes32, u64) {
        let json = &self.value["c1"]["api_json"];
        (json["sha256"].as_str().unwrap().parse().unwrap(), json["size"].as_u64().unwrap())
    }

    /// The sector's data, before fr32 padding; `None` for zeros.
    pub fn data(&self) -> Option<Vec<u8>> {
        let size = unpadded(self.proof().sector_bytes()) as usize;
        let splitmix64 = |j: u64| {
            let z = (j.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        (!self.name.ends_with("-cc"))
            .then(|| (0..).flat_map(|j| splitmix64(j).to_le_bytes()).take(size).collect())
    }
}

/// A sector's directory.
pub struct Sector {
    pub vector: Vector,
    pub dir: TempDir,
}

impl Sector {
    pub fn new(name: &'static str) -> Self {
        let sector = Self { vector: Vector::read(name), dir: tempfile::tempdir().unwrap() };
        fs::create_dir(sector.cache_dir()).unwrap();
        sector
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn cache_dir(&self) -> PathBuf {
        self.path("cache")
    }

    pub fn layer(&self, layer: u32) -> PathBuf {
        self.cache_dir().join(files::layer(layer))
    }

    pub fn digest(&self, name: &str) -> (Bytes32, u64) {
        sector_files::digest(&self.path(name), |_| {}).unwrap()
    }

    pub fn add_pieces_params(&self) -> add_pieces::Params {
        let data = self.vector.data();
        let mut offset = 0;
        let pieces = self.vector.pieces().into_iter().enumerate().map(|(i, piece)| {
            let size = unpadded(piece.piece_size) as usize;
            let Some(data) = &data else {
                return PieceSource {
                    source: Source::Zero,
                    payload_size: 0,
                    piece_size: piece.piece_size,
                };
            };
            let path = self.path(&format!("piece-{i}"));
            fs::write(&path, &data[offset..offset + size]).unwrap();
            offset += size;
            PieceSource {
                source: Source::Path(path),
                payload_size: size as u64,
                piece_size: piece.piece_size,
            }
        });
        add_pieces::Params {
            proof: self.vector.proof(),
            pieces: pieces.collect(),
            unsealed_path: self.path("unsealed"),
        }
    }

    pub fn tree_d_params(&self) -> tree_d::Params {
        tree_d::Params {
            proof: self.vector.proof(),
            unsealed_path: self.path("unsealed"),
            cache_dir: self.cache_dir(),
        }
    }

    pub fn pc1_params(&self) -> pc1::Params {
        pc1::Params {
            proof: self.vector.proof(),
            prover_id: self.vector.bytes32("prover_id"),
            sector_number: self.vector.sector_number(),
            ticket: self.vector.bytes32("ticket"),
            pieces: self.vector.pieces(),
            comm_d: self.vector.bytes32("comm_d"),
            unsealed_path: self.path("unsealed"),
            cache_dir: self.cache_dir(),
            work_dir: self.path("work/pc1"),
        }
    }

    pub fn pc2_params(&self) -> pc2::Params {
        pc2::Params {
            proof: self.vector.proof(),
            replica_id: self.vector.bytes32("replica_id"),
            comm_d: self.vector.bytes32("comm_d"),
            unsealed_path: self.path("unsealed"),
            sealed_path: self.path("sealed"),
            cache_dir: self.cache_dir(),
            work_dir: self.path("work/pc2"),
        }
    }

    pub fn c1_params(&self) -> c1::Params {
        c1::Params {
            proof: self.vector.proof(),
            prover_id: self.vector.bytes32("prover_id"),
            sector_number: self.vector.sector_number(),
            ticket: self.vector.bytes32("ticket"),
            seed: self.vector.bytes32("seed"),
            comm_d: self.vector.bytes32("comm_d"),
            comm_r: self.vector.bytes32("comm_r"),
            pieces: self.vector.pieces(),
            sealed_path: self.path("sealed"),
            cache_dir: self.cache_dir(),
            out_path: self.path("c1.json"),
        }
    }

    pub fn unseal_params(&self, offset: u64, size: u64) -> unseal::Params {
        unseal::Params {
            proof: self.vector.proof(),
            prover_id: self.vector.bytes32("prover_id"),
            sector_number: self.vector.sector_number(),
            ticket: self.vector.bytes32("ticket"),
            comm_d: self.vector.bytes32("comm_d"),
            sealed_path: self.path("sealed"),
            cache_dir: self.cache_dir(),
            out_path: self.path("data"),
            offset,
            size,
        }
    }

    /// Adds the pieces and builds tree-d.
    pub fn staged(self) -> Self {
        stage::add_pieces::run(&self.add_pieces_params(), &Reporter::silent()).unwrap();
        stage::tree_d::run(&self.tree_d_params(), &Reporter::silent()).unwrap();
        self
    }

    /// Runs pc1; gives what it was resumed from.
    pub fn pc1(&self) -> Result<Option<String>, TaskError> {
        let reporter = Reporter::silent();
        let output = stage::pc1::run(&self.pc1_params(), &reporter)?;
        assert_eq!(output.replica_id, self.vector.bytes32("replica_id"));
        assert_eq!(output.comm_d, self.vector.bytes32("comm_d"));
        Ok(reporter.resumption())
    }

    /// Runs pc2 and checks its values.
    pub fn pc2(&self) -> Result<(), TaskError> {
        let output = stage::pc2::run(&self.pc2_params(), &Reporter::silent())?;
        assert_eq!(output.comm_r, self.vector.bytes32("comm_r"));
        assert_eq!(output.comm_c, self.vector.bytes32("comm_c"));
        assert_eq!(output.comm_r_last, self.vector.bytes32("comm_r_last"));
        Ok(())
    }

    /// All stages up to pc2.
    pub fn sealed(self) -> Self {
        let sector = self.staged();
        sector.pc1().unwrap();
        sector.pc2().unwrap();
        sector
    }

    /// Checks the layers against the golden digests.
    pub fn check_layers(&self) {
        self.check_files(|name| name.contains("layer"));
    }

    /// Checks the files of the cache directory that are there against the golden digests.
    pub fn check_files(&self, wanted: impl Fn(&str) -> bool) {
        for (name, sha256, size) in self.vector.cache_files() {
            if wanted(&name) {
                let found = self.digest(&format!("cache/{name}"));
                assert_eq!(found, (sha256, size), "{}: {name}", self.vector.name);
            }
        }
    }

    /// Names in a directory of the sector, sorted.
    pub fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
