// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nodes a second and cycles a node, in lanes of one core: ours, and filecoin-proofs' labelling in
//! turn on the same machine. `make bench-pc1` builds it for the native cpu, which filecoin-proofs
//! needs in order to be fast, and runs it.
//!
//! `bench all 16 24` runs everything in turn, each in a process of its own, and ends with ratios.
//! 2^16 nodes are 2 MiB a layer, 2^24 a sector of 512 MiB.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use sealpipe_pc1::{
    clock,
    graph::Graph,
    label::{Batch, Kernel, Lane, MAX_LANES},
    memory::{labels::Writer, pages::Pages, supply::Supply},
    parents::{Parents, Watch, directory},
};
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_porep::stacked::{
    StackedBucketGraph,
    create_label::{multi, single},
};

type Tree = filecoin_proofs::SectorShapeBase;

/// Layers that are labelled: the first, and one of those with parents in the layer before.
const N_LAYERS: u32 = 2;

/// Nodes between two looks at the clock.
const STEP_NODES: usize = 1 << 14;

/// Times that small layers are labelled.
const SMALL_ROUNDS: usize = 7;

/// Nodes up to which layers are small: 2 MiB a layer.
const LG_SMALL: u32 = 16;

/// The clock at which hours for a 32 GiB sector are given, and its nodes.
const USUAL_HERTZ: f64 = 3.3e9;
const NODES_32_GIB: f64 = 11.0 * (1_u64 << 30) as f64;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |i: usize| arguments.get(i).and_then(|text| text.parse::<u32>().ok());
    match (arguments.first().map(String::as_str), number(1), number(2)) {
        (Some("ours"), Some(lg_nodes), Some(lanes)) => ours(lg_nodes, lanes as usize),
        (Some("single"), Some(lg_nodes), None) => library(lg_nodes, false),
        (Some("multicore"), Some(lg_nodes), None) => library(lg_nodes, true),
        (Some("tree"), Some(lg_nodes), None) => tree(lg_nodes),
        (Some("all"), Some(_), _) => {
            arguments[1..].iter().filter_map(|text| text.parse().ok()).for_each(all);
        }
        _ => {
            eprintln!(
                "usage: bench all <lg_nodes>... | ours <lg_nodes> <lanes> | single <lg_nodes> | \
                 multicore <lg_nodes> | tree <lg_nodes>"
            );
            std::process::exit(2);
        }
    }
}

/// Runs all that can be compared, in turn, and prints ratios.
fn all(lg_nodes: u32) {
    let lg = lg_nodes.to_string();
    let cycles = |arguments: &[&str]| -> Option<f64> {
        let program = std::env::current_exe().ok()?;
        let output = Command::new(program)
            .args(arguments)
            .env("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "1")
            .stderr(Stdio::inherit())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        // The upper layer's line is the last but that of its quickest step.
        let line =
            text.lines().rfind(|line| line.contains("layer 2") && !line.contains("quickest"))?;
        let words: Vec<_> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "cycles")?;
        words.get(at.checked_sub(1)?)?.parse().ok()
    };
    let ours = ["1", "2", "3", "4"].map(|lanes| cycles(&["ours", &lg, lanes]));
    let (single, multicore) = (cycles(&["single", &lg]), cycles(&["multicore", &lg]));
    for (lanes, ours) in (1..).zip(ours) {
        let ratio = |peer: Option<f64>| peer.zip(ours).map_or(f64::NAN, |(peer, ours)| peer / ours);
        println!(
            "2^{lg_nodes} nodes, {lanes} lanes: {:.2} times filecoin-proofs on one core, {:.2} times \
             multicore with one producer, core for core",
            ratio(single),
            ratio(multicore)
        );
    }
}

fn porep_id() -> [u8; 32] {
    let mut id = [0; 32];
    id[0] = 7;
    id
}

/// `cores` is how many of them worked `seconds` for each of `nodes`.
fn line(who: &str, lanes: usize, lg_nodes: u32, layer: u32, seconds: f64, nodes: f64, cores: f64) {
    let hertz = clock::hertz();
    let cycles = seconds * hertz * cores / nodes;
    // A sector's hours on its share of the machine: with all lanes of a core in use.
    let hours = cycles / cores * lanes as f64 * NODES_32_GIB / USUAL_HERTZ / 3600.0;
    println!(
        "{who:<10} lanes {lanes} nodes 2^{lg_nodes} layer {layer}: {:>9.0} nodes/s a core, {cycles:>5.0} \
         cycles a node and core, {hours:>5.2} h for 32 GiB at 3.3 GHz ({:.2} GHz)",
        nodes / seconds / cores,
        hertz * 1e-9
    );
}

fn writer(n_nodes: usize, width: usize) -> Writer {
    let supply = Supply::system(2 * (n_nodes * width * 32) as u64, None);
    let bytes = n_nodes * width * 32;
    let (writer, mut backer) =
        Writer::reserve(n_nodes, width, supply.align(bytes)).expect("addresses");
    backer.back(usize::MAX, &supply).expect("memory");
    writer
}

fn ours(lg_nodes: u32, n_lanes: usize) {
    assert!((1..=MAX_LANES).contains(&n_lanes), "1 to {MAX_LANES} lanes");
    let n_nodes = 1_usize << lg_nodes;
    let graph = Graph::new(n_nodes as u64, porep_id());
    let quiet = Watch { on_nodes: &|_| {}, check: &|| Ok(()) };
    let dir = directory(|name| std::env::var(name).ok());
    let parents = Arc::new(Parents::open(&dir, &graph, &quiet).expect("parents"));
    let lanes: Vec<_> =
        (0..n_lanes).map(|index| Lane { index, replica_id: [index as u32 + 1; 8] }).collect();
    let mut kernel = Kernel::detect();
    let pages = Supply::system(2 * (n_nodes * n_lanes * 32) as u64, None);
    eprintln!("{kernel}, {pages}, {:?} transparent", Pages::transparent_is_on());
    let rounds = if lg_nodes <= LG_SMALL { SMALL_ROUNDS } else { 1 };
    let mut best = [(f64::INFINITY, f64::INFINITY); N_LAYERS as usize];
    for _ in 0..rounds {
        let mut previous = None;
        for layer in 1..=N_LAYERS {
            let current = writer(n_nodes, n_lanes);
            let (parents, lanes) = (parents.clone(), lanes.clone());
            let mut batch = Batch { layer, parents, current, previous: previous.take(), lanes };
            batch.label_first();
            let (began, mut left) = (clock::thread_seconds(), n_nodes - 1);
            let mut quickest = f64::INFINITY;
            while left > 0 {
                let n = left.min(STEP_NODES);
                let step = clock::thread_seconds();
                kernel.advance(&mut [&mut batch], n);
                quickest = quickest.min((clock::thread_seconds() - step) / n as f64);
                left -= n;
            }
            let best = &mut best[layer as usize - 1];
            best.0 = best.0.min(clock::thread_seconds() - began);
            best.1 = best.1.min(quickest);
            previous = Some(batch.current.labels().clone());
        }
    }
    for (layer, (seconds, quickest)) in (1..).zip(best) {
        let nodes = ((n_nodes - 1) * n_lanes) as f64;
        line("ours", n_lanes, lg_nodes, layer, seconds, nodes, 1.0);
        line("  quickest", n_lanes, lg_nodes, layer, quickest, n_lanes as f64, 1.0);
    }
}

/// filecoin-proofs' labelling: one core, or one that hashes and one that produces. It writes its
/// layers to the page cache meanwhile.
fn library(lg_nodes: u32, multicore: bool) {
    let n_nodes = 1_usize << lg_nodes;
    let version = ApiVersion::V1_1_0;
    let graph = StackedBucketGraph::<filecoin_proofs::DefaultTreeHasher>::new_stacked(
        n_nodes,
        6,
        8,
        porep_id(),
        version,
    )
    .expect("a graph");
    let mut parents = graph.parent_cache().expect("parents");
    let dir = std::env::temp_dir().join(format!("sealpipe-bench-{}", std::process::id()));
    let rounds = if lg_nodes <= LG_SMALL { SMALL_ROUNDS } else { 1 };
    let mut best = f64::INFINITY;
    let cores = if multicore { 2.0 } else { 1.0 };
    for _ in 0..rounds {
        std::fs::create_dir_all(&dir).expect("scratch");
        let (began, computed) = (Instant::now(), clock::thread_seconds());
        let id = [1_u8; 32];
        if multicore {
            multi::create_labels_for_encoding::<Tree, _, &PathBuf>(
                &graph,
                &parents,
                N_LAYERS as usize,
                id,
                &dir,
            )
            .expect("labels");
        } else {
            single::create_labels_for_encoding::<Tree, _, &PathBuf>(
                &graph,
                &mut parents,
                N_LAYERS as usize,
                id,
                &dir,
            )
            .expect("labels");
        }
        // What several threads spin away is no measure, so there the machine has to be quiet.
        let seconds = match multicore {
            true => began.elapsed().as_secs_f64(),
            false => clock::thread_seconds() - computed,
        };
        best = best.min(seconds);
        std::fs::remove_dir_all(&dir).expect("scratch");
    }
    let who = if multicore { "multicore" } else { "single" };
    let nodes = (n_nodes - 1) as f64 * f64::from(N_LAYERS);
    line(who, 1, lg_nodes, N_LAYERS, best, nodes, cores);
}

/// Pairs of tree-d a second.
fn tree(lg_nodes: u32) {
    let n_nodes = 1_usize << lg_nodes;
    let nodes: Vec<[u8; 32]> = (0..n_nodes).map(|i| [i as u8; 32]).collect();
    let mut above = vec![[0; 32]; n_nodes / 2];
    for pairs in
        [sealpipe_pc1::tree::pairs::Pairs::detect(), sealpipe_pc1::tree::pairs::Pairs::Portable]
    {
        let mut best = f64::INFINITY;
        for _ in 0..SMALL_ROUNDS {
            let began = clock::thread_seconds();
            pairs.row(&nodes, &mut above);
            best = best.min(clock::thread_seconds() - began);
        }
        let per_pair = best / above.len() as f64;
        println!("tree-d, {pairs:?}: {:.0} cycles a pair", per_pair * clock::hertz());
    }
}
