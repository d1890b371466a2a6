// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sectors of the golden vectors, and the program as a worker meets it.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use sealpipe_protocol::{
    Bytes32, Stage,
    stage::{
        Job, files, pc1,
        piece::{Piece, unpadded},
        proof::SealProof,
        tree_d,
    },
};
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Nothing may take longer, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A golden vector.
pub struct Vector {
    name: &'static str,
    value: Value,
}

impl Vector {
    pub fn read(name: &'static str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
        let text = fs::read(dir.join(format!("{name}.json"))).unwrap();
        Self { name, value: serde_json::from_slice(&text).unwrap() }
    }

    pub fn proof(&self) -> SealProof {
        self.value["registered_seal_proof"].as_str().unwrap().parse().unwrap()
    }

    pub fn bytes32(&self, member: &str) -> Bytes32 {
        self.value[member].as_str().unwrap().parse().unwrap()
    }

    pub fn file(&self, name: &str) -> String {
        self.value["cache_files"][name]["sha256"].as_str().unwrap().to_owned()
    }

    fn pieces(&self) -> Vec<Piece> {
        let pieces = self.value["pieces"].as_array().unwrap();
        let piece = |piece: &Value| Piece {
            comm_p: piece["comm_p"].as_str().unwrap().parse().unwrap(),
            piece_size: piece["unpadded_size"].as_u64().unwrap() / 127 * 128,
        };
        pieces.iter().map(piece).collect()
    }

    /// The sector's data, fr32 padded.
    fn unsealed(&self) -> Vec<u8> {
        let size = self.proof().sector_bytes();
        if self.name.ends_with("-cc") {
            return vec![0; size as usize];
        }
        let splitmix64 = |j: u64| {
            let z = (j.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let bytes = (0..).flat_map(|j| splitmix64(j).to_le_bytes());
        fr32(&bytes.take(unpadded(size) as usize).collect::<Vec<_>>())
    }
}

/// Two zero bits after every 254, lowest bit of each byte first.
fn fr32(data: &[u8]) -> Vec<u8> {
    let mut padded = vec![0; data.len() / 127 * 128];
    for i in 0..data.len() * 8 {
        let to = i / 254 * 256 + i % 254;
        padded[to / 8] |= (data[i / 8] >> (i % 8) & 1) << (to % 8);
    }
    padded
}

/// A sector's directory.
pub struct Sector {
    pub vector: Vector,
    pub dir: TempDir,
}

impl Sector {
    /// A sector with its data and nothing else.
    pub fn new(name: &'static str) -> Self {
        let sector = Self { vector: Vector::read(name), dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(sector.path("work/pc1")).unwrap();
        fs::create_dir(sector.path("cache")).unwrap();
        fs::write(sector.path("unsealed"), sector.vector.unsealed()).unwrap();
        sector
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn layer(&self, layer: u32) -> PathBuf {
        self.path("cache").join(files::layer(layer))
    }

    pub fn tree_d(&self) -> Job {
        Job::TreeD(tree_d::Params {
            proof: self.vector.proof(),
            unsealed_path: self.path("unsealed"),
            cache_dir: self.path("cache"),
        })
    }

    pub fn pc1_params(&self) -> pc1::Params {
        pc1::Params {
            proof: self.vector.proof(),
            prover_id: self.vector.bytes32("prover_id"),
            sector_number: self.vector.value["sector_number"].as_u64().unwrap(),
            ticket: self.vector.bytes32("ticket"),
            pieces: self.vector.pieces(),
            comm_d: self.vector.bytes32("comm_d"),
            unsealed_path: self.path("unsealed"),
            cache_dir: self.path("cache"),
            work_dir: self.path("work/pc1"),
        }
    }

    pub fn pc1(&self) -> Job {
        Job::Pc1(self.pc1_params())
    }

    /// Compares tree-d and all layers with the vector, and finds no other file.
    #[track_caller]
    pub fn check(&self) {
        let n_layers = self.vector.proof().n_layers();
        let mut names: Vec<_> = (1..=n_layers).map(files::layer).collect();
        names.push(files::TREE_D.to_owned());
        for name in &names {
            let found = digest(&self.path("cache").join(name));
            assert_eq!(found, self.vector.file(name), "{name} of {}", self.vector.name);
        }
        assert_eq!(fs::read_dir(self.path("cache")).unwrap().count(), names.len());
    }
}

/// SHA-256 of a file.
pub fn digest(path: &Path) -> String {
    Bytes32(Sha256::digest(fs::read(path).unwrap()).into()).to_string()
}

/// The program, running.
pub struct Processor {
    pub child: Child,
    stdin: Option<ChildStdin>,
    frames: Receiver<Value>,
    early: Vec<Value>,
    pub hello: Value,
    next_id: u64,
}

impl Processor {
    /// Starts it with a place for parent caches, and variables.
    pub fn start(parents: &Path, concurrent: u32, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealpipe-pc1"))
            .env("SEALPIPE_PROTOCOL", "1.0")
            .env("FIL_PROOFS_PARENT_CACHE", parents)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, frames) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let Ok(frame) = serde_json::from_str(&line) else {
                    // What a kill has cut off.
                    continue;
                };
                if sender.send(frame).is_err() {
                    break;
                }
            }
        });
        let (stdin, early) = (child.stdin.take(), Vec::new());
        let mut processor = Self { child, stdin, frames, early, hello: Value::Null, next_id: 0 };
        let id = processor.request(
            "initialize",
            &json!({
                "protocolVersions": ["1.0"],
                "worker": {"name": "test", "version": "1"},
                "limits": {"concurrent": concurrent},
            }),
        );
        processor.hello = processor.answer(id);
        processor
    }

    pub fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let frame = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        if let Some(stdin) = &mut self.stdin {
            writeln!(stdin, "{frame}").unwrap();
        }
        id
    }

    pub fn run(&mut self, task: &str, attempt: u32, job: &Job) -> u64 {
        let stage: Stage = job.stage();
        let params: Box<RawValue> = job.to_raw().unwrap();
        let params: Value = serde_json::from_str(params.get()).unwrap();
        self.request(
            "task/run",
            &json!({
                "taskId": task, "attempt": attempt, "stage": stage.name(),
                "schemaVersion": "1.0", "params": params,
            }),
        )
    }

    /// The next frame that is a notification, or none within `timeout`.
    pub fn frame(&mut self, timeout: Duration) -> Option<Value> {
        self.frames.recv_timeout(timeout).ok()
    }

    /// The answer to a request.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(i) = self.early.iter().position(|frame| frame["id"] == id) {
                return self.early.swap_remove(i);
            }
            let left = end.saturating_duration_since(Instant::now());
            let frame = self.frames.recv_timeout(left).expect("an answer in time");
            self.early.push(frame);
        }
    }

    /// What has come and was not asked for.
    pub fn heard(&mut self) -> &[Value] {
        self.early.extend(self.frames.try_iter());
        &self.early
    }

    /// The output of a task that ends well.
    #[track_caller]
    pub fn output(&mut self, id: u64) -> Value {
        let answer = self.answer(id);
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }

    /// Ends as a worker has it end.
    pub fn finish(mut self) {
        let id = self.request("shutdown", &json!({"mode": "drain"}));
        self.answer(id);
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
