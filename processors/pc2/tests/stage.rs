// SPDX-License-Identifier: MIT OR Apache-2.0

//! The stage against the golden vectors and the reference processor, bit for bit: on the CPU everywhere, on a
//! GPU where there is one. `REQUIRE_GPU=1` turns the skip into a failure.

#[path = "../../reference/tests/common/mod.rs"]
mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::Sector;
use sealpipe_gpu::device;
use sealpipe_pc2::{
    cpu::Hashes,
    gpu::Gpus,
    plan::{DEFAULT_ROWS_TO_DISCARD, Shape, batch_limit},
    poseidon::{encode, is_canonical},
    sector::{Inputs, Outputs},
    stage::{self, Backend, Settings, Watch, Work},
};
use sealpipe_protocol::{Bytes32, Code, stage::files};

const DEFAULTS: Settings =
    Settings { batch_limit: 400_000, rows_to_discard: DEFAULT_ROWS_TO_DISCARD };

/// What there is to compute on: always the CPU.
fn backends() -> Vec<Backend> {
    let mut found = vec![Backend::Cpu];
    match device::all() {
        Ok(devices) => found.push(Backend::Cuda(Gpus::new(&devices, 4).unwrap())),
        Err(error) if std::env::var_os("REQUIRE_GPU").is_none() => {
            eprintln!("SKIPPED on the GPU: {error}");
        }
        Err(error) => panic!("REQUIRE_GPU is set: {error}"),
    }
    found
}

/// What pc2 has written in a sector's directory.
fn outputs(sector: &Sector) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for name in sector.names("cache").iter().filter(|n| !n.contains("layer") && *n != files::TREE_D)
    {
        found.insert(name.clone(), fs::read(sector.cache_dir().join(name)).unwrap());
    }
    found.insert("sealed".to_owned(), fs::read(sector.path("sealed")).unwrap());
    found
}

fn clear(sector: &Sector) {
    for name in outputs(sector).into_keys().filter(|name| name != "sealed") {
        fs::remove_file(sector.cache_dir().join(name)).unwrap();
    }
    fs::remove_file(sector.path("sealed")).unwrap();
}

fn labelled(name: &'static str) -> Sector {
    let sector = Sector::new(name).staged();
    sector.pc1().unwrap();
    sector
}

fn check(name: &'static str) {
    let sector = labelled(name);
    let hashes = Hashes::default();
    for backend in backends() {
        let params = sector.pc2_params();
        let output = stage::run(&params, DEFAULTS, &backend, &hashes, &Watch::nobody()).unwrap();
        assert_eq!(output.comm_r, sector.vector.bytes32("comm_r"), "{name}");
        assert_eq!(output.comm_c, sector.vector.bytes32("comm_c"), "{name}");
        assert_eq!(output.comm_r_last, sector.vector.bytes32("comm_r_last"), "{name}");
        assert_eq!(sector.digest("sealed").0, sector.vector.digest("sealed"), "{name}");
        assert_eq!(sector.digest("unsealed").0, sector.vector.digest("unsealed"), "{name}");
        sector.check_files(|_| true);
        let hidden = sector.names("cache").into_iter().filter(|name| name.starts_with('.'));
        assert_eq!(hidden.count(), 0, "{name}");
    }
}

#[test]
fn a_2kib_sector_of_committed_capacity() {
    check("2KiB-cc");
}

#[test]
fn a_2kib_sector_of_data_and_t_aux_are_those_of_the_reference() {
    check("2KiB-data");
    let sector = labelled("2KiB-data");
    let hashes = Hashes::default();
    sector.pc2().unwrap();
    let theirs = outputs(&sector);
    assert!(theirs.contains_key(files::T_AUX), "{:?}", theirs.keys());
    for backend in backends() {
        clear(&sector);
        stage::run(&sector.pc2_params(), DEFAULTS, &backend, &hashes, &Watch::nobody()).unwrap();
        assert_eq!(outputs(&sector), theirs);
    }
}

#[test]
fn an_8mib_sector_of_data() {
    check("8MiB-data");
}

#[test]
fn what_an_interrupted_attempt_left_changes_nothing() {
    let sector = labelled("2KiB-data");
    for name in [".sc-02-data-tree-c.dat.part", ".sc-02-data-tree-r-last.dat.part", ".p_aux.part"] {
        fs::write(sector.cache_dir().join(name), [7; 100_000]).unwrap();
    }
    fs::write(sector.path(".sealed.part"), [9; 5]).unwrap();
    // An output of some other sector, under its final name.
    fs::write(sector.cache_dir().join("sc-02-data-tree-c.dat"), [1; 2_336]).unwrap();
    let hashes = Hashes::default();
    for _ in 0..2 {
        let params = sector.pc2_params();
        stage::run(&params, DEFAULTS, &Backend::Cpu, &hashes, &Watch::nobody()).unwrap();
        sector.check_files(|_| true);
        assert_eq!(sector.digest("sealed").0, sector.vector.digest("sealed"));
        assert!(!sector.path(".sealed.part").exists());
    }
}

/// The error of a sector to which something was done; nothing may be left under a final name.
fn refused(spoil: impl FnOnce(&Sector), code: Code, text: &str) {
    let sector = labelled("2KiB-data");
    spoil(&sector);
    let error = stage::run(
        &sector.pc2_params(),
        DEFAULTS,
        &Backend::Cpu,
        &Hashes::default(),
        &Watch::nobody(),
    )
    .unwrap_err();
    assert_eq!(error.known_code(), Some(code), "{error}");
    assert!(error.message.contains(text), "{error}");
    assert!(!sector.path("sealed").exists());
    let names = sector.names("cache");
    assert!(!names.iter().any(|name| name.contains("tree-c") || name.contains("aux")), "{names:?}");
}

#[test]
fn inputs_that_are_wrong_are_named() {
    let layer = |sector: &Sector| sector.layer(2);
    refused(|s| fs::remove_file(layer(s)).unwrap(), Code::InputUnavailable, "layer 2");
    refused(
        |s| fs::write(layer(s), [0; 7]).unwrap(),
        Code::InvalidInput,
        "has 7 bytes, expected 2048",
    );
    refused(
        |s| fs::write(layer(s), [0; 2048]).unwrap(),
        Code::InvalidInput,
        "no labels of replica",
    );
    let unsealed = |sector: &Sector| sector.path("unsealed");
    refused(
        |s| fs::write(unsealed(s), [0xff; 2048]).unwrap(),
        Code::InvalidInput,
        "node 0 of the unsealed",
    );
    let tree_d = |sector: &Sector| sector.cache_dir().join(files::TREE_D);
    refused(|s| fs::write(tree_d(s), [1; 4_064]).unwrap(), Code::InvalidInput, "has the root 0101");
}

/// Random nodes below r.
fn nodes(seed: u64, n: usize) -> Vec<u8> {
    let mut bytes = common_pattern(seed, n * 32);
    bytes.chunks_exact_mut(32).for_each(|node| node[31] &= 0x3f);
    bytes
}

fn common_pattern(seed: u64, n: usize) -> Vec<u8> {
    let word = |j: u64| {
        let z = (seed.wrapping_mul(1 << 40) + j + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..).flat_map(|j| word(j).to_le_bytes()).take(n).collect()
}

/// Computes a synthetic sector and gives its files.
fn synthetic(
    shape: Shape,
    settings: Settings,
    backend: &Backend,
    dir: &Path,
) -> BTreeMap<String, Vec<u8>> {
    let paths: Vec<_> = (0..=shape.n_layers).map(|i| dir.join(format!("input-{i}"))).collect();
    for (path, seed) in paths.iter().zip(1..) {
        fs::write(path, nodes(seed, shape.nodes() as usize)).unwrap();
    }
    let cache_dir = dir.join("cache");
    fs::create_dir_all(&cache_dir).unwrap();
    let inputs = Inputs::open_files(&paths, shape.nodes()).unwrap();
    let outputs = Outputs::create(shape, &dir.join("sealed"), &cache_dir).unwrap();
    let work = Work { shape, settings, cache_dir: &cache_dir };
    work.run(&inputs, outputs, backend, &Hashes::default(), &Watch::nobody()).unwrap();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&cache_dir).unwrap() {
        let entry = entry.unwrap();
        found.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    }
    found.insert("sealed".to_owned(), fs::read(dir.join("sealed")).unwrap());
    found
}

#[test]
fn eleven_layers_and_several_trees_are_right_and_the_same_everywhere() {
    let hashes = Hashes::default();
    for (n_trees, discard) in [(1, 2), (8, 1), (16, 0)] {
        let shape = Shape::new(11, n_trees, 64, discard);
        let dir = tempfile::tempdir().unwrap();
        let of_cpu = synthetic(shape, DEFAULTS, &Backend::Cpu, dir.path());
        // By plain loops over the inputs.
        let inputs: Vec<Vec<u8>> =
            (1..=12).map(|seed| nodes(seed, shape.nodes() as usize)).collect();
        let node =
            |i: usize, at: usize| -> &[u8; 32] { inputs[i][at * 32..][..32].try_into().unwrap() };
        let leaves: Vec<[u8; 32]> = (0..shape.nodes() as usize)
            .map(|at| hashes.eleven.hash((0..11).map(|layer| node(layer, at))))
            .collect();
        let replica: Vec<[u8; 32]> =
            (0..shape.nodes() as usize).map(|at| encode(node(11, at), node(10, at))).collect();
        assert!(replica.iter().all(is_canonical));
        assert_eq!(of_cpu["sealed"], replica.as_flattened());
        let up = |row: &[[u8; 32]]| -> Vec<[u8; 32]> {
            row.chunks_exact(8).map(|eight| hashes.octree.hash(eight)).collect()
        };
        for tree in 0..n_trees as usize {
            let row_0 = &leaves[tree * 64..][..64];
            let row_1 = up(row_0);
            let name = if n_trees == 1 { String::new() } else { format!("-{tree}") };
            let expected = [row_0, &row_1, &up(&row_1)].concat();
            assert_eq!(of_cpu[&format!("sc-02-data-tree-c{name}.dat")], expected.as_flattened());
            let kept = up(&up(&replica[tree * 64..][..64]));
            assert_eq!(of_cpu[&format!("sc-02-data-tree-r-last{name}.dat")], kept.as_flattened());
        }
        for backend in backends().into_iter().skip(1) {
            for limit in [8, 64, 400_000] {
                let settings = Settings { batch_limit: limit, ..DEFAULTS };
                let found = synthetic(shape, settings, &backend, dir.path());
                assert_eq!(found, of_cpu, "{n_trees} trees, batches of {limit}");
            }
        }
    }
}

#[test]
fn the_roots_of_several_trees_are_joined_as_the_protocol_says() {
    let dir = tempfile::tempdir().unwrap();
    let hashes = Hashes::default();
    let shape = Shape::new(2, 16, 8, 2);
    let files = synthetic(shape, DEFAULTS, &Backend::Cpu, dir.path());
    let root = |tree: usize| -> [u8; 32] {
        let file = &files[&format!("sc-02-data-tree-c-{tree}.dat")];
        file[file.len() - 32..].try_into().unwrap()
    };
    let roots: Vec<_> = (0..16).map(root).collect();
    let halves = [hashes.octree.hash(&roots[..8]), hashes.octree.hash(&roots[8..])];
    assert_eq!(files[files::P_AUX][..32], hashes.pair.hash(&halves));
    assert_eq!(batch_limit(None, None), 400_000);
    assert_ne!(Bytes32(halves[0]), Bytes32(halves[1]));
}
