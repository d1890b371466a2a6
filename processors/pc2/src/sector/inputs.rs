// SPDX-License-Identifier: MIT OR Apache-2.0

//! What pc2 reads: the layers and the data, checked before anything is computed.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use sealpipe_protocol::{
    Bytes32, Code, TaskError,
    legacy::task::UNKNOWN_REPLICA,
    stage::{files, pc2::Params},
};
use sha2::{Digest, Sha256};

use super::io::RandomFile;
use crate::{NODE_BYTES, poseidon::is_canonical};

/// The layers, and the unsealed data behind them.
#[derive(Debug)]
pub struct Inputs {
    files: Vec<(String, RandomFile)>,
}

impl Inputs {
    /// Opens what `params` names.
    ///
    /// # Errors
    /// [`Code::InputUnavailable`] for what cannot be read; [`Code::InvalidInput`] for a length that is not
    /// the sector's, labels of another replica, and a tree-d that is not `commD`'s.
    pub fn open(params: &Params) -> Result<Self, TaskError> {
        check_tree_d(params)?;
        let bytes = params.proof.sector_bytes();
        let mut files = Vec::new();
        for layer in 1..=params.proof.n_layers() {
            let path = params.cache_dir.join(files::layer(layer));
            let what = format!("layer {layer}");
            let file = open_sized(&what, &path, bytes)?;
            if params.replica_id != UNKNOWN_REPLICA {
                check_first_label(&file, &path, layer, params.replica_id)?;
            }
            files.push((what, RandomFile::new(file, &path, false)));
        }
        let what = "the unsealed data".to_owned();
        let file = open_sized(&what, &params.unsealed_path, bytes)?;
        files.push((what, RandomFile::new(file, &params.unsealed_path, false)));
        Ok(Self { files })
    }

    /// Opens files of so many nodes, whatever is in them: layers in order, then the data.
    ///
    /// # Errors
    /// As [`Inputs::open`], but for what it checks of their content.
    pub fn open_files(paths: &[PathBuf], nodes: u64) -> Result<Self, TaskError> {
        let open = |path: &PathBuf| {
            let what = path.display().to_string();
            let file = open_sized("input", path, nodes * NODE_BYTES as u64)?;
            Ok((what, RandomFile::new(file, path, false)))
        };
        Ok(Self { files: paths.iter().map(open).collect::<Result<_, TaskError>>()? })
    }

    /// How many there are: the layers, then the data.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Fills `buffer` with the nodes of input `which` from node `first` on, and checks that all are below the
    /// field's modulus: the hashes take no others.
    ///
    /// # Errors
    /// [`Code::InputUnavailable`], [`Code::InvalidInput`].
    pub fn read(&self, which: usize, buffer: &mut [u8], first: u64) -> Result<(), TaskError> {
        let (what, file) = &self.files[which];
        file.read(buffer, first * NODE_BYTES as u64).map_err(|error| {
            TaskError::io(Code::InputUnavailable, format!("reading {what}"), &error)
        })?;
        let (nodes, _) = buffer.as_chunks::<NODE_BYTES>();
        let Some(at) = nodes.iter().position(|node| !is_canonical(node)) else { return Ok(()) };
        let node = first + at as u64;
        let text = format!("node {node} of {what} is not below the field's modulus");
        Err(TaskError::new(Code::InvalidInput, text)
            .hint("the file is damaged; run the stage that makes it again"))
    }
}

fn open_sized(what: &str, path: &Path, bytes: u64) -> Result<File, TaskError> {
    let failed = |error: io::Error| {
        TaskError::io(Code::InputUnavailable, format!("{what} {}", path.display()), &error)
            .caused_by(&error)
    };
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() != bytes {
        return Err(TaskError::new(
            Code::InvalidInput,
            format!("{what} {} has {} bytes, expected {bytes}", path.display(), found.len()),
        )
        .hint("run the stage that makes it again"));
    }
    Ok(file)
}

fn node_at(file: &File, path: &Path, offset: u64) -> Result<Bytes32, TaskError> {
    let mut node = [0; NODE_BYTES];
    file.read_exact_at(&mut node, offset).map_err(|error| {
        TaskError::io(Code::InputUnavailable, format!("reading {}", path.display()), &error)
    })?;
    Ok(Bytes32(node))
}

/// The label of node 0, which has no parents, is `SHA-256(replica_id, layer, node, zeros)` with two bits
/// off (storage-proofs-porep, `create_label/single.rs`): cheap to check, and no other sector has it.
fn check_first_label(file: &File, path: &Path, layer: u32, id: Bytes32) -> Result<(), TaskError> {
    let mut block = [0; NODE_BYTES];
    block[..4].copy_from_slice(&layer.to_be_bytes());
    let mut label: [u8; 32] =
        Sha256::new().chain_update(id.0).chain_update(block).finalize().into();
    label[31] &= 0x3f;
    if node_at(file, path, 0)? == Bytes32(label) {
        return Ok(());
    }
    Err(TaskError::new(
        Code::InvalidInput,
        format!("{} holds no labels of replica {id}", path.display()),
    )
    .hint("run pc1 for this sector again, in an empty cache directory"))
}

fn check_tree_d(params: &Params) -> Result<(), TaskError> {
    let path = params.cache_dir.join(files::TREE_D);
    let bytes = (2 * params.proof.n_nodes() - 1) * NODE_BYTES as u64;
    let file = open_sized("tree-d", &path, bytes)?;
    let root = node_at(&file, &path, bytes - NODE_BYTES as u64)?;
    if root == params.comm_d {
        return Ok(());
    }
    let text = format!("{} has the root {root}, `commD` is {}", path.display(), params.comm_d);
    Err(TaskError::new(Code::InvalidInput, text)
        .hint("the file belongs to other data or is damaged; run the stage that makes it again"))
}
