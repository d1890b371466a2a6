// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory a sector, measured: one group, and seven staggered ones that share a pool of 11 layers
//! where two layers each would be 14. Prints the peak of the process' resident memory beyond what it
//! had before, in layers a sector.
//!
//! `memory <groups> <lanes> <pool, in layers of a group>`

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sealpipe_pc1::{
    graph::Graph,
    hall::{Hall, Seat, Sector},
    label::Kernel,
    layers::{Layers, Shape},
    parents::Parents,
    processor::replica_id,
};
use sealpipe_protocol::{
    Bytes32,
    stage::{pc1::Params, proof::SealProof},
};

const LG_NODES: u32 = 19;
const LAYER_BYTES: u64 = 32 << LG_NODES;
const N_LAYERS: u32 = 6;

fn main() {
    let number = |i| std::env::args().nth(i).and_then(|text| text.parse::<u64>().ok());
    let (Some(groups), Some(lanes), Some(layers)) = (number(1), number(2), number(3)) else {
        eprintln!("usage: memory <groups> <lanes> <pool, in layers of a group>");
        std::process::exit(2);
    };
    let parents = Arc::new(Parents::compute(&Graph::new(1 << LG_NODES, [1; 32])));
    let seats = vec![Seat { cpu: None, lanes: lanes as usize }; groups as usize];
    let pool = layers * lanes * LAYER_BYTES;
    // Long enough that the sectors of a group meet.
    let gather = Some(Duration::from_millis(200));
    let hall = Hall::new(seats, Kernel::detect, pool, None, None, gather);
    let scratch = std::env::temp_dir().join(format!("sealpipe-memory-{}", std::process::id()));
    let before = resident();
    let (mut sectors, mut mean, mut n_samples, mut peak) = (Vec::new(), 0.0, 0.0, 0_u64);
    for i in 0..groups * lanes {
        let sector = Arc::new(sector(&scratch, i));
        hall.enter(sector.clone(), parents.clone()).expect("a thread");
        sectors.push(sector);
        if (i + 1) % lanes == 0 {
            // The next group is on its way a part of a layer later.
            thread::sleep(Duration::from_millis(600));
        }
    }
    let began = Instant::now();
    while sectors.iter().any(|sector| !sector.has_left()) {
        let now = resident().saturating_sub(before);
        peak = peak.max(now);
        if sectors.iter().all(|sector| !sector.has_left() && sector.n_finished() > 0) {
            mean += now as f64;
            n_samples += 1.0;
        }
        thread::sleep(Duration::from_millis(5));
    }
    for sector in &sectors {
        if let Some(Err(error)) = sector.wait(Duration::ZERO) {
            eprintln!("error: {error}");
        }
    }
    let unit = (groups * lanes * LAYER_BYTES) as f64;
    let granted = hall.pool().lock().map_or(0, |pool| pool.peak());
    println!(
        "{groups} groups of {lanes}, pool of {layers} layers: {:.2} sector sizes a sector at most, \
         {:.2} on average once all are past layer 1, {:.2} granted at most, {:.1} s",
        peak as f64 / unit,
        mean / n_samples / unit,
        granted as f64 / unit,
        began.elapsed().as_secs_f64()
    );
    let _ = fs::remove_dir_all(scratch);
}

fn sector(scratch: &std::path::Path, i: u64) -> Sector {
    let dir = scratch.join(i.to_string());
    let params = Params {
        proof: SealProof::StackedDrg8MiBV1_1,
        prover_id: Bytes32([3; 32]),
        sector_number: i,
        ticket: Bytes32([5; 32]),
        pieces: Vec::new(),
        comm_d: Bytes32([1; 32]),
        unsealed_path: dir.join("unsealed"),
        cache_dir: dir.join("cache"),
        work_dir: dir.join("work"),
    };
    fs::create_dir_all(&params.cache_dir).expect("scratch");
    fs::create_dir_all(&params.work_dir).expect("scratch");
    let shape = Shape { n_layers: N_LAYERS, layer_bytes: LAYER_BYTES };
    let layers = Layers::recover(&params, shape, |_, _| Ok(())).expect("scratch");
    Sector::new(replica_id(&params), layers)
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
