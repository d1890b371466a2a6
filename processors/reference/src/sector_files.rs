// SPDX-License-Identifier: MIT OR Apache-2.0

//! The files of a sector: sizes that follow from the proof, and checks that are cheap.
//!
//! The library trusts whatever file has the right size. These checks find what is stale, foreign or
//! cut short before the library meets it.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use filecoin_hashers::{Hasher, poseidon::PoseidonHasher};
use filecoin_proofs::SectorShapeBase;
use merkletree::hash::Algorithm;
use sealpipe_protocol::{
    Bytes32, Code, TaskError, failure,
    stage::{files, proof::SealProof},
};
use sha2::{Digest, Sha256};

use crate::shape;

/// Bytes of a node.
pub const NODE_BYTES: u64 = 32;

/// Bytes read at a time when a file is digested.
const DIGEST_BUFFER_BYTES: usize = 1 << 20;

/// Bytes of tree-d: all rows of a binary tree, `2n - 1` nodes.
pub fn tree_d_bytes(proof: SealProof) -> u64 {
    (2 * proof.n_nodes() - 1) * NODE_BYTES
}

/// Bytes of one file of tree-c: all rows of an octree over its share of the nodes.
pub fn tree_c_bytes(proof: SealProof) -> u64 {
    let leaves = proof.n_nodes() / u64::from(files::n_trees(proof));
    octree_rows(leaves).sum::<u64>() * NODE_BYTES
}

/// Rows of an octree, from the leaves to the root, in nodes.
fn octree_rows(leaves: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(leaves), |row| (*row > 1).then_some(row / 8))
}

/// Opens an input of a known length.
///
/// # Errors
/// [`Code::InputUnavailable`] when it cannot be read, [`Code::InvalidInput`] when it has another
/// length.
pub fn open_sized(what: &str, path: &Path, bytes: u64) -> Result<File, TaskError> {
    let failed = |error: io::Error| failure::input(what, path, &error);
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

/// Checks that tree-d is there, whole, and the tree of `comm_d`.
///
/// # Errors
/// [`Code::InputUnavailable`] and [`Code::InvalidInput`].
pub fn check_tree_d(proof: SealProof, cache_dir: &Path, comm_d: Bytes32) -> Result<(), TaskError> {
    let path = cache_dir.join(files::TREE_D);
    let root = root_of("tree-d", &path, tree_d_bytes(proof))?;
    expect_root(&path, "`commD`", comm_d, root)
}

/// Checks that a layer is there, whole, and labelled for `replica_id`: the first label of a layer
/// depends on nothing else.
///
/// # Errors
/// [`Code::InputUnavailable`] and [`Code::InvalidInput`].
pub fn check_layer(
    proof: SealProof,
    cache_dir: &Path,
    layer: u32,
    replica_id: Bytes32,
) -> Result<(), TaskError> {
    let path = cache_dir.join(files::layer(layer));
    let what = format!("layer {layer}");
    let file = open_sized(&what, &path, proof.sector_bytes())?;
    let mut label = [0; 32];
    file.read_exact_at(&mut label, 0).map_err(|error| failure::input(&what, &path, &error))?;
    if label == first_label(replica_id, layer) {
        return Ok(());
    }
    Err(TaskError::new(
        Code::InvalidInput,
        format!("{} holds no labels of replica {replica_id}", path.display()),
    )
    .hint("run pc1 for this sector again, in an empty cache directory"))
}

/// The label of node 0, which has no parents: `SHA-256(replica_id, layer, node, zeros)` with two
/// bits off (storage-proofs-porep, `create_label/single.rs`).
pub fn first_label(replica_id: Bytes32, layer: u32) -> [u8; 32] {
    let mut block = [0; 32];
    block[..4].copy_from_slice(&layer.to_be_bytes());
    let mut label: [u8; 32] =
        Sha256::new().chain_update(replica_id.0).chain_update(block).finalize().into();
    label[31] &= 0x3f;
    label
}

/// Root of an octree that is split into files: tree-c, or what is kept of tree-r-last. Files of any
/// length will do when `bytes` is absent.
///
/// # Errors
/// [`Code::InputUnavailable`] and [`Code::InvalidInput`].
pub fn split_root(
    what: &str,
    cache_dir: &Path,
    names: &[String],
    bytes: Option<u64>,
) -> Result<Bytes32, TaskError> {
    let mut roots = Vec::with_capacity(names.len());
    for name in names {
        let path = cache_dir.join(name);
        let found = || std::fs::metadata(&path).map(|found| found.len());
        let bytes =
            bytes.map_or_else(found, Ok).map_err(|error| failure::input(what, &path, &error))?;
        let root = root_of(what, &path, bytes)?;
        roots.push(poseidon(&path, root)?);
    }
    // 8 subtrees under one node; with 16, two such nodes under the root.
    while roots.len() > 1 {
        roots = roots.chunks(8).map(join).collect();
        if roots.len() == 2 {
            roots = vec![join(&roots)];
        }
    }
    Ok(roots.first().map_or(Bytes32([0; 32]), shape::bytes32))
}

/// `Poseidon(comm_c, comm_r_last)`.
///
/// # Errors
/// [`Code::InvalidInput`] when one of them is no field element; `path` is where they came from.
pub fn comm_r(path: &Path, comm_c: Bytes32, comm_r_last: Bytes32) -> Result<Bytes32, TaskError> {
    Ok(shape::bytes32(&join(&[poseidon(path, comm_c)?, poseidon(path, comm_r_last)?])))
}

/// Refuses a root that is not the expected one; `expected_as` says where that one came from.
///
/// # Errors
/// [`Code::InvalidInput`].
pub fn expect_root(
    path: &Path,
    expected_as: &str,
    expected: Bytes32,
    root: Bytes32,
) -> Result<(), TaskError> {
    if root == expected {
        return Ok(());
    }
    Err(TaskError::new(
        Code::InvalidInput,
        format!("{} has the root {root}, {expected_as} is {expected}", path.display()),
    )
    .hint("the file belongs to other data or is damaged; run the stage that makes it again"))
}

/// SHA-256 of a file and its length; `on_bytes` hears how many bytes are done.
///
/// # Errors
/// What the disk says.
pub fn digest(path: &Path, mut on_bytes: impl FnMut(u64)) -> io::Result<(Bytes32, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; DIGEST_BUFFER_BYTES];
    let mut bytes = 0_u64;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((Bytes32(hasher.finalize().into()), bytes)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                bytes += n as u64;
                on_bytes(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The last node of a file of a known length: a tree's root.
fn root_of(what: &str, path: &Path, bytes: u64) -> Result<Bytes32, TaskError> {
    let file = open_sized(what, path, bytes)?;
    if bytes < NODE_BYTES {
        return Err(TaskError::new(
            Code::InvalidInput,
            format!("{what} {} has {bytes} bytes, not even a root", path.display()),
        )
        .hint("run the stage that makes it again"));
    }
    let mut root = [0; 32];
    file.read_exact_at(&mut root, bytes - NODE_BYTES)
        .map_err(|error| failure::input(what, path, &error))?;
    Ok(Bytes32(root))
}

type PoseidonNode = <PoseidonHasher as Hasher>::Domain;

fn poseidon(path: &Path, node: Bytes32) -> Result<PoseidonNode, TaskError> {
    // All tree shapes have the same hasher.
    shape::domain::<SectorShapeBase>(node).map_err(|error| {
        TaskError::new(Code::InvalidInput, format!("{} holds {}", path.display(), error.message))
            .hint("the file is damaged; run the stage that makes it again")
    })
}

/// The node above `nodes`, as the library's trees have it.
fn join(nodes: &[PoseidonNode]) -> PoseidonNode {
    // The height plays no part with this hasher.
    <PoseidonHasher as Hasher>::Function::default().multi_node(nodes, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_library() {
        let check = |proof, tree_d, tree_c| {
            assert_eq!((tree_d_bytes(proof), tree_c_bytes(proof)), (tree_d, tree_c), "{proof}");
        };
        check(SealProof::StackedDrg2KiBV1_1, 4_064, 2_336);
        check(SealProof::StackedDrg8MiBV1_1, 16_777_184, 9_586_976);
        check(SealProof::StackedDrg512MiBV1_1, 1_073_741_792, 613_566_752);
        // One file of eight has the shape of the whole 4 GiB octree.
        check(SealProof::StackedDrg32GiBV1_1, (1 << 36) - 32, 4_908_534_048);
    }

    #[test]
    fn the_first_label_is_the_golden_one() {
        let replica_id = "49fc5caa1ce27ee029d73df6ed7dcbb4020a0753f6d8cbe3aa771bb159261605";
        let label = first_label(replica_id.parse().unwrap(), 2);
        assert_eq!(
            Bytes32(label).to_string(),
            "8a932f3e4a606cdb9f5e26fd4787a65348f2bd5717e8cce0eb94afef78dbfd1f"
        );
    }

    #[test]
    fn a_file_of_another_length_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unsealed");
        let error = open_sized("the data", &path, 4).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::InputUnavailable));
        std::fs::write(&path, b"abc").unwrap();
        let error = open_sized("the data", &path, 4).unwrap_err();
        assert_eq!(error.known_code(), Some(Code::InvalidInput));
        assert!(error.message.contains("has 3 bytes, expected 4"), "{error}");
    }
}
