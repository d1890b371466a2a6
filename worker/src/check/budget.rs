// SPDX-License-Identifier: MIT OR Apache-2.0

//! Memory and disks against what tasks and sectors take when most of them are under way.

use std::collections::BTreeMap;

use sealpipe_protocol::{Stage, stage::proof::SealProof};

use crate::{
    config::{Code, Diagnostics, Entry, Processors},
    hardware::{Hardware, size},
    pipeline::layout::room_bytes,
};

use super::needs::memory_bytes;

/// The needs of stages are rounded, and a machine of 2 TiB tells of 1.96: so many hundredths more
/// than there is are let pass.
const SLACK_PERCENT: u64 = 5;

/// The tasks of configured entries that take most memory at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// How many of each entry, in the order of the entries.
    pub tasks: Vec<usize>,
    /// The entries that nothing bounds; each counts one task.
    pub unbounded: Vec<usize>,
}

/// Fills slots, limits and locks with the tasks that take most memory first. Those tasks may well run
/// at once, so that what they need is no exaggeration.
pub fn demand(processors: &Processors, proof: SealProof) -> Demand {
    let entries = &processors.entries;
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|idx| std::cmp::Reverse(memory_bytes(entries[*idx].stage, proof)));
    let mut limits: BTreeMap<Stage, usize> = processors.limitation.concurrent.clone();
    let mut locks = processors.ext_locks.clone();
    let mut sectors = processors.scheduling.sectors_in_flight.set();
    let mut demand = Demand { tasks: vec![0; entries.len()], unbounded: Vec::new() };
    for idx in order {
        let entry = &entries[idx];
        let units = entry.locks.iter().map(|lock| locks.get(lock).copied());
        let bounds = [entry.concurrent, limits.get(&entry.stage).copied(), sectors];
        let bound = bounds.into_iter().chain(units).flatten().min();
        if bound.is_none() {
            demand.unbounded.push(idx);
        }
        let n = bound.unwrap_or(1);
        demand.tasks[idx] = n;
        let mine = entry.locks.iter();
        for lock in mine {
            locks.entry(lock.clone()).and_modify(|units| *units -= n.min(*units));
        }
        limits.entry(entry.stage).and_modify(|limit| *limit -= n.min(*limit));
        sectors = sectors.map(|sectors| sectors - n.min(sectors));
    }
    demand
}

impl Demand {
    /// Memory of all of the tasks, in bytes.
    pub fn memory_bytes(&self, processors: &Processors, proof: SealProof) -> u64 {
        let each = self.by_stage(processors).into_iter();
        each.fold(0, |sum, (stage, n)| sum.saturating_add(of_tasks(stage, n, proof)))
    }

    /// Tasks of each stage.
    pub fn by_stage(&self, processors: &Processors) -> BTreeMap<Stage, usize> {
        let mut stages = BTreeMap::new();
        for (entry, n) in processors.entries.iter().zip(&self.tasks).filter(|(_, n)| **n > 0) {
            let tasks: &mut usize = stages.entry(entry.stage).or_default();
            *tasks = tasks.saturating_add(*n);
        }
        stages
    }

    /// The tasks for people: `28 pc1 of 64 GiB, 1 c2 of 128 GiB`; those that take no memory are left
    /// out.
    pub fn shown(&self, processors: &Processors, proof: SealProof) -> String {
        let tasks = self.by_stage(processors).into_iter();
        let tasks = tasks.map(|(stage, n)| (stage, n, memory_bytes(stage, proof)));
        let tasks = tasks.filter(|(_, _, bytes)| *bytes > 0);
        let tasks = tasks.map(|(stage, n, bytes)| format!("{n} {stage} of {}", size::shown(bytes)));
        tasks.collect::<Vec<_>>().join(", ")
    }
}

fn of_tasks(stage: Stage, n: usize, proof: SealProof) -> u64 {
    memory_bytes(stage, proof).saturating_mul(u64::try_from(n).unwrap_or(u64::MAX))
}

/// Says where the machine has less than that.
pub(super) fn check(
    processors: &Processors,
    hardware: &Hardware,
    proof: SealProof,
    found: &mut Diagnostics,
) {
    let demand = demand(processors, proof);
    check_bounds(processors, &demand, found);
    check_memory(processors, hardware, proof, &demand, found);
    check_nodes(processors, hardware, proof, &demand, found);
    check_disk(processors, hardware, proof, &demand, found);
}

/// The entry at which something about its stage is said.
fn first_of(processors: &Processors, stage: Stage) -> Option<&Entry> {
    processors.of_stage(stage).next()
}

fn check_bounds(processors: &Processors, demand: &Demand, found: &mut Diagnostics) {
    for entry in demand.unbounded.iter().map(|idx| &processors.entries[*idx]) {
        if entry.stage == Stage::Pc1 {
            let message = "nothing says how many pc1 tasks may run at once";
            found.say(Code::Unbounded, entry.positions.entry, message).hint =
                Some("write `concurrent` beside the entry".to_owned());
        }
    }
}

fn check_memory(
    processors: &Processors,
    hardware: &Hardware,
    proof: SealProof,
    demand: &Demand,
    found: &mut Diagnostics,
) {
    let needed = demand.memory_bytes(processors, proof);
    let memory = hardware.memory.total_bytes;
    let swap = hardware.memory.swap_bytes.unwrap_or(0);
    if memory == 0 || fits(needed, memory) {
        return;
    }
    let most = demand.by_stage(processors).into_iter().max_by_key(|(s, n)| of_tasks(*s, *n, proof));
    let Some(entry) = most.and_then(|(stage, _)| first_of(processors, stage)) else { return };
    let tasks = demand.shown(processors, proof);
    let needed_shown = size::shown(needed);
    let (code, have) = if fits(needed, memory.saturating_add(swap)) {
        (Code::MemoryInSwap, format!("{} and {} of swap", size::shown(memory), size::shown(swap)))
    } else {
        (Code::Memory, size::shown(memory.saturating_add(swap)))
    };
    let size_name = proof.size_name();
    let message = format!(
        "tasks of {size_name} sectors may take {needed_shown} of memory at once, and the machine has {have}"
    );
    found.say(code, entry.positions.entry, message).hint = Some(format!("counted: {tasks}"));
}

fn check_nodes(
    processors: &Processors,
    hardware: &Hardware,
    proof: SealProof,
    demand: &Demand,
    found: &mut Diagnostics,
) {
    let mut by_node: BTreeMap<u32, (usize, &Entry)> = BTreeMap::new();
    for (entry, n) in processors.entries.iter().zip(&demand.tasks) {
        let node = entry.numa_preferred.and_then(|node| u32::try_from(node).ok());
        if let Some(node) = node.filter(|_| entry.stage == Stage::Pc1) {
            let sum = by_node.entry(node).or_insert((0, entry));
            sum.0 = sum.0.saturating_add(*n);
        }
    }
    for (node, (n, entry)) in by_node {
        let memory = hardware.node(node).map_or(0, |node| node.memory_bytes);
        let needed = of_tasks(Stage::Pc1, n, proof);
        if memory > 0 && !fits(needed, memory) {
            let (needed, memory) = (size::shown(needed), size::shown(memory));
            let message =
                format!("{n} pc1 tasks prefer node {node} and take {needed}, and it has {memory}");
            found.say(Code::NodeMemory, entry.positions.value("numa_preferred"), message).hint =
                Some("the rest comes from other nodes".to_owned());
        }
    }
}

fn check_disk(
    processors: &Processors,
    hardware: &Hardware,
    proof: SealProof,
    demand: &Demand,
    found: &mut Diagnostics,
) {
    let pc1 = demand.by_stage(processors).get(&Stage::Pc1).copied();
    let sectors = processors.scheduling.sectors_in_flight.set().or(pc1);
    let (Some(sectors), Some(disks)) = (sectors, &hardware.disks) else { return };
    let Some(entry) = first_of(processors, Stage::Pc1) else { return };
    let free = disks.iter().map(|disk| disk.free_bytes.unwrap_or(disk.size_bytes));
    let free = free.fold(0, u64::saturating_add);
    let each = room_bytes(proof);
    let needed = each.saturating_mul(u64::try_from(sectors).unwrap_or(u64::MAX));
    if fits(needed, free) {
        return;
    }
    let (needed, free, each) = (size::shown(needed), size::shown(free), size::shown(each));
    let message = format!("{sectors} sectors under way take {needed} of disk, and {free} are free");
    let size_name = proof.size_name();
    found.say(Code::Disk, entry.positions.entry, message).hint =
        Some(format!("counted: {each} for each sector of {size_name}"));
}

fn fits(needed: u64, available: u64) -> bool {
    u128::from(needed) * 100 <= u128::from(available) * u128::from(100 + SLACK_PERCENT)
}
