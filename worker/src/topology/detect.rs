// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine as hwloc sees it.

use std::collections::BTreeMap;

use hwloc2::{Bitmap, ObjectType, Topology, TopologyObject};
use sealpipe_protocol::placement::CpuList;

use super::machine::Machine;

/// The environment variables by which hwloc is shown another machine. A processor must not inherit
/// them.
pub const PLANNING_ENVS: &[&str] = &["HWLOC_SYNTHETIC", "HWLOC_XMLFILE", "HWLOC_THISSYSTEM"];

/// The environment variable that describes another machine, if one is set.
pub fn described_by() -> Option<&'static str> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["HWLOC_SYNTHETIC", "HWLOC_XMLFILE"].into_iter().find(is_set)
}

/// Why there is no topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    /// hwloc could not load one.
    #[error("hwloc cannot read the topology of this machine")]
    Load,
    /// hwloc looked at this machine although the environment describes another: what is described
    /// is wrong or not there.
    #[error("hwloc cannot read what `{0}` describes")]
    Description(&'static str),
    /// hwloc loaded one without cpus.
    #[error("hwloc found no cpu")]
    NoCpus,
}

/// Reads the topology of this machine, or of that which the environment describes.
///
/// # Errors
/// hwloc cannot load a topology, cannot read the described one, or finds no cpu.
pub fn detect() -> Result<Machine, DetectError> {
    let topology = Topology::new().ok_or(DetectError::Load)?;
    // hwloc falls back to this machine without a word. It offers to bind only there, unless
    // `HWLOC_THISSYSTEM` makes it take another for this one.
    let is_this_machine = topology.support().cpu().set_current_process();
    if let Some(variable) = described_by()
        && is_this_machine
        && std::env::var_os("HWLOC_THISSYSTEM").is_none()
    {
        return Err(DetectError::Description(variable));
    }
    let cpus = topology.objects_with_type(&ObjectType::PU).unwrap_or_default();
    let mut groups = Groups::default();
    // From the cpus upwards: this works wherever a machine has its caches, and NUMA nodes are no
    // part of the tree that goes down from the root.
    for cpu in cpus {
        groups.add(cpu);
    }
    if groups.cpus.is_empty() {
        return Err(DetectError::NoCpus);
    }
    let root = topology.object_at_root();
    // Nodes of memory only are no cpu's.
    for node in root.nodeset().into_iter().flat_map(indices) {
        groups.nodes.entry(node).or_default();
    }
    Ok(groups.into_machine(root.total_memory()))
}

/// Cpus by what they belong to.
#[derive(Default)]
struct Groups {
    cpus: Vec<u32>,
    nodes: BTreeMap<u32, Vec<u32>>,
    /// Keyed by hwloc's logical index, which is unique among objects of one kind.
    packages: BTreeMap<u32, Vec<u32>>,
    l3_groups: BTreeMap<u32, Vec<u32>>,
    cores: BTreeMap<u32, Vec<u32>>,
}

impl Groups {
    fn add(&mut self, pu: &TopologyObject) {
        let cpu = pu.os_index();
        self.cpus.push(cpu);
        for node in pu.nodeset().into_iter().flat_map(indices) {
            self.nodes.entry(node).or_default().push(cpu);
        }
        for object in std::iter::successors(pu.parent(), |object| object.parent()) {
            let group = match object.object_type() {
                ObjectType::Package => &mut self.packages,
                ObjectType::L3Cache => &mut self.l3_groups,
                ObjectType::Core => &mut self.cores,
                _ => continue,
            };
            group.entry(object.logical_index()).or_default().push(cpu);
        }
    }

    fn into_machine(self, memory_bytes: u64) -> Machine {
        let list = |cpus: Vec<u32>| cpus.into_iter().collect::<CpuList>();
        let lists = |groups: BTreeMap<u32, Vec<u32>>| {
            let mut lists: Vec<_> = groups.into_values().map(list).collect();
            lists.sort_by_key(|cpus| cpus.iter().next());
            lists
        };
        Machine {
            cpus: list(self.cpus),
            nodes: self.nodes.into_iter().map(|(node, cpus)| (node, list(cpus))).collect(),
            packages: lists(self.packages),
            l3_groups: lists(self.l3_groups),
            cores: lists(self.cores),
            memory_bytes,
        }
    }
}

/// The members of a set. The binding iterates over an infinite set for ever; the kernel's own
/// bound on cpus and nodes ends it.
fn indices(set: Bitmap) -> impl Iterator<Item = u32> {
    set.into_iter().take_while(|index| *index <= CpuList::MAX_CPU)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cpus_in_a_node() {
        let machine = detect().unwrap();
        assert!(!machine.cpus.is_empty());
        assert!(machine.nodes.values().all(|cpus| cpus.is_subset(&machine.cpus)));
        let first = machine.cpus.iter().next().unwrap();
        assert!(machine.node_of(first).is_some());
    }
}
