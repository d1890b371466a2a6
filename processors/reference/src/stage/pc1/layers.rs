// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layers in the cache directory: which are kept, and recording those that appear.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealpipe_protocol::{
    Bytes32, TaskError, durable, failure,
    stage::{files, pc1::Params},
};

use super::manifest::{Demand, Manifest};
use crate::sector_files;

/// The name that the library gives a layer until it is complete.
pub fn half(layer: &Path) -> PathBuf {
    layer.with_extension(".tmp")
}

/// The layers of a task.
#[derive(Debug)]
pub struct Layers<'p> {
    params: &'p Params,
    manifest: Manifest,
}

impl<'p> Layers<'p> {
    /// Keeps the layers that an earlier attempt has finished for this replica and removes all
    /// others. `on_nodes` hears how many nodes are found good.
    ///
    /// # Errors
    /// What the disk says.
    pub fn recover(
        params: &'p Params,
        replica_id: Bytes32,
        mut on_nodes: impl FnMut(u32, u64),
    ) -> Result<Self, TaskError> {
        let mut layers = Self { params, manifest: Manifest::new(replica_id) };
        let earlier = Manifest::read(&params.work_dir);
        let n_layers = params.proof.n_layers();
        for layer in 1..=n_layers {
            let demand = earlier.as_ref().and_then(|m| m.demand(layer, &layers.manifest));
            let nodes_before = u64::from(layer - 1) * params.proof.n_nodes();
            let kept = demand.and_then(|demand| {
                layers.digest_if_good(layer, demand, |nodes| on_nodes(layer, nodes_before + nodes))
            });
            match kept {
                Some(digest) => layers.manifest.layers.push(digest),
                None => break,
            }
        }
        for layer in layers.n_finished() + 1..=n_layers {
            layers.remove(layer)?;
        }
        durable::sync_dir(&params.cache_dir)
            .map_err(|error| failure::output("in", &params.cache_dir, &error))?;
        // Before any label is computed: from here on an unrecorded layer is this replica's.
        layers.manifest.write(&params.work_dir)?;
        Ok(layers)
    }

    /// How many layers are finished, synced and recorded.
    pub fn n_finished(&self) -> u32 {
        self.manifest.layers.len() as u32
    }

    /// Syncs and records the next layer, if the library has finished it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn record_next(&mut self) -> Result<bool, TaskError> {
        let layer = self.n_finished() + 1;
        let path = self.path(layer);
        if layer > self.params.proof.n_layers() || !path.exists() {
            return Ok(false);
        }
        let failed = |error: io::Error| failure::output("the layer", &path, &error);
        durable::sync_file(&path).map_err(failed)?;
        durable::sync_dir(&self.params.cache_dir).map_err(failed)?;
        let (digest, _) = sector_files::digest(&path, |_| {}).map_err(failed)?;
        self.manifest.layers.push(digest);
        self.manifest.write(&self.params.work_dir)?;
        Ok(true)
    }

    /// The digest of a layer that is whole, labelled for this replica, and what was demanded.
    fn digest_if_good(
        &self,
        layer: u32,
        demand: Demand,
        mut on_nodes: impl FnMut(u64),
    ) -> Option<Bytes32> {
        let (proof, cache_dir) = (self.params.proof, &self.params.cache_dir);
        sector_files::check_layer(proof, cache_dir, layer, self.manifest.replica_id).ok()?;
        let path = self.path(layer);
        if demand == Demand::Nothing {
            durable::sync_file(&path).ok()?;
        }
        let progress = |bytes| on_nodes(bytes / sector_files::NODE_BYTES);
        let (digest, _) = sector_files::digest(&path, progress).ok()?;
        match demand {
            Demand::Digest(recorded) => (recorded == digest).then_some(digest),
            Demand::Nothing => Some(digest),
        }
    }

    fn remove(&self, layer: u32) -> Result<(), TaskError> {
        let path = self.path(layer);
        durable::remove_file(&path)?;
        let half = half(&path);
        match fs::symlink_metadata(&half) {
            Ok(_) => durable::remove_file(&half),
            Err(_) => Ok(()),
        }
    }

    fn path(&self, layer: u32) -> PathBuf {
        self.params.cache_dir.join(files::layer(layer))
    }
}
