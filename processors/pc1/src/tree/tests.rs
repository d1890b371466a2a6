// SPDX-License-Identifier: MIT OR Apache-2.0

use std::{fs, sync::atomic::AtomicU64};

use sha2::{Digest, Sha256};

use super::*;

/// The node above two others, as filecoin-hashers has it.
fn reference(left: &Node, right: &Node) -> Node {
    let mut node: Node = Sha256::new().chain_update(left).chain_update(right).finalize().into();
    node[31] &= 0x3f;
    node
}

fn leaves(n: usize, seed: u8) -> Vec<Node> {
    let leaf =
        |i: usize| -> Node { Sha256::digest([&i.to_le_bytes()[..], &[seed]].concat()).into() };
    (0..n).map(leaf).collect()
}

/// All rows of a tree, leaves first.
fn reference_tree(leaves: &[Node]) -> Vec<Node> {
    let (mut tree, mut row) = (leaves.to_vec(), leaves.to_vec());
    while row.len() > 1 {
        row = row.chunks(2).map(|pair| reference(&pair[0], &pair[1])).collect();
        tree.extend(&row);
    }
    tree
}

#[test]
fn rows_of_any_length_are_the_references() {
    for n_above in (1..20).chain([63, 64, 65]) {
        let nodes = leaves(2 * n_above, 1);
        let expected: Vec<_> = nodes.chunks(2).map(|p| reference(&p[0], &p[1])).collect();
        for pairs in [Pairs::detect(), Pairs::Portable] {
            let mut above = vec![[0; 32]; n_above];
            pairs.row(&nodes, &mut above);
            assert_eq!(above, expected, "{n_above} {pairs:?}");
        }
    }
}

#[test]
fn trees_are_the_references_with_zeros_in_places() {
    let dir = tempfile::tempdir().unwrap();
    let proof = SealProof::StackedDrg8MiBV1_1;
    let n = proof.n_nodes() as usize;
    let check = |data: &[Node]| {
        let unsealed = dir.path().join("unsealed");
        fs::write(&unsealed, data.as_flattened()).unwrap();
        let done = AtomicU64::new(0);
        let on_leaves = |n| {
            done.fetch_max(n, Ordering::Relaxed);
        };
        let root = build(proof, &unsealed, dir.path(), &on_leaves, &|| Ok(())).unwrap();
        let tree = fs::read(dir.path().join(files::TREE_D)).unwrap();
        let expected = reference_tree(data);
        assert!(tree == expected.as_flattened());
        assert_eq!((root.0, done.into_inner()), (*expected.last().unwrap(), n as u64));
        verify(proof, dir.path(), root).unwrap();
        verify(proof, dir.path(), Bytes32([1; 32])).unwrap_err();
    };
    let mut data = leaves(n, 2);
    check(&data);
    data[BLOCK_LEAVES..3 * BLOCK_LEAVES].fill([0; 32]);
    check(&data);
    data.fill([0; 32]);
    check(&data);
}

#[test]
fn the_root_over_pieces_is_that_of_the_tree() {
    let data = leaves(64, 3);
    let root = |leaves: &[Node]| *reference_tree(leaves).last().unwrap();
    let piece = |range: std::ops::Range<usize>| Piece {
        piece_size: range.len() as u64 * 32,
        comm_p: Bytes32(root(&data[range])),
    };
    let check = |pieces: &[Piece]| assert_eq!(root_of_pieces(pieces).unwrap().0, root(&data));
    check(&[piece(0..64)]);
    check(&[piece(0..32), piece(32..64)]);
    check(&[piece(0..16), piece(16..20), piece(20..24), piece(24..32), piece(32..64)]);
    root_of_pieces(&[piece(0..32)]).unwrap();
    root_of_pieces(&[piece(0..32), piece(32..48)]).unwrap_err();
    root_of_pieces(&[Piece { piece_size: 2048, comm_p: Bytes32([0; 32]) }]).unwrap_err();
}

#[test]
fn data_of_another_size_is_refused_and_a_stop_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let proof = SealProof::StackedDrg2KiBV1_1;
    let unsealed = dir.path().join("unsealed");
    let cache = dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    let go = || Ok(());
    let missing = build(proof, &unsealed, &cache, &|_| {}, &go).unwrap_err();
    assert_eq!(missing.known_code(), Some(Code::InputUnavailable));
    fs::write(&unsealed, [7; 2047]).unwrap();
    let short = build(proof, &unsealed, &cache, &|_| {}, &go).unwrap_err();
    assert_eq!(short.known_code(), Some(Code::InvalidInput));
    fs::write(&unsealed, [7; 2048]).unwrap();
    let stop = || Err(TaskError::new(Code::Cancelled, "the task was cancelled"));
    build(proof, &unsealed, &cache, &|_| {}, &stop).unwrap_err();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
}
