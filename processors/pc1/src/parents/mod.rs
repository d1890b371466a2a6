// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parent cache: the graph's edges on disk, in rust-fil-proofs' format and place, shared by all
//! sectors of a proof.
//!
//! rust-fil-proofs sets the file's full length before it fills it, and trusts any file of that
//! length. Here the file is made beside and renamed once its digest is the network's; one that is
//! found is digested once, and a marker beside it, the reference processor's, remembers that.

mod mapped;

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use sealpipe_protocol::{Bytes32, Code, TaskError, durable, failure, stage::proof::SealProof};
use sha2::{Digest, Sha256};

use self::mapped::Mapped;
use crate::graph::Graph;

pub use crate::graph::N_PARENTS;

/// Bytes of a node's entry: its parents as little-endian `u32`.
const ENTRY_BYTES: u64 = 4 * N_PARENTS as u64;

/// Nodes whose parents one thread computes at a time: 3.5 MiB of entries.
const BLOCK_NODES: u64 = 1 << 16;

/// How often a lock that somebody else has is tried again.
const POLL: Duration = Duration::from_millis(200);

/// The file is digested in steps of so many bytes.
const DIGEST_BYTES: usize = 1 << 20;

/// Where the library looks unless `FIL_PROOFS_PARENT_CACHE` says otherwise
/// (storage-proofs-core, `settings.rs`).
const DEFAULT_DIRECTORY: &str = "/var/tmp/filecoin-parents";

/// The parents of all nodes of a graph.
#[derive(Debug)]
pub struct Parents(Source);

#[derive(Debug)]
enum Source {
    Mapped(Mapped),
    Computed(Vec<[u32; N_PARENTS]>),
}

/// How a long step is told how far it is, and tells whether to go on.
pub struct Watch<'w> {
    /// Hears how many nodes are done; also when nothing has changed.
    pub on_nodes: &'w (dyn Fn(u64) + Sync),
    /// Ends the step with an error.
    pub check: &'w (dyn Fn() -> Result<(), TaskError> + Sync),
}

impl Parents {
    /// Computes all parents in memory: for small graphs.
    pub fn compute(graph: &Graph) -> Self {
        let nodes = 0..graph.n_nodes() as u32;
        Self::from_entries(nodes.map(|node| graph.parents(node)).collect())
    }

    /// Parents that are known already.
    pub fn from_entries(entries: Vec<[u32; N_PARENTS]>) -> Self {
        Self(Source::Computed(entries))
    }

    /// Maps a graph's file in `dir`, and makes it first if it is not there and right.
    ///
    /// # Errors
    /// What the disk says; [`Code::VerificationFailed`] when the parents computed here are not the
    /// network's; a stop.
    pub fn open(dir: &Path, graph: &Graph, watch: &Watch<'_>) -> Result<Self, TaskError> {
        let path = dir.join(file_name(graph));
        let failed = |error: io::Error| failure::output("the parent cache", &path, &error);
        ensure(dir, &path, graph, watch)?;
        let file = File::open(&path).map_err(failed)?;
        let mapped = Mapped::open(&file, graph.n_nodes() as usize).map_err(failed)?;
        Ok(Self(Source::Mapped(mapped)))
    }

    /// The parents of a node.
    pub fn of(&self, node: usize) -> &[u32; N_PARENTS] {
        &self.all()[node]
    }

    /// The parents of all nodes.
    pub fn all(&self) -> &[[u32; N_PARENTS]] {
        match &self.0 {
            Source::Mapped(mapped) => mapped.entries(),
            Source::Computed(entries) => entries,
        }
    }

    /// Number of nodes.
    pub fn n_nodes(&self) -> usize {
        self.all().len()
    }
}

/// `FIL_PROOFS_PARENT_CACHE`, or the library's place for it.
pub fn directory(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let inside = |dir: String| PathBuf::from(dir).join("filecoin-parents");
    variable("FIL_PROOFS_PARENT_CACHE")
        .map(PathBuf::from)
        .or_else(|| variable("FIL_PROOFS_CACHE_DIR").map(inside))
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DIRECTORY))
}

/// Whether the file in `dir` was found good before and has not been touched since.
pub fn is_ready(dir: &Path, graph: &Graph) -> bool {
    let path = dir.join(file_name(graph));
    let Ok(marked) = fs::read_to_string(marker(&path)) else { return false };
    // The marker begins with the digest that was found; it must be the right one, if that is known.
    let digest = marked.split(' ').nth(1).unwrap_or_default();
    let right = known_digest(graph).is_none_or(|known| known == digest);
    right && stamp(&path, digest).is_ok_and(|stamp| stamp == marked)
}

/// The file's name: SHA-256 of the hasher's name, the graph's identifier, the Feistel keys and the
/// number of nodes (storage-proofs-porep, `cache.rs`, `cache_path`).
pub fn file_name(graph: &Graph) -> String {
    let identifier = format!(
        "stacked_graph::StackedGraph{{expansion_degree: 8 base_graph: drgraph::BucketGraph{{size: \
         {}; degree: 6; hasher: poseidon_hasher}} }}",
        graph.n_nodes()
    );
    let mut hasher = Sha256::new();
    hasher.update("poseidon_hasher");
    hasher.update(identifier);
    graph.feistel_keys().iter().for_each(|key| hasher.update(key.to_le_bytes()));
    hasher.update((graph.n_nodes() as u32).to_le_bytes());
    format!("v28-sdr-parent-{}.cache", Bytes32(hasher.finalize().into()))
}

/// SHA-256 of the network's files (storage-proofs-porep, `parent_cache.json`); none for graphs that
/// are not the network's.
fn known_digest(graph: &Graph) -> Option<&'static str> {
    let is_of = |proof: &&SealProof| {
        let of_proof = Graph::of_proof(**proof);
        of_proof.n_nodes() == graph.n_nodes() && of_proof.feistel_keys() == graph.feistel_keys()
    };
    Some(match SealProof::ALL.iter().find(is_of)? {
        SealProof::StackedDrg2KiBV1_1 => {
            "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97"
        }
        SealProof::StackedDrg8MiBV1_1 => {
            "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab"
        }
        SealProof::StackedDrg512MiBV1_1 => {
            "b5877d1963793efebc261fd8fde4dd6bc59e6b5c7abf52617a4ee023b8dc173a"
        }
        SealProof::StackedDrg32GiBV1_1 => {
            "93deeac5e3052b6927467d4b2641bb782f05491de18d510147c93eeedd8672da"
        }
        SealProof::StackedDrg64GiBV1_1 => {
            "2698b74eb2606b55b98d8b095e18b6320b47f46e00075956d48640ccd1641b03"
        }
    })
}

/// Makes sure that the file is there and right.
fn ensure(dir: &Path, path: &Path, graph: &Graph, watch: &Watch<'_>) -> Result<(), TaskError> {
    if is_ready(dir, graph) {
        return Ok(());
    }
    let failed = |error: io::Error| failure::output("the parent cache", path, &error);
    fs::create_dir_all(dir).map_err(failed)?;
    // A lock on the directory, which leaves no file behind: processes take turns.
    let turn = File::open(dir).map_err(failed)?;
    wait_for(&turn, FlockOperation::NonBlockingLockExclusive, watch, path)?;
    if is_ready(dir, graph) {
        return Ok(());
    }
    let found = digest_of_file(path, graph, watch)?;
    let right = |found: &Bytes32| known_digest(graph).is_some_and(|k| k == found.to_string());
    let digest = match found.filter(right) {
        Some(digest) => digest,
        None => make(path, graph, watch)?,
    };
    let stamp = stamp(path, &digest.to_string()).map_err(failed)?;
    durable::write_file(&marker(path), |mut file| file.write_all(stamp.as_bytes()).map_err(failed))
}

/// SHA-256 of a file of the right length. Waits for a library that is just filling it, which holds
/// its lock meanwhile.
fn digest_of_file(
    path: &Path,
    graph: &Graph,
    watch: &Watch<'_>,
) -> Result<Option<Bytes32>, TaskError> {
    let failed = |error: io::Error| failure::output("the parent cache", path, &error);
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    wait_for(&file, FlockOperation::NonBlockingLockShared, watch, path)?;
    let bytes = graph.n_nodes() * ENTRY_BYTES;
    if file.metadata().map_err(failed)?.len() != bytes {
        return Ok(None);
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; DIGEST_BYTES];
    let mut done = 0;
    loop {
        (watch.check)()?;
        (watch.on_nodes)(done / ENTRY_BYTES);
        match file.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => {
                hasher.update(&buffer[..n]);
                done += n as u64;
            }
        }
    }
    file.sync_all().map_err(failed)?;
    Ok(Some(Bytes32(hasher.finalize().into())))
}

fn wait_for(
    file: &File,
    operation: FlockOperation,
    watch: &Watch<'_>,
    path: &Path,
) -> Result<(), TaskError> {
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                (watch.check)()?;
                (watch.on_nodes)(0);
                thread::sleep(POLL);
            }
            Err(error) => return Err(failure::output("the parent cache", path, &error.into())),
        }
    }
}

/// Computes the parents of all nodes, on all cpus of this process; SHA-256 of the file.
fn make(path: &Path, graph: &Graph, watch: &Watch<'_>) -> Result<Bytes32, TaskError> {
    let failed = |error: io::Error| failure::output("the parent cache", path, &error);
    durable::write_file(path, |file| {
        let n_blocks = graph.n_nodes().div_ceil(BLOCK_NODES) as usize;
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let work = || -> Result<(), TaskError> {
            loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= n_blocks {
                    return Ok(());
                }
                (watch.check)()?;
                let first = block as u64 * BLOCK_NODES;
                let last = graph.n_nodes().min(first + BLOCK_NODES);
                let mut bytes = Vec::with_capacity(((last - first) * ENTRY_BYTES) as usize);
                for node in first..last {
                    let parents = graph.parents(node as u32);
                    bytes.extend(parents.iter().flat_map(|parent| parent.to_le_bytes()));
                }
                file.write_all_at(&bytes, first * ENTRY_BYTES).map_err(failed)?;
                let done = done.fetch_add(last - first, Ordering::Relaxed) + last - first;
                (watch.on_nodes)(done);
            }
        };
        let n_threads = thread::available_parallelism().map_or(1, usize::from).min(n_blocks);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| {
                    Err(TaskError::new(Code::InternalError, "a thread that makes parents panicked"))
                })
            })
        })?;
        let mapped = Mapped::open(file, graph.n_nodes() as usize).map_err(failed)?;
        let mut hasher = Sha256::new();
        for entries in mapped.entries().chunks(BLOCK_NODES as usize) {
            (watch.check)()?;
            let bytes: Vec<u8> =
                entries.as_flattened().iter().flat_map(|p| p.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        let digest = Bytes32(hasher.finalize().into());
        match known_digest(graph) {
            Some(known) if known != digest.to_string() => Err(TaskError::new(
                Code::VerificationFailed,
                format!("the parents have the digest {digest}, the network's is {known}"),
            )
            .hint("this machine computes wrong results: check its memory and its processor")),
            _ => Ok(digest),
        }
    })
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".checked");
    path.with_file_name(name)
}

/// What is noted of a file whose digest was found.
fn stamp(path: &Path, digest: &str) -> io::Result<String> {
    Ok(format!("sha256 {digest} {}\n", durable::stamp(path)?))
}

#[cfg(test)]
mod tests;
