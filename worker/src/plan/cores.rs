// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which cores label, and which are left for everything else: L3 group by L3 group, node by node.

use std::collections::BTreeMap;

use sealpipe_protocol::placement::CpuList;

use crate::hardware::{Core, Hardware, Node};

/// A node's cores for one cpu in so many stay free, up to [`MOST_KEPT`]: for the system and whoever
/// looks after it.
const CORES_PER_KEPT: usize = 24;

/// Cores of a node that stay free at most.
const MOST_KEPT: usize = 2;

/// What pc1 gets of a node, in L3 groups of one size: one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelling {
    /// The node.
    pub node: u32,
    /// Tasks at once.
    pub tasks: usize,
    /// The cpus of the entry: whole groups.
    pub cpus: CpuList,
    /// Those of them on which its tasks run. The others of each group serve other stages.
    pub bound: CpuList,
}

/// A node's share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The node.
    pub node: u32,
    /// What labels.
    pub pc1: Vec<Labelling>,
    /// Cores for pc2 and c2, those between labelling ones first: each its cpus.
    pub spare: Vec<CpuList>,
    /// Cores that nobody gets.
    pub kept: Vec<CpuList>,
}

/// What pc1 needs: so many cores of one L3 group for so many tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Cores.
    pub cores: usize,
    /// Tasks that share them.
    pub lanes: usize,
}

impl Unit {
    /// Tasks that a group of cores takes.
    fn room(self, n_cores: usize) -> usize {
        n_cores / self.cores * self.lanes
    }
}

/// The nodes with cpus.
pub fn nodes(hardware: &Hardware) -> Vec<&Node> {
    hardware.nodes().filter(|node| node.cores().next().is_some()).collect()
}

/// Tasks that a node's L3 groups take, but for the last `reserved` ones.
pub fn room(node: &Node, unit: Unit, reserved: usize) -> usize {
    let groups = node.l3_groups.iter().rev().skip(reserved);
    groups.map(|group| unit.room(group.cores.len())).sum()
}

/// Divides a node: its first groups label, as many as it takes for `tasks`.
pub fn share(node: &Node, tasks: usize, unit: Unit) -> Share {
    let mut left = tasks;
    let mut by_size: BTreeMap<usize, Vec<&[Core]>> = BTreeMap::new();
    let mut others = Vec::new();
    for group in node.l3_groups.iter().map(|group| group.cores.as_slice()) {
        if left == 0 || unit.room(group.len()) == 0 {
            others.push(group);
            continue;
        }
        left = left.saturating_sub(unit.room(group.len()));
        by_size.entry(group.len()).or_default().push(group);
    }
    let mut share =
        Share { node: node.index, pc1: Vec::new(), spare: Vec::new(), kept: Vec::new() };
    let mut left = tasks;
    // filecoin-proofs takes groups of one size at a time. Larger ones first: they are the usual ones.
    for (size, groups) in by_size.into_iter().rev() {
        let n = left.min(groups.len() * unit.room(size));
        left -= n;
        share.pc1.push(labelling(node.index, n, unit, &groups, &mut share.spare));
    }
    share.spare.sort_by_key(|cpus| cpus.iter().next());
    let between = share.spare.len();
    share.spare.extend(others.into_iter().flatten().map(|core| core.cpus.clone()));
    keep(&mut share, between, node.cores().count());
    share
}

/// The labelling of some groups of one size. Each serves a task before any serves its second; what
/// is left of them is spare.
fn labelling(
    node: u32,
    tasks: usize,
    unit: Unit,
    groups: &[&[Core]],
    spare: &mut Vec<CpuList>,
) -> Labelling {
    let mut bound = Vec::new();
    let units = tasks.div_ceil(unit.lanes);
    for (index, group) in groups.iter().enumerate() {
        let own = units / groups.len() + usize::from(index < units % groups.len());
        let (ours, others) = group.split_at(own * unit.cores);
        bound.extend(ours.iter().flat_map(|core| core.cpus.iter()));
        spare.extend(others.iter().map(|core| core.cpus.clone()));
    }
    let cpus = groups.iter().flat_map(|group| group.iter()).flat_map(|core| core.cpus.iter());
    Labelling { node, tasks, cpus: cpus.collect(), bound: bound.into_iter().collect() }
}

/// Keeps some cores free: the last of those between labelling ones, or of all that are spare.
fn keep(share: &mut Share, between: usize, n_cores: usize) {
    let wanted = (n_cores / CORES_PER_KEPT).min(MOST_KEPT).min(share.spare.len());
    let end = if between >= wanted { between } else { share.spare.len() };
    share.kept = share.spare.drain(end - wanted..end).collect();
}
