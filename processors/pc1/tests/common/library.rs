// SPDX-License-Identifier: MIT OR Apache-2.0

//! Labels of the same sector by this crate and by storage-proofs-porep.

use std::{fs, path::Path, sync::Arc, time::Duration};

use sealpipe_pc1::{
    graph::Graph,
    hall::{Hall, Seat, Sector},
    label::Kernel,
    layers::{Layers, Shape},
    parents::{self, Parents, Watch},
    processor::replica_id,
};
use sealpipe_protocol::{
    Bytes32,
    stage::{files, pc1::Params, proof::SealProof},
};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_porep::stacked::{StackedBucketGraph, create_label::multi};

type Tree = filecoin_proofs::SectorShapeBase;

const PATIENCE: Duration = Duration::from_secs(3600);

fn params(dir: &Path) -> Params {
    fs::create_dir(dir.join("cache")).unwrap();
    fs::create_dir(dir.join("work")).unwrap();
    Params {
        proof: SealProof::StackedDrg8MiBV1_1,
        prover_id: Bytes32([3; 32]),
        sector_number: 11,
        ticket: Bytes32([5; 32]),
        pieces: Vec::new(),
        comm_d: Bytes32([1; 32]),
        unsealed_path: dir.join("unsealed"),
        cache_dir: dir.join("cache"),
        work_dir: dir.join("work"),
    }
}

/// Labels a sector of a graph both ways and compares all layers. The library has one set of
/// settings a process, so this is called once in each.
pub fn compare(n_nodes: u64, n_layers: u32, porep_id: [u8; 32]) {
    let dir = tempfile::tempdir().unwrap();
    // On several cores: built for any x86-64 the library is six times slower on one. It reads its
    // settings from the working directory.
    let cache = dir.path().join("parents");
    fs::create_dir(&cache).unwrap();
    let settings = format!("parent_cache = {cache:?}\nmulticore_sdr_producers = 1\n");
    fs::write(dir.path().join("rust-fil-proofs.config.toml"), settings).unwrap();
    std::env::set_current_dir(dir.path()).unwrap();

    let graph = Graph::new(n_nodes, porep_id);
    let quiet = Watch { on_nodes: &|_| {}, check: &|| Ok(()) };
    let ours = Arc::new(Parents::open(&cache, &graph, &quiet).unwrap());
    let params = params(dir.path());
    let shape = Shape { n_layers, layer_bytes: n_nodes * 32 };
    let layers = Layers::recover(&params, shape, |_, _| Ok(())).unwrap();
    let sector = Arc::new(Sector::new(replica_id(&params), layers));
    let seats = vec![Seat { cpu: None, lanes: 1 }];
    let hall = Hall::new(seats, Kernel::detect, 4 << 30, None, None, None);
    hall.enter(sector.clone(), ours).unwrap();
    sector.wait(PATIENCE).expect("an end").unwrap();

    // The library takes our parent cache for its own, by its name.
    let made = fs::metadata(cache.join(parents::file_name(&graph))).unwrap();
    let version = ApiVersion::V1_1_0;
    let graph = StackedBucketGraph::new_stacked(n_nodes as usize, 6, 8, porep_id, version).unwrap();
    let cached = graph.parent_cache().unwrap();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2, "the library made another file");
    assert_eq!(made.len(), n_nodes * 56);
    let library = dir.path().join("library");
    fs::create_dir(&library).unwrap();
    let (id, n_layers) = (replica_id(&params).0, n_layers as usize);
    multi::create_labels_for_encoding::<Tree, _, _>(&graph, &cached, n_layers, id, &library)
        .unwrap();
    for layer in 1..=n_layers as u32 {
        let name = files::layer(layer);
        let ours = fs::read(params.cache_dir.join(&name)).unwrap();
        assert!(ours == fs::read(library.join(&name)).unwrap(), "layer {layer}");
    }
}
