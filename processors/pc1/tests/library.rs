// SPDX-License-Identifier: MIT OR Apache-2.0

//! Eleven layers, the network's number, against storage-proofs-porep: 8 MiB a layer, with set-up
//! parameters of their own, so that neither vectors nor known digests help.

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

const N_LAYERS: u32 = 11;
const N_NODES: u64 = 1 << 18;
const PATIENCE: Duration = Duration::from_secs(600);

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

#[test]
fn eleven_layers_are_the_librarys() {
    let dir = tempfile::tempdir().unwrap();
    // On several cores: built for any x86-64 it is six times slower on one.
    // The library reads its settings from the working directory, once.
    let cache = dir.path().join("parents");
    fs::create_dir(&cache).unwrap();
    let settings = format!("parent_cache = {cache:?}\nmulticore_sdr_producers = 1\n");
    fs::write(dir.path().join("rust-fil-proofs.config.toml"), settings).unwrap();
    std::env::set_current_dir(dir.path()).unwrap();

    let porep_id = [0x2a; 32];
    let graph = Graph::new(N_NODES, porep_id);
    let quiet = Watch { on_nodes: &|_| {}, check: &|| Ok(()) };
    let ours = Arc::new(Parents::open(&cache, &graph, &quiet).unwrap());
    let params = params(dir.path());
    let shape = Shape { n_layers: N_LAYERS, layer_bytes: N_NODES * 32 };
    let layers = Layers::recover(&params, shape, |_, _| Ok(())).unwrap();
    let sector = Arc::new(Sector::new(replica_id(&params), layers));
    let seats = vec![Seat { cpu: None, lanes: 1 }];
    let hall = Hall::new(seats, Kernel::detect, 1 << 30, None, None, None);
    hall.enter(sector.clone(), ours).unwrap();
    sector.wait(PATIENCE).expect("an end").unwrap();

    let graph =
        StackedBucketGraph::new_stacked(N_NODES as usize, 6, 8, porep_id, ApiVersion::V1_1_0)
            .unwrap();
    // The library takes our parent cache for its own: by its name, which is the test of the name.
    let made =
        fs::metadata(cache.join(parents::file_name(&Graph::new(N_NODES, porep_id)))).unwrap();
    let cached = graph.parent_cache().unwrap();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2, "the library made another file");
    assert_eq!(made.len(), N_NODES * 56);
    let library = dir.path().join("library");
    fs::create_dir(&library).unwrap();
    let id = replica_id(&params).0;
    multi::create_labels_for_encoding::<Tree, _, _>(
        &graph,
        &cached,
        N_LAYERS as usize,
        id,
        &library,
    )
    .unwrap();
    for layer in 1..=N_LAYERS {
        let name = files::layer(layer);
        let ours = fs::read(params.cache_dir.join(&name)).unwrap();
        assert!(ours == fs::read(library.join(&name)).unwrap(), "layer {layer}");
    }
}
