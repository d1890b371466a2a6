// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine that this runs on: hwloc's topology, and what `/proc`, `/sys` and NVIDIA's driver add.

use std::{fs, io::Read, path::Path};

use super::{Hardware, HardwareError, HugePages, disks, gpus, topology};

/// Longest text that is read of `/proc` or `/sys`, in bytes: `/proc/cpuinfo` has a few KiB for each
/// of 8192 cpus.
pub(super) const MAX_TEXT_BYTES: u64 = 64 * 1024 * 1024;

/// The kernel's files, below a directory that is `/` but for tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel<'a>(pub(super) &'a Path);

impl Kernel<'_> {
    /// A text, without blanks around it; `None` where there is no such file.
    pub(super) fn text(self, path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.0.join(path)).ok()?;
        file.take(MAX_TEXT_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A number that is all of a file.
    pub(super) fn number<T: std::str::FromStr>(self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, sorted; none where there is no such directory.
    pub(super) fn names(self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// What this machine has.
///
/// # Errors
/// hwloc cannot look at it.
pub fn detect() -> Result<Hardware, HardwareError> {
    let mut hardware = topology::look()?;
    let kernel = Kernel(Path::new("/"));
    add_memory(&mut hardware, kernel);
    let cpuinfo = kernel.text("proc/cpuinfo").unwrap_or_default();
    hardware.sha_extensions = sha_extensions(&cpuinfo);
    hardware.cpu_model = hardware.cpu_model.or_else(|| cpu_model(&cpuinfo));
    hardware.gpus = Some(gpus::detect(kernel));
    hardware.disks = Some(disks::detect(kernel));
    Ok(hardware)
}

/// Memory of the machine and of its nodes: how much there is, how much is free, huge pages, swap.
fn add_memory(hardware: &mut Hardware, kernel: Kernel<'_>) {
    let meminfo = kernel.text("proc/meminfo").unwrap_or_default();
    if let Some(total_bytes) = meminfo_bytes(&meminfo, "MemTotal") {
        hardware.memory.total_bytes = total_bytes;
    }
    hardware.memory.available_bytes = meminfo_bytes(&meminfo, "MemAvailable");
    hardware.memory.swap_bytes = meminfo_bytes(&meminfo, "SwapTotal");
    for node in hardware.sockets.iter_mut().flat_map(|socket| &mut socket.nodes) {
        let dir = format!("sys/devices/system/node/node{}", node.index);
        let meminfo = kernel.text(&format!("{dir}/meminfo")).unwrap_or_default();
        node.memory_bytes = meminfo_bytes(&meminfo, "MemTotal").unwrap_or(node.memory_bytes);
        node.free_bytes = meminfo_bytes(&meminfo, "MemFree");
        node.huge_pages = huge_pages(kernel, &dir);
    }
}

/// The huge pages of a node, smallest first.
fn huge_pages(kernel: Kernel<'_>, node_dir: &str) -> Vec<HugePages> {
    let dir = format!("{node_dir}/hugepages");
    let of_size = |name: String| {
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let total = kernel.number(&format!("{dir}/{name}/nr_hugepages"))?;
        let free = kernel.number(&format!("{dir}/{name}/free_hugepages"));
        Some(HugePages { size_bytes: kib.checked_mul(1024)?, total, free })
    };
    let mut pages: Vec<_> = kernel.names(&dir).into_iter().filter_map(of_size).collect();
    pages.sort_by_key(|pages| pages.size_bytes);
    pages
}

/// A line such as `MemFree:  123 kB`, or `Node 0 MemFree: 123 kB`.
fn meminfo_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.split_whitespace().last() == Some(name)).then_some(value)
    })?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether every cpu lists SHA-256 among what it can: `sha_ni` on x86, `sha2` on Arm.
fn sha_extensions(cpuinfo: &str) -> Option<bool> {
    let lists = cpuinfo.lines().filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        ["flags", "Features"].contains(&key.trim()).then_some(value)
    });
    let has = lists.map(|flags| flags.split_whitespace().any(|f| f == "sha_ni" || f == "sha2"));
    has.reduce(|all, one| all && one)
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The node of a PCI device; the kernel says -1 where the board does not tell.
pub(super) fn pci_node(kernel: Kernel<'_>, address: &str) -> Option<u32> {
    let node: i64 = kernel.number(&format!("sys/bus/pci/devices/{address}/numa_node"))?;
    u32::try_from(node).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::{Node, Socket};

    #[test]
    fn this_machine_has_cpus_memory_and_a_disk() {
        let hardware = detect().unwrap();
        assert!(!hardware.cpus().is_empty());
        assert!(hardware.memory.total_bytes > 1 << 20);
        assert!(hardware.nodes().all(|node| node.free_bytes <= Some(hardware.memory.total_bytes)));
        assert!(hardware.described_by.is_none() && hardware.gpus.is_some());
    }

    #[test]
    fn free_memory_and_huge_pages_are_by_node() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 80 kB\nSwapTotal: 7 kB\n");
        let node = "sys/devices/system/node/node1";
        write(&format!("{node}/meminfo"), "Node 1 MemTotal: 50 kB\nNode 1 MemFree: 20 kB\n");
        write(&format!("{node}/hugepages/hugepages-1048576kB/nr_hugepages"), "64\n");
        write(&format!("{node}/hugepages/hugepages-1048576kB/free_hugepages"), "60\n");
        write(&format!("{node}/hugepages/hugepages-2048kB/nr_hugepages"), "0\n");
        let nodes = vec![Node { index: 1, ..Node::default() }];
        let socket = Socket { packages: vec![0], nodes };
        let mut hardware = Hardware { sockets: vec![socket], ..Hardware::default() };
        add_memory(&mut hardware, Kernel(root.path()));
        let memory = hardware.memory;
        assert_eq!(memory.total_bytes, 100 << 10);
        assert_eq!((memory.available_bytes, memory.swap_bytes), (Some(80 << 10), Some(7 << 10)));
        let node = hardware.node(1).unwrap();
        assert_eq!((node.memory_bytes, node.free_bytes), (50 << 10, Some(20 << 10)));
        assert_eq!(
            node.huge_pages,
            [
                HugePages { size_bytes: 2 << 20, total: 0, free: None },
                HugePages { size_bytes: 1 << 30, total: 64, free: Some(60) },
            ]
        );
    }

    #[test]
    fn sha_extensions_are_those_of_all_cpus() {
        assert_eq!(sha_extensions("flags\t\t: fpu sha_ni\nflags : sha_ni x"), Some(true));
        assert_eq!(sha_extensions("flags : fpu sha_ni\nflags : fpu"), Some(false));
        assert_eq!(sha_extensions("Features : fp aes sha1 sha2"), Some(true));
        assert_eq!(sha_extensions("processor : 0"), None);
    }
}
