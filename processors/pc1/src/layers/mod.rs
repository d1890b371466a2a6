// SPDX-License-Identifier: MIT OR Apache-2.0

//! The layers of a sector on disk: what an earlier attempt has finished, and recording what this
//! one finishes.

pub mod file;
pub mod manifest;

use std::{fs, path::PathBuf};

use sealpipe_protocol::{
    TaskError, durable,
    stage::{files, pc1::Params, proof::SealProof},
};

use self::{
    file::LayerFile,
    manifest::{Manifest, Sector},
};

/// How many layers there are to be, and how long each is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Layers.
    pub n_layers: u32,
    /// Bytes of a layer.
    pub layer_bytes: u64,
}

impl Shape {
    /// That of a registered proof.
    pub fn of_proof(proof: SealProof) -> Self {
        Self { n_layers: proof.n_layers(), layer_bytes: proof.sector_bytes() }
    }
}

/// The layers of a task.
#[derive(Debug)]
pub struct Layers {
    params: Params,
    n_layers: u32,
    manifest: Manifest,
}

impl Layers {
    /// Keeps the layers that an earlier attempt has finished for this sector and removes all
    /// others. `on_bytes` hears how many bytes of a layer are digested, and may stop it.
    ///
    /// # Errors
    /// What the disk says, or `on_bytes`.
    pub fn recover(
        params: &Params,
        shape: Shape,
        mut on_bytes: impl FnMut(u32, u64) -> Result<(), TaskError>,
    ) -> Result<Self, TaskError> {
        let sector = Sector::of(params);
        let earlier = Manifest::read(&params.work_dir).filter(|earlier| earlier.sector == sector);
        let manifest = Manifest::new(sector);
        let Shape { n_layers, layer_bytes } = shape;
        let mut layers = Self { params: params.clone(), n_layers, manifest };
        for (recorded, layer) in earlier.iter().flat_map(|m| &m.layers).zip(1..=n_layers) {
            let path = layers.path(layer);
            let found = fs::symlink_metadata(&path);
            let whole = found.is_ok_and(|f| f.is_file() && f.len() == layer_bytes);
            if !whole || file::digest(&path, |bytes| on_bytes(layer, bytes))? != *recorded {
                break;
            }
            layers.manifest.layers.push(*recorded);
        }
        for layer in layers.n_finished() + 1..=n_layers {
            let path = layers.path(layer);
            durable::remove_file(&path)?;
            durable::remove_file(&durable::beside(&path))?;
        }
        layers.manifest.write(&params.work_dir)?;
        Ok(layers)
    }

    /// How many layers are finished, synced and recorded.
    pub fn n_finished(&self) -> u32 {
        self.manifest.layers.len() as u32
    }

    /// How many there are to be.
    pub fn n_layers(&self) -> u32 {
        self.n_layers
    }

    /// Begins the next layer's file.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin(&self) -> Result<LayerFile, TaskError> {
        LayerFile::create(self.path(self.n_finished() + 1))
    }

    /// Finishes the next layer's file and records it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(&mut self, file: LayerFile) -> Result<(), TaskError> {
        self.manifest.layers.push(file.finish()?);
        self.manifest.write(&self.params.work_dir)
    }

    /// Where a layer is.
    pub fn path(&self, layer: u32) -> PathBuf {
        self.params.cache_dir.join(files::layer(layer))
    }
}
