// SPDX-License-Identifier: MIT OR Apache-2.0

//! Machines that are not at hand: a topology in hwloc's words, and what that does not tell.

use std::path::{Path, PathBuf};

use super::{
    Disk, Gpu, Hardware,
    hwloc::{self, HwlocError, Source},
    topology::{self, TopologyError},
};

/// The environment variables by which hwloc is shown another machine. A processor must not inherit
/// them.
pub const PLANNING_ENVS: &[&str] = &["HWLOC_SYNTHETIC", "HWLOC_XMLFILE", "HWLOC_THISSYSTEM"];

/// A topology that is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Description {
    /// hwloc's synthetic text.
    Synthetic(String),
    /// A file that `lstopo --of xml` wrote.
    XmlFile(PathBuf),
}

/// What a topology does not tell, or tells otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// GPUs, and the memory of each in bytes.
    pub gpus: Option<(u32, Option<u64>)>,
    /// Memory of all nodes with cpus together, in bytes: the same for each of them.
    pub memory_bytes: Option<u64>,
    /// Free space of one disk, in bytes.
    pub disk_bytes: Option<u64>,
}

/// Why a machine is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HardwareError {
    /// The file of a description cannot be opened.
    #[error("the topology `{path}`: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: String,
    },
    /// hwloc cannot read what is described.
    #[error("the topology `{shown}`: {error}")]
    Description {
        /// The description.
        shown: String,
        /// What hwloc says.
        error: HwlocError,
    },
    /// What hwloc wrote makes no machine.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl Description {
    /// What the environment describes, in the order in which hwloc looks.
    pub fn from_env() -> Option<Self> {
        let value = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match value("HWLOC_SYNTHETIC") {
            Some(text) => Some(Self::Synthetic(text.to_string_lossy().into_owned())),
            None => value("HWLOC_XMLFILE").map(|path| Self::XmlFile(path.into())),
        }
    }

    /// What a user writes: the path of a file, or synthetic text, which is never the name of one.
    pub fn of_text(text: &str) -> Self {
        let path = Path::new(text);
        // Also a file that is not there: hwloc's words have neither `/` nor this ending.
        let is_file = path.exists() || text.contains('/') || text.ends_with(".xml");
        if is_file { Self::XmlFile(path.into()) } else { Self::Synthetic(text.to_owned()) }
    }

    /// The machine that is described.
    ///
    /// # Errors
    /// hwloc does not understand the description, or it names no cpu.
    pub fn read(&self) -> Result<Hardware, HardwareError> {
        let shown = self.to_string();
        let source = match self {
            Self::Synthetic(text) => Source::Synthetic(text),
            Self::XmlFile(path) => {
                // hwloc says of no failure what it was.
                std::fs::File::open(path).map_err(|error| HardwareError::File {
                    path: shown.clone(),
                    error: error.to_string(),
                })?;
                Source::XmlFile(path)
            }
        };
        let xml = hwloc::export(source)
            .map_err(|error| HardwareError::Description { shown: shown.clone(), error })?;
        Ok(Hardware { described_by: Some(shown), ..topology::parse(&xml)? })
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Synthetic(text) => f.write_str(text),
            Self::XmlFile(path) => path.display().fmt(f),
        }
    }
}

impl Amounts {
    /// Puts the amounts in the place of what is known of a machine.
    pub fn apply(&self, hardware: &mut Hardware) {
        if let Some((count, memory_bytes)) = self.gpus {
            let gpu = |index| Gpu { index, memory_bytes, ..Gpu::default() };
            hardware.gpus = Some((0..count).map(gpu).collect());
        }
        if let Some(total_bytes) = self.memory_bytes {
            set_memory(hardware, total_bytes);
        }
        if let Some(bytes) = self.disk_bytes {
            let disk = Disk { size_bytes: bytes, free_bytes: Some(bytes), ..Disk::default() };
            hardware.disks = Some(vec![disk]);
        }
    }
}

/// Spreads memory over the nodes that have cpus; a machine with the same memory beside each is what
/// users mean by one number.
fn set_memory(hardware: &mut Hardware, total_bytes: u64) {
    let n_nodes = hardware.nodes().filter(|node| !node.l3_groups.is_empty()).count() as u64;
    for node in hardware.sockets.iter_mut().flat_map(|socket| &mut socket.nodes) {
        let with_cpus = !node.l3_groups.is_empty();
        node.memory_bytes = if with_cpus { total_bytes / n_nodes.max(1) } else { 0 };
        node.free_bytes = None;
        node.huge_pages.clear();
    }
    hardware.memory.total_bytes = total_bytes;
    hardware.memory.available_bytes = None;
    hardware.memory.swap_bytes = None;
}
