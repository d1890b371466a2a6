// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a machine has: sockets, NUMA nodes, L3 groups, cores, memory, GPUs, disks.
//!
//! [`Hardware`] is plain data, of this machine ([`detect`]) or of one that is only described
//! ([`Description`]); all that is concluded from it is pure.

mod description;
mod devices;
pub mod disks;
mod gpus;
mod hwloc;
pub mod measure;
pub mod size;
mod this_machine;
mod topology;

pub use self::{
    description::{Amounts, Description, HardwareError, PLANNING_ENVS},
    hwloc::HwlocError,
    this_machine::detect,
    topology::TopologyError,
};

use std::path::PathBuf;

use sealpipe_protocol::placement::CpuList;
use serde::{Deserialize, Serialize};

/// A machine. Cpus and nodes have the kernel's numbers.
///
/// A value that is `None` is not known: a description says less than the machine itself does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Where this is known from; `None` for the machine that the program runs on.
    pub described_by: Option<String>,
    /// What the cpus call themselves.
    pub cpu_model: Option<String>,
    /// Whether the cpus have instructions for SHA-256, by which pc1 is several times as fast.
    pub sha_extensions: Option<bool>,
    /// The sockets, in the order of their first cpu.
    pub sockets: Vec<Socket>,
    /// Memory of all nodes together.
    pub memory: Memory,
    /// The NVIDIA GPUs, in the order in which the driver counts them.
    pub gpus: Option<Vec<Gpu>>,
    /// Where sectors may lie.
    pub disks: Option<Vec<Disk>>,
}

/// A socket: the nodes of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// The packages: one, or several over which one node stretches, or none where the machine tells
    /// of none.
    pub packages: Vec<u32>,
    /// The NUMA nodes, by their numbers.
    pub nodes: Vec<Node>,
}

/// A NUMA node: memory and the cpus next to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its number.
    pub index: u32,
    /// Its memory, in bytes; 0 where a description does not tell.
    pub memory_bytes: u64,
    /// What is free of it, without what the kernel could give back, in bytes.
    pub free_bytes: Option<u64>,
    /// Its pages that are larger than the usual ones, by size.
    pub huge_pages: Vec<HugePages>,
    /// Its cores, by the L3 cache that they share; none for a node of memory only. The cores of a
    /// node whose cpus have no L3 cache are one group.
    pub l3_groups: Vec<L3Group>,
}

/// Huge pages of one size on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HugePages {
    /// The size of each, in bytes.
    pub size_bytes: u64,
    /// How many there are.
    pub total: u64,
    /// How many nobody uses.
    pub free: Option<u64>,
}

/// Cores of one node that share an L3 cache: a CCX on AMD, often a whole socket on Intel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L3Group {
    /// The size of the cache, in bytes; `None` where there is none.
    pub cache_bytes: Option<u64>,
    /// The cores, in the order of their first cpu.
    pub cores: Vec<Core>,
}

/// A core.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Core {
    /// Its cpus: two or more where it has several threads.
    pub cpus: CpuList,
}

/// The memory of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// All of it, in bytes; 0 where a description does not tell.
    pub total_bytes: u64,
    /// What a program could have without swapping, in bytes.
    pub available_bytes: Option<u64>,
    /// Swap space, in bytes.
    pub swap_bytes: Option<u64>,
}

/// A GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// Its number, by which `CUDA_VISIBLE_DEVICES` names it.
    pub index: u32,
    /// What it is called.
    pub name: Option<String>,
    /// The driver's name for it, `GPU-…`.
    pub uuid: Option<String>,
    /// Its memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// What of its memory nobody uses, in bytes.
    pub free_bytes: Option<u64>,
    /// What it can compute, such as `8.6`.
    pub compute_capability: Option<String>,
    /// Its place on the PCI bus, such as `0000:41:00.0`.
    pub pci_address: Option<String>,
    /// The node that it is next to.
    pub node: Option<u32>,
    /// The version of its driver.
    pub driver: Option<String>,
}

/// A file system, or a disk of which no more is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// Where it is mounted.
    pub mount: Option<PathBuf>,
    /// The device, such as `/dev/nvme0n1p1`.
    pub device: Option<String>,
    /// The kind of file system, such as `xfs`.
    pub filesystem: Option<String>,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// What is free for programs without privileges, in bytes.
    pub free_bytes: Option<u64>,
    /// How fast it was when it was measured.
    pub measured: Option<Rates>,
}

/// Measured rates of one large file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// Bytes a second written, until they are on the disk.
    pub write_bytes_per_second: f64,
    /// Bytes a second read back, past the page cache.
    pub read_bytes_per_second: f64,
    /// How much was written and read, in bytes.
    pub sample_bytes: u64,
}

impl Hardware {
    /// The NUMA nodes, those of memory only among them.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.sockets.iter().flat_map(|socket| &socket.nodes)
    }

    /// The L3 groups of all nodes.
    pub fn l3_groups(&self) -> impl Iterator<Item = &L3Group> {
        self.nodes().flat_map(|node| &node.l3_groups)
    }

    /// The cores of all groups.
    pub fn cores(&self) -> impl Iterator<Item = &Core> {
        self.l3_groups().flat_map(|group| &group.cores)
    }

    /// All cpus.
    pub fn cpus(&self) -> CpuList {
        self.cores().flat_map(|core| core.cpus.iter()).collect()
    }

    /// The packages, which are the sockets of a mainboard.
    pub fn n_packages(&self) -> usize {
        self.sockets.iter().map(|socket| socket.packages.len()).sum()
    }

    /// The node of a number.
    pub fn node(&self, index: u32) -> Option<&Node> {
        self.nodes().find(|node| node.index == index)
    }

    /// The node that a cpu belongs to.
    pub fn node_of(&self, cpu: u32) -> Option<&Node> {
        self.nodes().find(|node| node.cores().any(|core| core.cpus.contains(cpu)))
    }

    /// The nodes as a list for people: `0,1`.
    pub fn node_list(&self) -> String {
        self.nodes().map(|node| node.index).collect::<CpuList>().to_string()
    }

    /// Threads of the core that has the most of them; 0 without cores.
    pub fn threads_per_core(&self) -> usize {
        self.cores().map(|core| core.cpus.len()).max().unwrap_or(0)
    }
}

impl Node {
    /// The cores of all groups.
    pub fn cores(&self) -> impl Iterator<Item = &Core> {
        self.l3_groups.iter().flat_map(|group| &group.cores)
    }

    /// All cpus; none for a node of memory only.
    pub fn cpus(&self) -> CpuList {
        self.cores().flat_map(|core| core.cpus.iter()).collect()
    }
}

impl L3Group {
    /// All cpus.
    pub fn cpus(&self) -> CpuList {
        self.cores.iter().flat_map(|core| core.cpus.iter()).collect()
    }
}

impl Core {
    /// The cpu by which the core is called: its first.
    pub fn first_cpu(&self) -> Option<u32> {
        self.cpus.iter().next()
    }
}
