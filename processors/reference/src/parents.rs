// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parent cache: the graph's edges on disk, shared by all sectors of a proof.
//!
//! The library sets the file's full length before it fills it, and trusts any file of that length,
//! so that a process killed half way spoils every later sector. Here the file is made beside and
//! renamed when its digest is the network's; one that was found is digested once, and a marker
//! beside it remembers that.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use filecoin_proofs::SectorShapeBase;
use rayon::prelude::*;
use rustix::fs::{FlockOperation, flock};
use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable, failure, method::LogLevel, stage::proof::SealProof,
};
use sha2::{Digest, Sha256};
use storage_proofs_core::{drgraph::Graph, settings::SETTINGS};
use storage_proofs_porep::stacked::StackedBucketGraph;

use crate::{library, report::Reporter, sector_files, shape};

/// Parents of a node: 6 in the same layer, 8 in the one before.
const N_PARENTS: usize = 14;

/// Bytes of a node's entry: its parents as little-endian `u32`.
pub const ENTRY_BYTES: u64 = 4 * N_PARENTS as u64;

/// Nodes whose parents one thread computes at a time: an entry block of 3.5 MiB.
const BLOCK_NODES: u64 = 1 << 16;

/// How often a file that another process makes is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Name and SHA-256 of the file of each proof (storage-proofs-porep, `parent_cache.json`). The name
/// holds SHA-256 of the hasher's name, the graph's identifier, the Feistel keys and the number of
/// nodes (`cache.rs`, `cache_path`).
fn known(proof: SealProof) -> (&'static str, &'static str) {
    match proof {
        SealProof::StackedDrg2KiBV1_1 => (
            "v28-sdr-parent-494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b.cache",
            "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97",
        ),
        SealProof::StackedDrg8MiBV1_1 => (
            "v28-sdr-parent-5eed212119fd91aa6220a27f31a8966444a9381842bceb3a1ea61525bd47a5b5.cache",
            "03cd13565ded97c240a5f52e54295ad127bd0461b57904cb3a4d79b097bbecab",
        ),
        SealProof::StackedDrg512MiBV1_1 => (
            "v28-sdr-parent-7ba215a1d2345774ab90b8cb1158d296e409d6068819d7b8c7baf0b25d63dc34.cache",
            "b5877d1963793efebc261fd8fde4dd6bc59e6b5c7abf52617a4ee023b8dc173a",
        ),
        SealProof::StackedDrg32GiBV1_1 => (
            "v28-sdr-parent-21981246c370f9d76c7a77ab273d94bde0ceb4e938292334960bce05585dc117.cache",
            "93deeac5e3052b6927467d4b2641bb782f05491de18d510147c93eeedd8672da",
        ),
        SealProof::StackedDrg64GiBV1_1 => (
            "v28-sdr-parent-4905486b7af19558ac3649bc6261411858b6add534438878c4ee3b29d8b9de0b.cache",
            "2698b74eb2606b55b98d8b095e18b6320b47f46e00075956d48640ccd1641b03",
        ),
    }
}

/// The file's name, by which its mappings are found.
pub fn file_name(proof: SealProof) -> &'static str {
    known(proof).0
}

/// Where the library looks for the file: `FIL_PROOFS_PARENT_CACHE`.
pub fn directory() -> PathBuf {
    PathBuf::from(&SETTINGS.parent_cache)
}

/// Whether the file in `dir` was found good before and has not been touched since.
pub fn is_ready(dir: &Path, proof: SealProof) -> bool {
    let path = dir.join(file_name(proof));
    let marked = fs::read_to_string(marker(&path));
    marked.is_ok_and(|marked| stamp(&path, proof).is_ok_and(|stamp| stamp == marked))
}

/// Makes sure that the file in `dir` is there and right. `on_nodes` hears how many nodes are done,
/// also when nothing has changed since the last time.
///
/// # Errors
/// What the disk says; [`Code::VerificationFailed`] when the parents computed here are not the
/// network's.
pub fn ensure(
    dir: &Path,
    proof: SealProof,
    reporter: &Reporter,
    on_nodes: &mut dyn FnMut(u64),
) -> Result<(), TaskError> {
    if is_ready(dir, proof) {
        return Ok(());
    }
    let path = dir.join(file_name(proof));
    let failed = |error: io::Error| failure::output("the parent cache", &path, &error);
    fs::create_dir_all(dir).map_err(failed)?;
    // A lock on the directory, which leaves no file behind: processes of ours take turns.
    let turn = File::open(dir).map_err(failed)?;
    wait_for(&turn, FlockOperation::NonBlockingLockExclusive, on_nodes).map_err(failed)?;
    if is_ready(dir, proof) {
        return Ok(());
    }
    if !is_right(&path, proof, on_nodes).map_err(failed)? {
        if path.exists() {
            let shown = path.display();
            reporter.log(
                LogLevel::Warn,
                format!("the parent cache {shown} is half-written or damaged: making it again"),
            );
        }
        make(&path, proof, on_nodes)?;
    }
    // Without the marker the file is digested again next time, and nothing else.
    if let Ok(stamp) = stamp(&path, proof)
        && let Err(error) = durable::write_bytes(&marker(&path), stamp.as_bytes())
    {
        reporter.log(LogLevel::Info, error.to_string());
    }
    Ok(())
}

/// Whether the file has the network's digest. Waits for a library that is just filling it, which
/// holds its lock meanwhile.
fn is_right(path: &Path, proof: SealProof, on_nodes: &mut dyn FnMut(u64)) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    wait_for(&file, FlockOperation::NonBlockingLockShared, on_nodes)?;
    if file.metadata()?.len() != proof.n_nodes() * ENTRY_BYTES {
        return Ok(false);
    }
    let (digest, _) = sector_files::digest(path, |bytes| on_nodes(bytes / ENTRY_BYTES))?;
    file.sync_all()?;
    Ok(digest.to_string() == known(proof).1)
}

fn wait_for(
    file: &File,
    operation: FlockOperation,
    on_nodes: &mut dyn FnMut(u64),
) -> io::Result<()> {
    loop {
        match flock(file, operation) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                on_nodes(0);
                thread::sleep(POLL);
            }
            taken => return Ok(taken?),
        }
    }
}

/// Computes the parents of all nodes into `path`.
fn make(path: &Path, proof: SealProof, on_nodes: &mut dyn FnMut(u64)) -> Result<(), TaskError> {
    // The graph does not depend on the shape of the trees.
    let graph =
        filecoin_proofs::parameters::public_params::<SectorShapeBase>(&shape::porep_config(proof))
            .map_err(|error| library::failure(Code::InternalError, "the graph", error.as_ref()))?
            .graph;
    let failed = |error: io::Error| failure::output("the parent cache", path, &error);
    durable::write_file(path, |mut file| {
        let mut hasher = Sha256::new();
        let n_blocks = proof.n_nodes().div_ceil(BLOCK_NODES);
        let group = rayon::current_num_threads() as u64;
        for first in (0..n_blocks).step_by(rayon::current_num_threads()) {
            let blocks: Result<Vec<_>, TaskError> = (first..n_blocks.min(first + group))
                .into_par_iter()
                .map(|block| entries(&graph, proof, block))
                .collect();
            for block in blocks? {
                hasher.update(&block);
                file.write_all(&block).map_err(failed)?;
            }
            on_nodes(proof.n_nodes().min((first + group) * BLOCK_NODES));
        }
        let digest = Bytes32(hasher.finalize().into());
        if digest.to_string() == known(proof).1 {
            return Ok(());
        }
        Err(TaskError::new(
            Code::VerificationFailed,
            format!(
                "the parents of {proof} have the digest {digest}, the network's is {}",
                known(proof).1
            ),
        )
        .hint("this machine computes wrong results: check its memory and its processor"))
    })
}

/// The entries of one block of nodes.
fn entries(
    graph: &StackedBucketGraph<filecoin_proofs::DefaultTreeHasher>,
    proof: SealProof,
    block: u64,
) -> Result<Vec<u8>, TaskError> {
    let nodes = block * BLOCK_NODES..proof.n_nodes().min((block + 1) * BLOCK_NODES);
    let mut bytes = Vec::with_capacity(((nodes.end - nodes.start) * ENTRY_BYTES) as usize);
    for node in nodes {
        let mut parents = [0_u32; N_PARENTS];
        graph.parents(node as usize, &mut parents).map_err(|error| {
            library::failure(Code::InternalError, format!("parents of node {node}"), error.as_ref())
        })?;
        bytes.extend(parents.iter().flat_map(|parent| parent.to_le_bytes()));
    }
    Ok(bytes)
}

fn marker(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".checked");
    path.with_file_name(name)
}

/// What is noted of a file whose digest was found to be the known one.
fn stamp(path: &Path, proof: SealProof) -> io::Result<String> {
    Ok(format!("sha256 {} {}\n", known(proof).1, durable::stamp(path)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const PROOF: SealProof = SealProof::StackedDrg2KiBV1_1;

    fn ensure_in(dir: &Path) -> Bytes32 {
        ensure(dir, PROOF, &Reporter::silent(), &mut |_| {}).unwrap();
        assert!(is_ready(dir, PROOF));
        sector_files::digest(&dir.join(file_name(PROOF)), |_| {}).unwrap().0
    }

    fn good() -> Bytes32 {
        known(PROOF).1.parse().unwrap()
    }

    #[test]
    fn names_follow_from_the_graph() {
        use storage_proofs_core::{crypto, parameter_cache::ParameterSetMetadata};
        for proof in SealProof::ALL {
            let config = shape::porep_config(*proof);
            let graph = filecoin_proofs::parameters::public_params::<SectorShapeBase>(&config)
                .unwrap()
                .graph;
            let keys = crypto::derive_porep_domain_seed(crypto::FEISTEL_DST, proof.porep_id());
            let id = Sha256::new()
                .chain_update("poseidon_hasher")
                .chain_update(graph.identifier())
                .chain_update(keys)
                .chain_update((proof.n_nodes() as u32).to_le_bytes())
                .finalize();
            let name = format!("v28-sdr-parent-{}.cache", Bytes32(id.into()));
            assert_eq!(file_name(*proof), name, "{proof}");
        }
    }

    #[test]
    fn a_missing_file_is_made_and_marked() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_ready(dir.path(), PROOF));
        assert_eq!(ensure_in(dir.path()), good());
    }

    #[test]
    fn a_file_of_zeros_of_full_length_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(PROOF));
        fs::write(&path, vec![0; (PROOF.n_nodes() * ENTRY_BYTES) as usize]).unwrap();
        assert_eq!(ensure_in(dir.path()), good());
    }

    #[test]
    fn a_file_changed_after_it_was_marked_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        ensure_in(dir.path());
        let path = dir.path().join(file_name(PROOF));
        // The clock of file systems is coarse: wait until a change can be seen.
        thread::sleep(Duration::from_millis(20));
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(!is_ready(dir.path(), PROOF));
        assert_eq!(ensure_in(dir.path()), good());
    }

    #[test]
    fn a_good_file_of_the_library_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(PROOF));
        ensure_in(dir.path());
        fs::remove_file(marker(&path)).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        ensure_in(dir.path());
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    }
}
