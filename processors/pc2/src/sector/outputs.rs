// SPDX-License-Identifier: MIT OR Apache-2.0

//! What pc2 writes: everything beside, synced, then renamed into place. So an interrupted pc2 leaves no file
//! under its name, and the next attempt starts from inputs that nobody has changed.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use sealpipe_protocol::{TaskError, durable, failure};

use super::io::RandomFile;
use crate::{
    NODE_BYTES,
    plan::{Shape, Tree},
};

/// A file that is not complete yet; removed when dropped before it is in place.
#[derive(Debug)]
struct Part {
    beside: PathBuf,
    path: PathBuf,
    file: RandomFile,
}

impl Part {
    fn create(path: PathBuf, bytes: u64) -> Result<Self, TaskError> {
        let beside = durable::beside(&path);
        let failed = |error: io::Error| failed(&path, &error);
        let plain = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)
            .map_err(failed)?;
        plain.set_len(bytes).map_err(failed)?;
        let file = RandomFile::new(plain, &beside, true);
        Ok(Self { beside, path, file })
    }

    fn write(&self, content: &[u8], offset: u64) -> Result<(), TaskError> {
        self.file.write(content, offset).map_err(|error| failed(&self.path, &error))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Once renamed it is not there any more; what cannot be removed is overwritten by the next attempt.
        let _ = fs::remove_file(&self.beside);
    }
}

/// The files of a running pc2.
#[derive(Debug)]
pub struct Outputs {
    shape: Shape,
    sealed: Part,
    tree_c: Vec<Part>,
    tree_r_last: Vec<Part>,
    small: Vec<Part>,
}

impl Outputs {
    /// Creates them beside their places.
    ///
    /// # Errors
    /// `ResourceExhausted` for a disk that is or will be full, and what it says else.
    pub fn create(shape: Shape, sealed: &Path, cache_dir: &Path) -> Result<Self, TaskError> {
        let sector = shape.nodes() * NODE_BYTES as u64;
        require_space(sealed, cache_dir, sector, shape)?;
        let trees = |tree| -> Result<Vec<_>, TaskError> {
            let create = |name| Part::create(cache_dir.join(name), shape.file_bytes(tree));
            shape.file_names(tree).into_iter().map(create).collect()
        };
        Ok(Self {
            shape,
            sealed: Part::create(sealed.to_path_buf(), sector)?,
            tree_c: trees(Tree::C)?,
            tree_r_last: trees(Tree::RLast)?,
            small: Vec::new(),
        })
    }

    /// Writes nodes of the replica from node `first` of the sector on.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_replica(&self, first: u64, nodes: &[u8]) -> Result<(), TaskError> {
        self.sealed.write(nodes, first * NODE_BYTES as u64)
    }

    /// Writes nodes of a row from node `first` of the row on; a row that is not kept is left out.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write_row(
        &self,
        tree: Tree,
        which: u32,
        row: u32,
        first: u64,
        nodes: &[u8],
    ) -> Result<(), TaskError> {
        let parts = match tree {
            Tree::C => &self.tree_c,
            Tree::RLast => &self.tree_r_last,
        };
        match self.shape.offset(tree, row, first) {
            Some(offset) => parts[which as usize].write(nodes, offset),
            None => Ok(()),
        }
    }

    /// Adds a small file with its content.
    ///
    /// # Errors
    /// What the disk says.
    pub fn add(&mut self, path: PathBuf, content: &[u8]) -> Result<(), TaskError> {
        let part = Part::create(path, content.len() as u64)?;
        part.write(content, 0)?;
        self.small.push(part);
        Ok(())
    }

    /// Puts everything in place: all are synced, then all renamed, the replica last, then the directories
    /// synced.
    ///
    /// # Errors
    /// What the disk says.
    pub fn install(self) -> Result<(), TaskError> {
        let mut parts: Vec<_> =
            self.tree_c.into_iter().chain(self.tree_r_last).chain(self.small).collect();
        parts.push(self.sealed);
        parts
            .par_iter()
            .try_for_each(|part| part.file.sync().map_err(|error| failed(&part.path, &error)))?;
        let moves: Vec<_> =
            parts.iter().map(|part| (part.beside.clone(), part.path.clone())).collect();
        durable::install_synced(&moves)
    }
}

fn failed(path: &Path, error: &io::Error) -> TaskError {
    failure::output("the file", path, error)
}

/// Refuses to begin what would fill a disk.
fn require_space(sealed: &Path, cache: &Path, sector: u64, shape: Shape) -> Result<(), TaskError> {
    let trees =
        (shape.file_bytes(Tree::C) + shape.file_bytes(Tree::RLast)) * u64::from(shape.n_trees);
    let sealed_dir = sealed.parent().unwrap_or(sealed);
    let same = match (fs::metadata(sealed_dir), fs::metadata(cache)) {
        (Ok(a), Ok(b)) => {
            std::os::unix::fs::MetadataExt::dev(&a) == std::os::unix::fs::MetadataExt::dev(&b)
        }
        _ => false,
    };
    let needed = if same {
        [(cache, sector + trees), (cache, 0)]
    } else {
        [(sealed_dir, sector), (cache, trees)]
    };
    for (dir, bytes) in needed {
        durable::require_space(dir, bytes)?;
    }
    Ok(())
}
