// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a sector's files lie, and how much room they take.

use std::path::{Path, PathBuf};

use sealpipe_protocol::{
    Stage,
    stage::{files, proof::SealProof},
};

/// A sector's directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout(PathBuf);

impl Layout {
    /// The layout of the sector in `dir`, an absolute path.
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// What is remembered of the sector.
    pub fn record(&self) -> PathBuf {
        self.0.join("sector.json")
    }

    /// What happened to it: one event a line.
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.jsonl")
    }

    /// The data, fr32 padded.
    pub fn unsealed(&self) -> PathBuf {
        self.0.join("unsealed")
    }

    /// The replica.
    pub fn sealed(&self) -> PathBuf {
        self.0.join("sealed")
    }

    /// filecoin-proofs' files.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// The output of c1.
    pub fn c1(&self) -> PathBuf {
        self.0.join("c1.json")
    }

    /// Scratch of all stages.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Scratch of one stage.
    pub fn work_of(&self, stage: Stage) -> PathBuf {
        self.work().join(stage.name())
    }

    /// The files that a stage writes.
    pub fn outputs(&self, stage: Stage, proof: SealProof) -> Vec<PathBuf> {
        let cache = |names: Vec<String>| -> Vec<PathBuf> {
            names.into_iter().map(|name| self.cache().join(name)).collect()
        };
        match stage {
            Stage::AddPieces => vec![self.unsealed()],
            Stage::TreeD => cache(vec![files::TREE_D.to_owned()]),
            Stage::Pc1 => cache((1..=proof.n_layers()).map(files::layer).collect()),
            Stage::Pc2 => {
                let mut outputs = vec![self.sealed()];
                outputs.extend(cache(files::tree_c(proof)));
                outputs.extend(cache(files::tree_r_last(proof)));
                outputs.extend(cache(vec![files::P_AUX.into(), files::T_AUX.into()]));
                outputs
            }
            Stage::C1 => vec![self.c1()],
            Stage::Echo | Stage::C2 | Stage::Verify | Stage::Unseal => Vec::new(),
        }
    }

    /// The files that nobody needs once the sector is proven: all but the replica and what later
    /// proofs open (p_aux, t_aux, tree-r-last).
    pub fn spare(&self, proof: SealProof) -> Vec<PathBuf> {
        let kept = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            *path == self.sealed()
                || name == files::P_AUX
                || name == files::T_AUX
                || files::tree_r_last(proof).contains(&name)
        };
        let stages = [Stage::AddPieces, Stage::TreeD, Stage::Pc1, Stage::Pc2, Stage::C1];
        let all = stages.into_iter().flat_map(|stage| self.outputs(stage, proof));
        all.filter(|path| !kept(path)).collect()
    }
}

/// Most bytes that a sector takes on its way: the data, tree-d (2), the layers, the replica and a
/// copy of it that pc2 works on, tree-c (8/7), and a little for the rest.
pub fn room_bytes(proof: SealProof) -> u64 {
    let sector = proof.sector_bytes();
    let layers = u64::from(proof.n_layers());
    sector * (1 + 2 + layers + 2) + sector / 7 * 8 + sector / 100 + ROOM_FOR_SMALL_FILES
}

/// c1's output, the record and the journal; generous.
pub const ROOM_FOR_SMALL_FILES: u64 = 4 << 20;
