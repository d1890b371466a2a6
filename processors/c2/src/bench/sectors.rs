// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sectors, made through c1 by the stages of the reference processor. Each has a number, a ticket and a seed
//! of its own, so no two have anything in common.

use std::{
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread::{self, available_parallelism},
};

use sealpipe_protocol::{
    Base64, Bytes32, Code, TaskError,
    durable::Scratch,
    failure,
    stage::{
        add_pieces,
        c1::{self, FileRef},
        c2, pc1, pc2,
        piece::{PieceSource, Source, unpadded},
        proof::SealProof,
        tree_d, verify,
    },
};
use sealpipe_reference::{
    report::Reporter,
    sparse::{self, Opened},
    stage,
};
use sha2::{Digest, Sha256};

/// A sector whose challenges are opened.
#[derive(Debug)]
pub struct Sector {
    number: u64,
    proof: SealProof,
    ticket: Bytes32,
    seed: Bytes32,
    comm_d: Bytes32,
    comm_r: Bytes32,
    c1: FileRef,
}

/// Where sectors are made; gone when it is dropped.
///
/// # Errors
/// What the disk says.
pub fn directory() -> Result<Scratch, TaskError> {
    Scratch::create(std::env::temp_dir().join(format!("sealpipe-c2-bench-{}", std::process::id())))
}

/// Sectors 0 to `n`, made by `make` side by side: sealing is for the most part one thread's work.
///
/// # Errors
/// The first of theirs.
pub fn all(
    n: u64,
    make: &(dyn Fn(u64) -> Result<Sector, TaskError> + Sync),
) -> Result<Vec<Sector>, TaskError> {
    let n_threads = available_parallelism().map_or(1, |cpus| cpus.get() as u64 / 2).clamp(1, n);
    let every = |first: u64| (first..n).step_by(n_threads as usize).map(make).collect();
    let made: Vec<Result<Vec<_>, _>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..n_threads).map(|first| scope.spawn(move || every(first))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    });
    let mut sectors: Vec<_> =
        made.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    sectors.sort_by_key(|sector: &Sector| sector.number);
    Ok(sectors)
}

/// Bytes that follow from a name and a number.
fn derived(name: &str, number: u64) -> Bytes32 {
    let mut bytes: [u8; 32] =
        Sha256::new().chain_update(name).chain_update(number.to_le_bytes()).finalize().into();
    // A field element, as commitments are.
    bytes[31] &= 0x3f;
    Bytes32(bytes)
}

fn prover_id() -> Bytes32 {
    Bytes32([9; 32])
}

impl Sector {
    /// Makes sector `number` in `dir`, and leaves nothing of it there but what c1 wrote.
    ///
    /// # Errors
    /// Those of the stages.
    pub fn make(dir: &Path, proof: SealProof, number: u64) -> Result<Self, TaskError> {
        let out_path = Self::opened(dir, number);
        let dir = dir.join(number.to_string());
        let cache_dir = dir.join("cache");
        fs::create_dir_all(&cache_dir)
            .map_err(|error| failure::output("a sector", &cache_dir, &error))?;
        let quiet = Reporter::silent();
        let (unsealed_path, sealed_path) = (dir.join("unsealed"), dir.join("sealed"));
        let pieces = vec![Self::data(&dir, proof, number)?];
        let unsealed = unsealed_path.clone();
        let added = stage::add_pieces::run(
            &add_pieces::Params { proof, pieces, unsealed_path: unsealed },
            &quiet,
        )?;
        let tree_d = tree_d::Params {
            proof,
            unsealed_path: unsealed_path.clone(),
            cache_dir: cache_dir.clone(),
        };
        let comm_d = stage::tree_d::run(&tree_d, &quiet)?.comm_d;
        let (ticket, seed) = (derived("ticket", number), derived("seed", number));
        let labelled = stage::pc1::run(
            &pc1::Params {
                proof,
                prover_id: prover_id(),
                sector_number: number,
                ticket,
                pieces: added.pieces.clone(),
                comm_d,
                unsealed_path: unsealed_path.clone(),
                cache_dir: cache_dir.clone(),
                work_dir: dir.join("work/pc1"),
            },
            &quiet,
        )?;
        let encoded = stage::pc2::run(
            &pc2::Params {
                proof,
                replica_id: labelled.replica_id,
                comm_d,
                unsealed_path,
                sealed_path: sealed_path.clone(),
                cache_dir: cache_dir.clone(),
                work_dir: dir.join("work/pc2"),
            },
            &quiet,
        )?;
        let opened = stage::c1::run(
            &c1::Params {
                proof,
                prover_id: prover_id(),
                sector_number: number,
                ticket,
                seed,
                comm_d,
                comm_r: encoded.comm_r,
                pieces: added.pieces,
                sealed_path,
                cache_dir,
                out_path,
            },
            &quiet,
        )?;
        fs::remove_dir_all(&dir).map_err(|error| failure::output("a sector", &dir, &error))?;
        let comm_r = encoded.comm_r;
        Ok(Self { number, proof, ticket, seed, comm_d, comm_r, c1: opened.file })
    }

    /// Opens sector `number` without there being one.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sparse(dir: &Path, proof: SealProof, number: u64) -> Result<Self, TaskError> {
        let Opened { c1, comm_d, comm_r, ticket, seed } =
            sparse::open(proof, prover_id(), number, number)?;
        let path = Self::opened(dir, number);
        fs::write(&path, &c1).map_err(|error| failure::output("a sector", &path, &error))?;
        let (size, sha256) = (c1.len() as u64, Bytes32(Sha256::digest(&c1).into()));
        Ok(Self { number, proof, ticket, seed, comm_d, comm_r, c1: FileRef { path, size, sha256 } })
    }

    /// Where what c1 writes lies.
    fn opened(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number}.json"))
    }

    /// A piece of the whole sector's size.
    fn data(dir: &Path, proof: SealProof, number: u64) -> Result<PieceSource, TaskError> {
        let path: PathBuf = dir.join("piece");
        let size = unpadded(proof.sector_bytes());
        let blocks = (0..size.div_ceil(32)).map(|block| derived("data", number << 32 | block).0);
        let mut data = blocks.collect::<Vec<_>>().concat();
        data.truncate(size as usize);
        fs::write(&path, data).map_err(|error| failure::output("a piece", &path, &error))?;
        let source = Source::Path(path);
        Ok(PieceSource { source, payload_size: size, piece_size: proof.sector_bytes() })
    }

    /// What c2 is asked for.
    pub fn params(&self) -> c2::Params {
        c2::Params {
            proof: self.proof,
            prover_id: prover_id(),
            sector_number: self.number,
            c1: self.c1.clone(),
        }
    }

    /// Whether a proof holds, as the chain would see it.
    ///
    /// # Errors
    /// A verifying key that cannot be read.
    pub fn verify(&self, proof: &Base64) -> Result<bool, TaskError> {
        let params = verify::Params {
            proof: self.proof,
            prover_id: prover_id(),
            sector_number: self.number,
            ticket: self.ticket,
            seed: self.seed,
            comm_d: self.comm_d,
            comm_r: self.comm_r,
            proof_bytes: proof.clone(),
        };
        Ok(stage::verify::run(&params, &Reporter::silent())
            .map_err(|error| TaskError::new(Code::InternalError, error.message))?
            .valid)
    }
}
