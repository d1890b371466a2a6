// SPDX-License-Identifier: MIT OR Apache-2.0

use std::os::unix::fs::MetadataExt;

use storage_proofs_core::{api_version::ApiVersion, drgraph::Graph as _};
use storage_proofs_porep::stacked::StackedBucketGraph;

use super::*;

const QUIET: Watch<'static> = Watch { on_nodes: &|_| {}, check: &|| Ok(()) };

fn small() -> Graph {
    Graph::of_proof(SealProof::StackedDrg2KiBV1_1)
}

fn digest(path: &Path) -> String {
    Bytes32(Sha256::digest(fs::read(path).unwrap()).into()).to_string()
}

#[test]
fn names_are_the_librarys() {
    let check = |proof, name: &str| {
        let name = format!("v28-sdr-parent-{name}.cache");
        assert_eq!(file_name(&Graph::of_proof(proof)), name, "{proof}");
    };
    check(
        SealProof::StackedDrg2KiBV1_1,
        "494d91dc80f2df5272c4b9e129bc7ade9405225993af9fe34e6542a39a47554b",
    );
    check(
        SealProof::StackedDrg32GiBV1_1,
        "21981246c370f9d76c7a77ab273d94bde0ceb4e938292334960bce05585dc117",
    );
    check(
        SealProof::StackedDrg64GiBV1_1,
        "4905486b7af19558ac3649bc6261411858b6add534438878c4ee3b29d8b9de0b",
    );
}

#[test]
fn parents_are_the_librarys_in_graphs_of_any_size() {
    for n_nodes in [4_usize, 24, 64, 1 << 18, 1 << 30, 1 << 31] {
        let porep_id = [n_nodes.trailing_zeros() as u8; 32];
        let graph = Graph::new(n_nodes as u64, porep_id);
        let library =
            StackedBucketGraph::<filecoin_hashers::poseidon::PoseidonHasher>::new_stacked(
                n_nodes,
                6,
                8,
                porep_id,
                ApiVersion::V1_1_0,
            )
            .unwrap();
        let step = (n_nodes / 200).max(1);
        for node in (0..n_nodes).step_by(step).chain([1, 2, n_nodes - 1]) {
            let mut expected = [0; N_PARENTS];
            library.parents(node, &mut expected).unwrap();
            assert_eq!(graph.parents(node as u32), expected, "node {node} of {n_nodes}");
        }
    }
}

#[test]
fn files_are_the_networks() {
    let dir = tempfile::tempdir().unwrap();
    for proof in [SealProof::StackedDrg2KiBV1_1, SealProof::StackedDrg8MiBV1_1] {
        let graph = Graph::of_proof(proof);
        assert!(!is_ready(dir.path(), &graph));
        let parents = Parents::open(dir.path(), &graph, &QUIET).unwrap();
        assert!(is_ready(dir.path(), &graph));
        let found = digest(&dir.path().join(file_name(&graph)));
        assert_eq!(Some(found.as_str()), known_digest(&graph));
        assert_eq!(parents.of(40), &graph.parents(40));
    }
}

#[test]
fn a_file_that_the_library_left_half_made_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file_name(&small()));
    fs::write(&path, vec![0; (small().n_nodes() * ENTRY_BYTES) as usize]).unwrap();
    Parents::open(dir.path(), &small(), &QUIET).unwrap();
    assert_eq!(Some(digest(&path).as_str()), known_digest(&small()));
}

#[test]
fn a_file_that_was_changed_after_it_was_marked_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    Parents::open(dir.path(), &small(), &QUIET).unwrap();
    let path = dir.path().join(file_name(&small()));
    // The clock of file systems is coarse: wait until a change can be seen.
    thread::sleep(Duration::from_millis(20));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(!is_ready(dir.path(), &small()));
    Parents::open(dir.path(), &small(), &QUIET).unwrap();
    assert_eq!(Some(digest(&path).as_str()), known_digest(&small()));
}

#[test]
fn a_good_file_of_the_library_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file_name(&small()));
    Parents::open(dir.path(), &small(), &QUIET).unwrap();
    fs::remove_file(marker(&path)).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    Parents::open(dir.path(), &small(), &QUIET).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn a_stop_leaves_nothing_half_made() {
    let dir = tempfile::tempdir().unwrap();
    let stopped = Watch {
        on_nodes: &|_| {},
        check: &|| Err(TaskError::new(Code::Cancelled, "the task was cancelled")),
    };
    Parents::open(dir.path(), &small(), &stopped).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
