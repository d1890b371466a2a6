// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each kernel against the readable reference: every label of small graphs, in every number of
//! lanes, in lockstep and not, while sectors come and go.

use std::sync::Arc;

use sealpipe_pc1::{
    graph::Graph,
    label::{Batch, Kernel, Lane, reference},
    memory::{
        labels::{Labels, Writer, to_bytes, to_words},
        pages::Pages,
        supply::Supply,
    },
    parents::Parents,
};

type Layer = Vec<[u8; 32]>;

/// splitmix64: what is random here is the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

fn kernels() -> Vec<Kernel> {
    let best = Kernel::detect();
    if matches!(best, Kernel::Portable(_)) {
        assert!(std::env::var_os("REQUIRE_SHANI").is_none(), "this machine has no SHA extensions");
        eprintln!(
            "SKIPPED: this machine has no SHA extensions, only the portable kernel is tested"
        );
        return vec![best];
    }
    vec![best, Kernel::portable()]
}

fn replica_id(sector: usize) -> [u8; 32] {
    let mut id = [sector as u8 + 1; 32];
    id[7] = 0xa5;
    id
}

/// Layers of a sector, by the reference.
fn reference_layers(parents: &Parents, sector: usize, n_layers: u32) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for layer in 1..=n_layers {
        let mut labels = Layer::new();
        for node in 0..parents.n_nodes() {
            let (base, expander) = parents.of(node).split_at(6);
            let mut of_parents = Vec::new();
            if node > 0 {
                of_parents.extend(base.iter().map(|parent| labels[*parent as usize]));
                if let Some(before) = layers.last() {
                    of_parents.extend(expander.iter().map(|parent| before[*parent as usize]));
                }
            }
            let label = reference::label(&replica_id(sector), layer, node as u64, &of_parents);
            labels.push(label);
        }
        layers.push(labels);
    }
    layers
}

fn writer(n_nodes: usize, width: usize) -> Writer {
    let supply = Supply::System { pages: Pages::Plain, node: None };
    let (writer, mut backer) = Writer::reserve(n_nodes, width, 4096).unwrap();
    backer.back(usize::MAX, &supply).unwrap();
    writer
}

fn batch(
    parents: &Arc<Parents>,
    sectors: &[usize],
    layer: u32,
    previous: Option<Arc<Labels>>,
) -> Batch {
    let lane = |(index, sector): (usize, &usize)| Lane {
        index,
        replica_id: to_words(&replica_id(*sector)),
    };
    let lanes = sectors.iter().enumerate().map(lane).collect();
    let current = writer(parents.n_nodes(), sectors.len());
    let mut batch = Batch { layer, parents: parents.clone(), current, previous, lanes };
    batch.label_first();
    batch
}

#[track_caller]
fn check(batch: &Batch, lane: usize, expected: &[Layer]) {
    let labels = batch.current.labels();
    let expected = &expected[batch.layer as usize - 1];
    for (node, expected) in expected.iter().enumerate().take(labels.published()) {
        let found = to_bytes(labels.get(node, lane));
        assert_eq!(&found, expected, "lane {lane}, layer {}, node {node}", batch.layer);
    }
}

#[test]
fn every_number_of_lanes_in_lockstep() {
    for lg_nodes in [1, 2, 3, 6, 10] {
        let parents = Arc::new(Parents::compute(&Graph::new(1 << lg_nodes, [7; 32])));
        let expected: Vec<_> = (0..4).map(|s| reference_layers(&parents, s, 3)).collect();
        for mut kernel in kernels() {
            for width in 1..=4 {
                let sectors: Vec<_> = (0..width).collect();
                let mut previous = None;
                for layer in 1..=3 {
                    let mut batch = batch(&parents, &sectors, layer, previous.take());
                    kernel.advance(&mut [&mut batch], parents.n_nodes() - 1);
                    sectors.iter().for_each(|s| check(&batch, *s, &expected[*s]));
                    previous = Some(batch.current.labels().clone());
                }
            }
        }
    }
}

#[test]
fn steps_of_any_length() {
    let parents = Arc::new(Parents::compute(&Graph::new(1 << 9, [3; 32])));
    let expected: Vec<_> = (0..4).map(|s| reference_layers(&parents, s, 1)).collect();
    for mut kernel in kernels() {
        let mut random = Random(1);
        let mut batch = batch(&parents, &[0, 1, 2, 3], 1, None);
        let mut left = parents.n_nodes() - 1;
        while left > 0 {
            let n = random.next(5).min(left);
            kernel.advance(&mut [&mut batch], n);
            left -= n;
        }
        (0..4).for_each(|lane| check(&batch, lane, &expected[lane]));
    }
}

/// A group of sectors on its way.
struct Group {
    sectors: Vec<usize>,
    batch: Batch,
}

#[test]
fn groups_in_different_layers_share_a_core_while_sectors_come_and_go() {
    const N_LAYERS: u32 = 3;
    let parents = Arc::new(Parents::compute(&Graph::new(1 << 8, [9; 32])));
    let other = Arc::new(Parents::compute(&Graph::new(1 << 6, [8; 32])));
    let graphs = [&parents, &other];
    let expected: Vec<Vec<_>> = graphs
        .iter()
        .map(|graph| (0..4).map(|s| reference_layers(graph, s, N_LAYERS)).collect())
        .collect();
    for mut kernel in kernels() {
        let mut random = Random(2);
        let mut groups: Vec<(usize, Group)> = Vec::new();
        let (mut finished, mut left_early) = (0, 0);
        while finished < 60 {
            let used: usize = groups.iter().map(|(_, group)| group.batch.lanes.len()).sum();
            if used < 4 && random.next(3) == 0 {
                let width = random.next(4 - used) + 1;
                let sectors: Vec<_> = (0..width).map(|_| random.next(4)).collect();
                let graph = random.next(2);
                let batch = batch(graphs[graph], &sectors, 1, None);
                groups.push((graph, Group { sectors, batch }));
            }
            if random.next(20) == 0
                && let Some((_, group)) = groups.first_mut()
            {
                group.batch.lanes.pop();
                left_early += 1;
            }
            groups.retain(|(_, group)| !group.batch.lanes.is_empty());
            let mut batches: Vec<_> =
                groups.iter_mut().map(|(_, group)| &mut group.batch).collect();
            let room =
                |batch: &&mut Batch| batch.parents.n_nodes() - batch.current.labels().published();
            let Some(most) = batches.iter().map(room).min() else { continue };
            kernel.advance(&mut batches, (random.next(100) + 1).min(most));
            for (graph, group) in &mut groups {
                let labels = group.batch.current.labels().clone();
                if labels.published() < labels.n_nodes() {
                    continue;
                }
                for lane in &group.batch.lanes {
                    let sector = group.sectors[lane.index];
                    check(&group.batch, lane.index, &expected[*graph][sector]);
                }
                if group.batch.layer == N_LAYERS {
                    group.batch.lanes.clear();
                    finished += 1;
                    continue;
                }
                let (layer, lanes) = (group.batch.layer + 1, group.batch.lanes.clone());
                group.batch = batch(graphs[*graph], &group.sectors, layer, Some(labels));
                group.batch.lanes = lanes;
            }
        }
        assert!(left_early > 0);
    }
}

#[test]
fn parents_that_no_graph_has_stay_within_memory() {
    // Whatever stands in a parent cache, a kernel reads labels of this sector and nothing else.
    let graph = Graph::new(1 << 6, [5; 32]);
    let parents = Arc::new(Parents::compute(&graph));
    let wild = Arc::new(Parents::from_entries(vec![[u32::MAX; 14]; 1 << 6]));
    for mut kernel in kernels() {
        let mut first = batch(&parents, &[0, 1, 2], 1, None);
        kernel.advance(&mut [&mut first], parents.n_nodes() - 1);
        let previous = Some(first.current.labels().clone());
        let mut second = batch(&wild, &[0, 1, 2], 2, previous);
        kernel.advance(&mut [&mut second], wild.n_nodes() - 1);
        let labels = second.current.labels();
        let node = 40;
        // What is not labelled yet is zero.
        let later = [0; 32];
        let last = to_bytes(first.current.labels().get(wild.n_nodes() - 1, 1));
        let of_parents = [[later; 6].as_slice(), &[last; 8]].concat();
        let expected = reference::label(&replica_id(1), 2, node as u64, &of_parents);
        assert_eq!(to_bytes(labels.get(node, 1)), expected);
    }
}
