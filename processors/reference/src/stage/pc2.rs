// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pc2`: hashes the columns, encodes the replica, builds the trees.
//!
//! The library encodes a file in place and takes over whatever tree-c it finds. So it works in a
//! directory of its own, from nothing, each time; what is complete moves into place afterwards.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use filecoin_proofs::{
    DefaultPieceHasher, Labels, MerkleTreeTrait, SealPreCommitPhase1Output, StoreConfig,
    TemporaryAux,
};
use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    durable::{self, Scratch},
    failure,
    legacy::task::UNKNOWN_REPLICA,
    stage::{
        files,
        pc2::{Output, Params},
    },
};
use storage_proofs_core::cache_key::CacheKey;

use crate::{
    library,
    meter::Phases,
    report::{Reporter, ticking},
    sector_files,
    shape::{self, with_tree},
    tap,
};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or contradict each other, and what the disk says.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    check_inputs(params)?;
    let scratch = Scratch::create(scratch(params))?;
    durable::require_space(scratch.path(), written_bytes(params))?;
    let sealed = scratch.join("sealed");
    let cache = scratch.join("cache");
    link_inputs(params, &cache)?;
    copy_data(params, &sealed, reporter)?;
    let comm_r = with_tree!(params.proof, seal(params, &cache, &sealed, reporter))?;
    let (comm_c, comm_r_last) = read_p_aux(&cache)?;
    let mut outputs: Vec<String> = files::tree_c(params.proof);
    outputs.extend(files::tree_r_last(params.proof));
    outputs.extend([files::P_AUX.to_owned(), files::T_AUX.to_owned()]);
    let mut moves: Vec<_> =
        outputs.into_iter().map(|name| (cache.join(&name), params.cache_dir.join(&name))).collect();
    moves.push((sealed, params.sealed_path.clone()));
    let total = total_bytes(params);
    reporter.progress("sync", total, total, "bytes");
    durable::install(&moves)?;
    Ok(Output { comm_r, comm_c, comm_r_last })
}

/// Where the outputs are made.
pub(super) fn scratch(params: &Params) -> PathBuf {
    params.work_dir.join("scratch")
}

/// `comm_c` and `comm_r_last` of a cache directory.
///
/// # Errors
/// [`Code::InputUnavailable`] and [`Code::InvalidInput`].
pub(super) fn read_p_aux(cache_dir: &Path) -> Result<(Bytes32, Bytes32), TaskError> {
    let path = cache_dir.join(files::P_AUX);
    let bytes = fs::read(&path).map_err(|error| failure::input("p_aux", &path, &error))?;
    match bytes.split_at_checked(32) {
        Some((comm_c, comm_r_last)) if comm_r_last.len() == 32 => {
            Ok((shape::bytes32(&comm_c), shape::bytes32(&comm_r_last)))
        }
        _ => Err(TaskError::new(
            Code::InvalidInput,
            format!("p_aux {} has {} bytes, expected 64", path.display(), bytes.len()),
        )),
    }
}

fn check_inputs(params: &Params) -> Result<(), TaskError> {
    let bytes = params.proof.sector_bytes();
    sector_files::open_sized("the unsealed data", &params.unsealed_path, bytes)?;
    sector_files::check_tree_d(params.proof, &params.cache_dir, params.comm_d)?;
    for layer in 1..=params.proof.n_layers() {
        if params.replica_id == UNKNOWN_REPLICA {
            let path = params.cache_dir.join(files::layer(layer));
            sector_files::open_sized(&format!("layer {layer}"), &path, bytes)?;
        } else {
            sector_files::check_layer(params.proof, &params.cache_dir, layer, params.replica_id)?;
        }
    }
    Ok(())
}

/// A cache directory that shows the library the inputs and nothing else.
fn link_inputs(params: &Params, cache: &Path) -> Result<(), TaskError> {
    let failed = |error: io::Error| failure::output("scratch", cache, &error);
    fs::create_dir(cache).map_err(failed)?;
    let layers = (1..=params.proof.n_layers()).map(files::layer);
    for name in layers.chain([files::TREE_D.to_owned()]) {
        symlink(params.cache_dir.join(&name), cache.join(&name)).map_err(failed)?;
    }
    Ok(())
}

/// Copies the data to where it is encoded in place: by reference where the file system can.
fn copy_data(params: &Params, to: &Path, reporter: &Reporter) -> Result<(), TaskError> {
    let (from, bytes) = (&params.unsealed_path, params.proof.sector_bytes());
    let mut source = sector_files::open_sized("the unsealed data", from, bytes)?;
    let failed = |error: io::Error| failure::output("the copy", to, &error);
    let mut target = File::create(to).map_err(failed)?;
    let tick = || {
        let done = fs::metadata(to).map_or(0, |found| found.len());
        reporter.progress("copy", done, total_bytes(params), "bytes");
    };
    let copied = ticking(TICK, tick, || io::copy(&mut source, &mut target)).map_err(failed)?;
    if copied == bytes {
        return Ok(());
    }
    Err(TaskError::new(
        Code::InvalidInput,
        format!("{} shrank to {copied} bytes while it was copied", from.display()),
    ))
}

fn seal<Tree: 'static + MerkleTreeTrait>(
    params: &Params,
    cache: &Path,
    sealed: &Path,
    reporter: &Reporter,
) -> Result<Bytes32, TaskError> {
    let store = |id: String, nodes| StoreConfig {
        path: cache.to_path_buf(),
        id,
        size: Some(nodes as usize),
        rows_to_discard: 0,
    };
    let n_nodes = params.proof.n_nodes();
    let labels = (1..=params.proof.n_layers())
        .map(|layer| store(CacheKey::label_layer(layer as usize), n_nodes))
        .collect();
    let phase1 = SealPreCommitPhase1Output::<Tree> {
        labels: Labels::new(labels),
        config: store(CacheKey::CommDTree.to_string(), 2 * n_nodes - 1),
        comm_d: params.comm_d.0,
    };
    let config = shape::porep_config(params.proof);
    let sealed_output = following(params, reporter, || {
        filecoin_proofs::seal_pre_commit_phase2::<_, _, Tree>(&config, phase1, cache, sealed)
    })
    .map_err(|error| library::failure(Code::InternalError, "sealing", error.as_ref()))?;
    rebase_t_aux::<Tree>(&cache.join(files::T_AUX), &params.cache_dir)?;
    Ok(Bytes32(sealed_output.comm_r))
}

/// Puts the directory where the files will be into `t_aux`. Readers of the library ignore it.
fn rebase_t_aux<Tree: MerkleTreeTrait>(path: &PathBuf, cache_dir: &Path) -> Result<(), TaskError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        library::failure(Code::InternalError, format!("t_aux {}", path.display()), error)
    };
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    let mut t_aux: TemporaryAux<Tree, DefaultPieceHasher> =
        bincode::deserialize(&bytes).map_err(|error| failed(&error))?;
    t_aux.set_cache_path(cache_dir);
    let bytes = bincode::serialize(&t_aux).map_err(|error| failed(&error))?;
    fs::write(path, bytes).map_err(|error| failed(&error))
}

/// Does the library's work while its progress is read.
fn following<T>(params: &Params, reporter: &Reporter, work: impl FnOnce() -> T) -> T {
    let phases = Arc::new(Mutex::new(Phases::new(phases(params))));
    let heard = Arc::clone(&phases);
    let _listening = tap::listen(move |_, line| {
        let phase = line
            .strip_prefix("building base tree_c ")
            .map(|which| format!("tree_c {which}"))
            .or_else(|| {
                let which = line.strip_prefix("building base tree_r_last with CPU ")?;
                Some(format!("tree_r_last {which}"))
            });
        if let Some(phase) = phase {
            heard.lock().unwrap_or_else(PoisonError::into_inner).enter(&phase);
        }
    });
    let copied = params.proof.sector_bytes();
    let tick = || {
        let mut phases = phases.lock().unwrap_or_else(PoisonError::into_inner);
        let (phase, done, total) = phases.now();
        drop(phases);
        reporter.progress(phase, copied + done, copied + total, "bytes");
    };
    ticking(TICK, tick, work)
}

/// What the library reads: for each part of tree-c its columns and then every row of the tree, for
/// each part of tree-r-last the labels to encode with and then every row.
fn phases(params: &Params) -> Vec<(String, u64)> {
    let n_trees = u64::from(files::n_trees(params.proof));
    let part = params.proof.sector_bytes() / n_trees;
    let rows = part + part / 7;
    let n_layers = u64::from(params.proof.n_layers());
    let of = |what: &str, i: u64, bytes| (format!("{what} {i}/{n_trees}"), bytes);
    let columns =
        (1..=n_trees).flat_map(|i| [of("columns", i, part * n_layers), of("tree_c", i, rows)]);
    let replica = (1..=n_trees).flat_map(|i| [of("encode", i, part), of("tree_r_last", i, rows)]);
    columns.chain(replica).collect()
}

/// What is on disk at most: the replica, tree-c, and a tree-r-last before its lower rows are dropped.
fn written_bytes(params: &Params) -> u64 {
    let n_trees = u64::from(files::n_trees(params.proof));
    let tree = sector_files::tree_c_bytes(params.proof);
    params.proof.sector_bytes() + (n_trees + 1) * tree
}

fn total_bytes(params: &Params) -> u64 {
    params.proof.sector_bytes() + phases(params).iter().map(|(_, bytes)| bytes).sum::<u64>()
}
