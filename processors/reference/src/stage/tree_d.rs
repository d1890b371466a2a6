// SPDX-License-Identifier: MIT OR Apache-2.0

//! `tree_d`: the binary SHA-256 tree over the unsealed data.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use filecoin_hashers::{Domain, sha256::Sha256Hasher};
use filecoin_proofs::{DefaultPieceDomain, StoreConfig};
use rayon::prelude::*;
use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable,
    stage::{
        files,
        proof::SealProof,
        tree_d::{Output, Params},
    },
};
use storage_proofs_core::{cache_key::CacheKey, merkle::BinaryMerkleTree};

use crate::{
    library,
    meter::Phases,
    report::{Reporter, ticking},
    sector_files::{self, NODE_BYTES},
    shape,
};

/// Nodes read from the data at a time: 256 KiB.
const WINDOW_NODES: u64 = 8_192;

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or of another length, and what the disk says.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    let any = |_| Ok(());
    let (proof, data) = (params.proof, &params.unsealed_path);
    let comm_d = build(proof, data, &params.cache_dir, any, |done, total| {
        reporter.progress("tree_d", done, total, "bytes");
    })?;
    Ok(Output { comm_d })
}

/// Builds tree-d into `cache_dir` and gives its root, unless `check` refuses the root: then there is
/// no tree. `on_bytes` hears how many bytes of how many were read.
///
/// # Errors
/// Inputs that are missing or of another length, what `check` says, and what the disk says.
pub fn build(
    proof: SealProof,
    unsealed_path: &Path,
    cache_dir: &Path,
    check: impl FnOnce(Bytes32) -> Result<(), TaskError>,
    mut on_bytes: impl FnMut(u64, u64) + Send,
) -> Result<Bytes32, TaskError> {
    let data = sector_files::open_sized("the unsealed data", unsealed_path, proof.sector_bytes())?;
    // The tree has its full length from the first moment on, so it is built out of sight.
    let scratch = durable::Scratch::create(scratch(cache_dir))?;
    durable::require_space(scratch.path(), sector_files::tree_d_bytes(proof))?;
    // Read are the data, and then every row once to make the next one.
    let mut phases = Phases::new(vec![("tree_d".to_owned(), 3 * proof.sector_bytes())]);
    let tick = || {
        let (_, done, total) = phases.now();
        on_bytes(done, total);
    };
    let root = ticking(TICK, tick, || hash(proof, data, scratch.path()))?;
    check(root)?;
    let built = scratch.join(files::TREE_D);
    durable::install(&[(built, cache_dir.join(files::TREE_D))])?;
    Ok(root)
}

/// Where the tree is built.
pub(super) fn scratch(cache_dir: &Path) -> PathBuf {
    cache_dir.join(".tree_d")
}

/// Builds the tree in `dir`.
fn hash(proof: SealProof, data: File, dir: &Path) -> Result<Bytes32, TaskError> {
    let failure = Arc::new(Mutex::new(None));
    let n_nodes = proof.n_nodes() as usize;
    let nodes = (0..n_nodes).into_par_iter().map_init(
        || Window { data: &data, first: 0, bytes: Vec::new(), failure: Arc::clone(&failure) },
        |window, node| window.node(node as u64),
    );
    let config = StoreConfig::new(dir, CacheKey::CommDTree.to_string(), 0);
    let built = BinaryMerkleTree::<Sha256Hasher>::from_par_iter_with_config(nodes, config);
    if let Some(error) = failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let tree =
        built.map_err(|error| library::failure(Code::InternalError, "tree-d", error.as_ref()))?;
    Ok(shape::bytes32(&tree.root()))
}

/// A window of the data, moved along by one thread. The tree's builder has no place for errors, so
/// the first one is kept aside and the nodes after it are zeros.
struct Window<'d> {
    data: &'d File,
    first: u64,
    bytes: Vec<u8>,
    failure: Arc<Mutex<Option<TaskError>>>,
}

impl Window<'_> {
    fn node(&mut self, node: u64) -> DefaultPieceDomain {
        let offset = |first: u64| ((node - first) * NODE_BYTES) as usize;
        if node < self.first || offset(self.first) >= self.bytes.len() {
            self.fill(node);
        }
        let start = offset(self.first);
        let bytes = self.bytes.get(start..start + NODE_BYTES as usize).unwrap_or(&[0; 32]);
        match DefaultPieceDomain::try_from_bytes(bytes) {
            Ok(domain) if bytes[31] & 0xc0 == 0 => domain,
            _ => {
                let message = format!("node {node} of the unsealed data is not fr32 padded");
                self.fail(
                    TaskError::new(Code::InvalidInput, message)
                        .hint("the data is what add_pieces writes: 254 bits in each 32 bytes"),
                );
                DefaultPieceDomain::default()
            }
        }
    }

    fn fill(&mut self, node: u64) {
        self.first = node;
        self.bytes.resize((WINDOW_NODES * NODE_BYTES) as usize, 0);
        let mut filled = 0;
        while filled < self.bytes.len() {
            let offset = node * NODE_BYTES + filled as u64;
            match self.data.read_at(&mut self.bytes[filled..], offset) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let error = TaskError::io(
                        Code::InputUnavailable,
                        "cannot read the unsealed data",
                        &error,
                    );
                    self.fail(error);
                    break;
                }
            }
        }
        self.bytes.truncate(filled);
    }

    fn fail(&self, error: TaskError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}
