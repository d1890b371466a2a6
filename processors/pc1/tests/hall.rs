// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sectors that start at different times, leave, are resumed, and share memory: always the same
//! bytes, and at most the running layer again.

use std::{
    fs,
    path::Path,
    sync::{Arc, LazyLock},
    thread,
    time::Duration,
};

use sealpipe_pc1::{
    graph::Graph,
    hall::{Hall, Seat, Sector},
    label::{Kernel, reference},
    layers::{Layers, Shape},
    memory::supply::{FilePool, Supply},
    parents::Parents,
    processor::replica_id,
};
use sealpipe_protocol::{
    Bytes32, Code,
    stage::{files, pc1::Params, proof::SealProof},
};
use tempfile::TempDir;

const N_LAYERS: u32 = 5;
const LG_NODES: u32 = 13;
const LAYER_BYTES: u64 = 32 << LG_NODES;
const SHAPE: Shape = Shape { n_layers: N_LAYERS, layer_bytes: LAYER_BYTES };
/// Long enough for sectors that enter one after the other to meet.
const GATHER: Option<Duration> = Some(Duration::from_millis(10));
const PATIENCE: Duration = Duration::from_secs(300);

static PARENTS: LazyLock<Arc<Parents>> =
    LazyLock::new(|| Arc::new(Parents::compute(&Graph::new(1 << LG_NODES, [4; 32]))));

/// A sector's directories.
struct Home {
    dir: TempDir,
    params: Params,
}

impl Home {
    fn new(number: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("cache")).unwrap();
        fs::create_dir(path("work")).unwrap();
        let params = Params {
            // The size is the test's own: see SHAPE.
            proof: SealProof::StackedDrg8MiBV1_1,
            prover_id: Bytes32([9; 32]),
            sector_number: number,
            ticket: Bytes32([number as u8; 32]),
            pieces: Vec::new(),
            comm_d: Bytes32([1; 32]),
            unsealed_path: path("unsealed"),
            cache_dir: path("cache"),
            work_dir: path("work"),
        };
        Self { dir, params }
    }

    fn layers(&self) -> Layers {
        Layers::recover(&self.params, SHAPE, |_, _| Ok(())).unwrap()
    }

    fn sector(&self) -> Arc<Sector> {
        Arc::new(Sector::new(replica_id(&self.params), self.layers()))
    }

    fn layer(&self, layer: u32) -> std::path::PathBuf {
        self.params.cache_dir.join(files::layer(layer))
    }

    #[track_caller]
    fn check(&self) {
        let expected = reference_layers(&replica_id(&self.params).0);
        for (layer, expected) in (1..).zip(&expected) {
            assert!(fs::read(self.layer(layer)).unwrap() == *expected, "layer {layer}");
        }
        assert_eq!(names(&self.params.cache_dir), N_LAYERS as usize);
    }
}

fn names(dir: &Path) -> usize {
    fs::read_dir(dir).unwrap().count()
}

fn reference_layers(replica_id: &[u8; 32]) -> Vec<Vec<u8>> {
    let mut layers: Vec<Vec<[u8; 32]>> = Vec::new();
    for layer in 1..=N_LAYERS {
        let mut labels: Vec<[u8; 32]> = Vec::new();
        for (node, parents) in PARENTS.all().iter().enumerate() {
            let mut of_parents = Vec::new();
            if node > 0 {
                of_parents.extend(parents[..6].iter().map(|parent| labels[*parent as usize]));
                let before = layers.last().into_iter();
                of_parents.extend(
                    before.flat_map(|b| parents[6..].iter().map(|parent| b[*parent as usize])),
                );
            }
            labels.push(reference::label(replica_id, layer, node as u64, &of_parents));
        }
        layers.push(labels);
    }
    layers.iter().map(|labels| labels.as_flattened().to_vec()).collect()
}

fn hall(lanes: &[usize], memory_layers: u64) -> Arc<Hall> {
    let seats = lanes.iter().map(|lanes| Seat { cpu: None, lanes: *lanes }).collect();
    Hall::new(seats, Kernel::detect, memory_layers * LAYER_BYTES, None, None, GATHER)
}

fn finish(sector: &Sector) {
    sector.wait(PATIENCE).expect("an end").unwrap();
}

#[test]
fn sectors_that_come_one_after_the_other_are_the_same_bytes() {
    let hall = hall(&[4, 2, 1], 100);
    let homes: Vec<_> = (0..7).map(Home::new).collect();
    let enter = |home: &Home| {
        let sector = home.sector();
        hall.enter(sector.clone(), PARENTS.clone()).unwrap();
        thread::sleep(Duration::from_millis(3));
        sector
    };
    let sectors: Vec<_> = homes.iter().map(enter).collect();
    sectors.iter().for_each(|sector| finish(sector));
    homes.iter().for_each(Home::check);
}

#[test]
fn a_sector_that_left_goes_on_where_it_was() {
    let hall = hall(&[4], 100);
    let homes: Vec<_> = (10..14).map(Home::new).collect();
    let mut repeated = 0;
    let mut rounds = 0;
    loop {
        let before: Vec<_> = homes.iter().map(|home| home.layers().n_finished()).collect();
        if before.iter().all(|n| *n == N_LAYERS) {
            break;
        }
        let missing = homes.iter().filter(|home| home.layers().n_finished() < N_LAYERS);
        let sectors: Vec<_> = missing.map(Home::sector).collect();
        for sector in &sectors {
            hall.enter(sector.clone(), PARENTS.clone()).unwrap();
        }
        // One leaves when a part of a layer is done, the others go on to the end of one.
        let leaver = &sectors[rounds % sectors.len()];
        let first = leaver.first_layer();
        while leaver.nodes_done() < (1 << LG_NODES) + 100 && leaver.n_finished() < N_LAYERS {
            thread::sleep(Duration::from_micros(200));
        }
        leaver.leave();
        let kept = leaver.n_finished();
        assert!(kept >= first || kept == N_LAYERS);
        sectors.iter().filter(|s| !Arc::ptr_eq(s, leaver)).for_each(|s| finish(s));
        assert!(names(&homes[0].params.cache_dir) <= N_LAYERS as usize);
        repeated += 1;
        rounds += 1;
        assert!(rounds < 40, "it does not come to an end");
    }
    homes.iter().for_each(Home::check);
    assert!(repeated > 0);
}

#[test]
fn layers_that_were_cut_changed_or_anothers_are_not_taken() {
    let hall = hall(&[1], 100);
    let label = |home: &Home| {
        let sector = home.sector();
        hall.enter(sector.clone(), PARENTS.clone()).unwrap();
        finish(&sector);
    };
    let home = Home::new(20);
    label(&home);
    assert_eq!(home.layers().n_finished(), N_LAYERS);
    let check = |spoil: &dyn Fn(), kept: u32| {
        spoil();
        assert_eq!(home.layers().n_finished(), kept);
        assert_eq!(names(&home.params.cache_dir), kept as usize);
        label(&home);
        home.check();
    };
    let cut = |layer| {
        move |home: &Home| {
            let file = fs::File::options().write(true).open(home.layer(layer)).unwrap();
            file.set_len(LAYER_BYTES - 32).unwrap();
        }
    };
    check(&|| cut(4)(&home), 3);
    let flip = || {
        let mut bytes = fs::read(home.layer(3)).unwrap();
        bytes[5000] ^= 1;
        fs::write(home.layer(3), bytes).unwrap();
    };
    check(&flip, 2);
    check(&|| fs::remove_file(home.layer(1)).unwrap(), 0);
    // Another sector's layers and manifest in this one's place.
    let other = Home::new(21);
    label(&other);
    let swap = || {
        for layer in 1..=N_LAYERS {
            fs::copy(other.layer(layer), home.layer(layer)).unwrap();
        }
    };
    check(&swap, 0);
    let swap_all = || {
        swap();
        for entry in fs::read_dir(&other.params.work_dir).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), home.params.work_dir.join(entry.file_name())).unwrap();
        }
    };
    check(&swap_all, 0);
    // No manifest, and half a manifest.
    let manifest = home.params.work_dir.join("pc1-layers.json");
    check(&|| fs::remove_file(&manifest).unwrap(), 0);
    let half = || {
        let text = fs::read(&manifest).unwrap();
        fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    };
    check(&half, 0);
    drop(home.dir);
}

#[test]
fn groups_share_memory_for_one_and_a_half_layers_each() {
    // Seven groups of one; with two layers each they would need fourteen.
    let hall = hall(&[1; 7], 11);
    let homes: Vec<_> = (30..37).map(Home::new).collect();
    let sectors: Vec<_> = homes.iter().map(Home::sector).collect();
    for sector in &sectors {
        hall.enter(sector.clone(), PARENTS.clone()).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    sectors.iter().for_each(|sector| finish(sector));
    homes.iter().for_each(Home::check);
    let peak = hall.pool().lock().unwrap().peak();
    assert!(peak <= 11 * LAYER_BYTES, "{peak}");
}

#[test]
fn memory_that_is_too_little_is_said_at_once() {
    let hall = hall(&[1], 1);
    let home = Home::new(40);
    let sector = home.sector();
    hall.enter(sector.clone(), PARENTS.clone()).unwrap();
    let error = sector.wait(PATIENCE).expect("an end").unwrap_err();
    assert_eq!(error.known_code(), Some(Code::ResourceExhausted));
    assert!(error.message.contains("262144 bytes"), "{error}");
    assert_eq!(hall.pool().lock().unwrap().in_use(), 0);
}

#[test]
fn labels_live_in_huge_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("32.0_GiB_0")).unwrap();
    file.set_len(4 * LAYER_BYTES).unwrap();
    let supply = Supply::Files(FilePool::open(dir.path(), LAYER_BYTES as usize / 2).unwrap());
    let seats = vec![Seat { cpu: None, lanes: 2 }];
    let hall =
        Hall::new(seats, Kernel::detect, supply.capacity().unwrap(), Some(supply), None, None);
    for round in 0..2 {
        let homes: Vec<_> = (50..52).map(|n| Home::new(n + 10 * round)).collect();
        let sectors: Vec<_> = homes.iter().map(Home::sector).collect();
        for sector in &sectors {
            hall.enter(sector.clone(), PARENTS.clone()).unwrap();
            finish(sector);
        }
        homes.iter().for_each(Home::check);
    }
}

#[test]
fn a_disk_that_refuses_ends_its_own_sector_alone() {
    let hall = hall(&[2], 100);
    let homes = [Home::new(70), Home::new(71)];
    let sectors = homes.each_ref().map(Home::sector);
    fs::remove_dir_all(&homes[0].params.cache_dir).unwrap();
    for sector in &sectors {
        hall.enter(sector.clone(), PARENTS.clone()).unwrap();
    }
    let error = sectors[0].wait(PATIENCE).expect("an end").unwrap_err();
    assert!(error.message.contains("cannot write the layer"), "{error}");
    finish(&sectors[1]);
    homes[1].check();
}
