// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine as plain data.

use std::collections::BTreeMap;

use sealpipe_protocol::placement::CpuList;

/// What a machine has. Cpus have the kernel's numbers, as in `/proc/cpuinfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The cpus that are online and that this process' control group allows.
    pub cpus: CpuList,
    /// The cpus of each NUMA node; none for a node of memory only.
    pub nodes: BTreeMap<u32, CpuList>,
    /// The cpus of each package (socket), in the order of their first cpu.
    pub packages: Vec<CpuList>,
    /// The cpus that share an L3 cache, in the order of their first cpu; empty without an L3.
    pub l3_groups: Vec<CpuList>,
    /// The cpus of each core: two or more where the core has several threads.
    pub cores: Vec<CpuList>,
    /// Memory of all nodes together, in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// The node that a cpu belongs to.
    pub fn node_of(&self, cpu: u32) -> Option<u32> {
        self.nodes.iter().find(|(_, cpus)| cpus.contains(cpu)).map(|(node, _)| *node)
    }

    /// The nodes as a list for people: `0-1`.
    pub fn node_list(&self) -> String {
        self.nodes.keys().copied().collect::<CpuList>().to_string()
    }
}
