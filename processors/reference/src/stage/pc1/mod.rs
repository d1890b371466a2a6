// SPDX-License-Identifier: MIT OR Apache-2.0

//! `pc1`: labels the layers (SDR). Goes on after the last layer that was finished.

mod layers;
mod manifest;

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use filecoin_proofs::MerkleTreeTrait;
use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable, failure,
    method::LogLevel,
    stage::{
        files,
        pc1::{Output, Params},
    },
};

use self::layers::Layers;
use super::tree_d;
use crate::{
    labelling::{Labelling, TICK},
    library, parents,
    report::{Reporter, ticking},
    sector_files,
    shape::{self, with_tree},
};

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or contradict each other, and what the disk says.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    for dir in [&params.cache_dir, &params.work_dir] {
        fs::create_dir_all(dir).map_err(|error| failure::output("in", dir, &error))?;
    }
    let steps = Steps::plan(params);
    shape::check_pieces(params.proof, &params.pieces, params.comm_d)?;
    prepare_tree_d(params, &steps, reporter)?;
    parents::ensure(&parents::directory(), params.proof, reporter, &mut |nodes| {
        reporter.progress("parents", steps.before_parents() + nodes, steps.total(), "nodes");
    })?;
    let replica_id = shape::replica_id(
        params.proof,
        params.prover_id,
        params.sector_number,
        params.ticket,
        params.comm_d,
    );
    let layers = Layers::recover(params, replica_id, |layer, nodes| {
        let phase = format!("checking layer {layer}/{}", params.proof.n_layers());
        reporter.progress(phase, steps.before_layers() + nodes, steps.total(), "nodes");
    })?;
    let missing = u64::from(params.proof.n_layers() - layers.n_finished());
    durable::require_space(&params.cache_dir, missing * params.proof.sector_bytes())?;
    if layers.n_finished() > 0 {
        reporter.resumed_from(format!("layer {}", layers.n_finished()));
    }
    with_tree!(params.proof, label(params, replica_id, layers, &steps, reporter))?;
    Ok(Output { replica_id, comm_d: params.comm_d })
}

/// What a killed process may have left: a tree, and a layer, that are not complete.
pub(super) fn leftovers(params: &Params) -> Vec<PathBuf> {
    let layer = |layer| layers::half(&params.cache_dir.join(files::layer(layer)));
    let layers = (1..=params.proof.n_layers()).map(layer);
    layers.chain([tree_d::scratch(&params.cache_dir)]).collect()
}

/// Builds tree-d when it is absent, and checks it.
fn prepare_tree_d(params: &Params, steps: &Steps, reporter: &Reporter) -> Result<(), TaskError> {
    if steps.builds_tree_d {
        // A tree of other data must not stay: the next attempt would take it for its input.
        let data = &params.unsealed_path;
        let is_ours = |root| sector_files::expect_root(data, "`commD`", params.comm_d, root);
        tree_d::build(params.proof, data, &params.cache_dir, is_ours, |done, total| {
            let nodes = params.proof.n_nodes() * done / total.max(1);
            reporter.progress("tree_d", nodes, steps.total(), "nodes");
        })?;
    }
    sector_files::check_tree_d(params.proof, &params.cache_dir, params.comm_d)
}

/// Labels the layers that are not there yet.
fn label<Tree: 'static + MerkleTreeTrait>(
    params: &Params,
    replica_id: Bytes32,
    layers: Layers<'_>,
    steps: &Steps,
    reporter: &Reporter,
) -> Result<(), TaskError> {
    let id = shape::domain::<Tree>(replica_id)?;
    let layers = Mutex::new(layers);
    let record = || -> Result<u32, TaskError> {
        let mut layers = layers.lock().unwrap_or_else(PoisonError::into_inner);
        while layers.record_next()? {}
        Ok(layers.n_finished())
    };
    let labelling = Labelling::start(params.proof);
    let tick = || {
        let finished = record().unwrap_or_else(|error| {
            // Not fatal here: the layer is recorded once more at the end.
            reporter.log(LogLevel::Warn, error.to_string());
            0
        });
        let now = labelling.now(finished);
        reporter.progress_from(
            now.phase(),
            steps.before_layers() + now.nodes_done(),
            steps.total(),
            "nodes",
            (finished > 0).then(|| format!("layer {finished}")),
        );
    };
    ticking(TICK, tick, || {
        filecoin_proofs::sdr::<_, Tree>(&shape::porep_config(params.proof), &params.cache_dir, &id)
    })
    .map_err(|error| library::failure(Code::InternalError, "labelling", error.as_ref()))?;
    let finished = record()?;
    if finished == params.proof.n_layers() {
        return Ok(());
    }
    let missing = files::layer(finished + 1);
    Err(TaskError::new(Code::InternalError, format!("the library left no {missing}")))
}

/// The parts of the task, in nodes of work each, so that `done` is comparable over the whole.
struct Steps {
    n_nodes: u64,
    n_layers: u64,
    builds_tree_d: bool,
    makes_parents: bool,
}

impl Steps {
    fn plan(params: &Params) -> Self {
        Self {
            n_nodes: params.proof.n_nodes(),
            n_layers: u64::from(params.proof.n_layers()),
            builds_tree_d: !params.cache_dir.join(files::TREE_D).exists(),
            makes_parents: !parents::is_ready(&parents::directory(), params.proof),
        }
    }

    fn before_parents(&self) -> u64 {
        u64::from(self.builds_tree_d) * self.n_nodes
    }

    fn before_layers(&self) -> u64 {
        self.before_parents() + u64::from(self.makes_parents) * self.n_nodes
    }

    fn total(&self) -> u64 {
        self.before_layers() + self.n_layers * self.n_nodes
    }
}
