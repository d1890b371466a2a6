// SPDX-License-Identifier: MIT OR Apache-2.0

//! `unseal`: restores a range of the sector's data from the replica.
//!
//! The library's own unsealing holds a whole sector in memory and opens the replica for writing.
//! Here it labels the layers again, of which the last is the key, and the range is decoded in
//! small pieces.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use blstrs::Scalar;
use ff::PrimeField;
use filecoin_proofs::MerkleTreeTrait;
use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    durable::{self, Scratch},
    failure,
    stage::{
        files,
        proof::SealProof,
        unseal::{Output, Params},
    },
};
use sha2::{Digest, Sha256};

use crate::{
    labelling::{Labelling, TICK},
    library, parents,
    report::{Reporter, ticking},
    sector_files::{self, NODE_BYTES},
    shape::{self, with_tree},
};

/// fr32: 127 bytes of data become 128 bytes of nodes.
const QUAD_BYTES: (u64, u64) = (127, 128);

/// Quads of nodes decoded at a time: 1 MiB.
const WINDOW_QUADS: u64 = 8_192;

/// Quads at the start of the sector that are decoded to see whether the key fits. With a wrong key
/// a node looks like data with a chance of about one half, and this is 256 nodes.
const SAMPLE_QUADS: u64 = 64;

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or do not belong together, and what the disk says.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    let proof = params.proof;
    let sealed =
        sector_files::open_sized("the replica", &params.sealed_path, proof.sector_bytes())?;
    let replica_id = shape::replica_id(
        proof,
        params.prover_id,
        params.sector_number,
        params.ticket,
        params.comm_d,
    );
    let steps = Steps::plan(proof);
    parents::ensure(&parents::directory(), proof, reporter, &mut |nodes| {
        reporter.progress("parents", nodes, steps.total(), "nodes");
    })?;
    let scratch = Scratch::create(scratch(params))?;
    // The layer before the last is there until the last one is.
    durable::require_space(scratch.path(), 2 * proof.sector_bytes())?;
    with_tree!(proof, label(proof, replica_id, scratch.path(), &steps, reporter))?;
    let key_path = scratch.join(files::layer(proof.n_layers()));
    let key = sector_files::open_sized("the key", &key_path, proof.sector_bytes())?;
    let decoder = Decoder { sealed, key, params };
    decoder.read(0, SAMPLE_QUADS.min(proof.sector_bytes() / QUAD_BYTES.1))?;
    durable::write_file(&params.out_path, |file| {
        write_range(&decoder, file, |nodes| {
            reporter.progress("decoding", steps.before_decoding() + nodes, steps.total(), "nodes");
        })
    })
}

/// Where the layers are labelled.
pub(super) fn scratch(params: &Params) -> PathBuf {
    params.cache_dir.join(".unseal")
}

/// Labels all layers into `dir`. Only the last is needed afterwards, so the others are removed as
/// soon as the next one is there: the library holds the previous layer in memory.
fn label<Tree: 'static + MerkleTreeTrait>(
    proof: SealProof,
    replica_id: Bytes32,
    dir: &Path,
    steps: &Steps,
    reporter: &Reporter,
) -> Result<(), TaskError> {
    let id = shape::domain::<Tree>(replica_id)?;
    let labelling = Labelling::start(proof);
    let finished = AtomicU32::new(0);
    let tick = || {
        let layer = finished.load(Ordering::Relaxed) + 1;
        if layer < proof.n_layers() && dir.join(files::layer(layer)).exists() {
            // Left behind, it costs disk space until the scratch goes.
            let _ = fs::remove_file(dir.join(files::layer(layer)));
            finished.store(layer, Ordering::Relaxed);
        }
        let now = labelling.now(finished.load(Ordering::Relaxed));
        let done = steps.before_layers() + now.nodes_done();
        reporter.progress(now.phase(), done, steps.total(), "nodes");
    };
    ticking(TICK, tick, || filecoin_proofs::sdr::<_, Tree>(&shape::porep_config(proof), dir, &id))
        .map_err(|error| library::failure(Code::InternalError, "labelling", error.as_ref()))
}

/// Writes the range that was asked for, and gives its size and digest.
fn write_range(
    decoder: &Decoder<'_>,
    file: &File,
    on_nodes: impl Fn(u64),
) -> Result<Output, TaskError> {
    let params = decoder.params;
    let end = params.offset + params.size;
    let (first, last) = (params.offset / QUAD_BYTES.0, end.div_ceil(QUAD_BYTES.0));
    let mut file = BufWriter::new(file);
    let failed = |error: io::Error| failure::output("the data", &params.out_path, &error);
    let mut hasher = Sha256::new();
    for quad in (first..last).step_by(WINDOW_QUADS as usize) {
        let data = decoder.read(quad, WINDOW_QUADS.min(last - quad))?;
        let start = quad * QUAD_BYTES.0;
        let from = params.offset.saturating_sub(start) as usize;
        let to = (end - start).min(data.len() as u64) as usize;
        hasher.update(&data[from..to]);
        file.write_all(&data[from..to]).map_err(failed)?;
        on_nodes(4 * quad);
    }
    file.flush().map_err(failed)?;
    Ok(Output { size: params.size, sha256: Bytes32(hasher.finalize().into()) })
}

/// Decodes the replica with the labels of its last layer.
struct Decoder<'p> {
    sealed: File,
    key: File,
    params: &'p Params,
}

impl Decoder<'_> {
    /// The data of `n_quads` from `quad` on, without fr32 padding.
    fn read(&self, quad: u64, n_quads: u64) -> Result<Vec<u8>, TaskError> {
        let mut nodes = vec![0; (n_quads * QUAD_BYTES.1) as usize];
        let mut labels = nodes.clone();
        let offset = quad * QUAD_BYTES.1;
        let failed =
            |error: io::Error| failure::input("the replica", &self.params.sealed_path, &error);
        self.sealed.read_exact_at(&mut nodes, offset).map_err(failed)?;
        self.key.read_exact_at(&mut labels, offset).map_err(failed)?;
        let size = NODE_BYTES as usize;
        for (node, label) in nodes.chunks_exact_mut(size).zip(labels.chunks_exact(size)) {
            let decoded = decode(node, label).ok_or_else(|| self.mismatch())?;
            node.copy_from_slice(&decoded);
        }
        let n_bytes = (n_quads * QUAD_BYTES.0) as usize;
        let mut data = Vec::with_capacity(n_bytes);
        fr32::write_unpadded(&nodes, &mut data, 0, n_bytes).map_err(failed)?;
        Ok(data)
    }

    fn mismatch(&self) -> TaskError {
        TaskError::new(
            Code::InvalidInput,
            format!(
                "{} is not the replica of this sector, ticket and `commD`",
                self.params.sealed_path.display()
            ),
        )
        .hint("check prover, sector number, ticket and commD against what was sealed")
    }
}

/// The data node under a replica node: their difference in the field. Data is padded so that it is
/// below 2^254; a larger difference tells that the label is not the one it was encoded with.
fn decode(node: &[u8], label: &[u8]) -> Option<[u8; 32]> {
    let scalar = |bytes: &[u8]| Option::<Scalar>::from(Scalar::from_repr(bytes.try_into().ok()?));
    let decoded = (scalar(node)? - scalar(label)?).to_repr();
    (decoded[31] & 0xc0 == 0).then_some(decoded)
}

/// The parts of the task, in nodes of work each, so that `done` is comparable over the whole.
struct Steps {
    proof: SealProof,
    makes_parents: bool,
}

impl Steps {
    fn plan(proof: SealProof) -> Self {
        Self { proof, makes_parents: !parents::is_ready(&parents::directory(), proof) }
    }

    fn before_layers(&self) -> u64 {
        u64::from(self.makes_parents) * self.proof.n_nodes()
    }

    fn before_decoding(&self) -> u64 {
        self.before_layers() + u64::from(self.proof.n_layers()) * self.proof.n_nodes()
    }

    fn total(&self) -> u64 {
        self.before_decoding() + self.proof.n_nodes()
    }
}
