// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine as a tree for people.

use std::fmt::Write;

use crate::hardware::{Disk, Gpu, Hardware, HugePages, L3Group, Node, Socket, size::shown};

/// A line, and the lines below it.
struct Branch {
    text: String,
    below: Vec<Branch>,
}

impl Branch {
    fn new(text: impl Into<String>, below: Vec<Self>) -> Self {
        Self { text: text.into(), below }
    }

    fn leaf(text: impl Into<String>) -> Self {
        Self::new(text, Vec::new())
    }

    fn push(&self, first: &str, others: &str, text: &mut String) {
        writeln!(text, "{first}{}", self.text).expect("writing to a string cannot fail");
        for (idx, branch) in self.below.iter().enumerate() {
            let is_last = idx + 1 == self.below.len();
            let (knot, line) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            branch.push(&format!("{others}{knot}"), &format!("{others}{line}"), text);
        }
    }
}

/// The whole tree, with a line's end after each line.
pub(super) fn of(hardware: &Hardware) -> String {
    let mut below = vec![Branch::leaf(cpus(hardware)), Branch::leaf(memory(hardware))];
    below.extend(hardware.sockets.iter().map(socket));
    below.push(gpus(hardware));
    below.push(disks(hardware));
    let mut text = String::new();
    let name = match &hardware.described_by {
        Some(description) => format!("machine described by `{description}`"),
        None => "this machine".to_owned(),
    };
    Branch::new(name, below).push("", "", &mut text);
    text
}

/// What computes, as a whole.
fn cpus(hardware: &Hardware) -> String {
    let mut parts = Vec::new();
    parts.extend(hardware.cpu_model.clone());
    if hardware.n_packages() > 0 {
        parts.push(counted(hardware.n_packages(), "socket"));
    }
    parts.push(counted(hardware.nodes().count(), "NUMA node"));
    let threads = match hardware.threads_per_core() {
        0 | 1 => String::new(),
        n => format!(" of {n} threads"),
    };
    parts.push(format!("{}{threads}", counted(hardware.cores().count(), "core")));
    parts.push(match hardware.sha_extensions {
        Some(true) => "SHA extensions".to_owned(),
        Some(false) => "no SHA extensions".to_owned(),
        None => "SHA extensions not told".to_owned(),
    });
    parts.join(", ")
}

fn memory(hardware: &Hardware) -> String {
    let memory = hardware.memory;
    if memory.total_bytes == 0 {
        return "memory not told".to_owned();
    }
    let total = format!("{} of memory", shown(memory.total_bytes));
    let available = memory.available_bytes.map(|bytes| format!("{} available", shown(bytes)));
    let swap = memory.swap_bytes.map(|bytes| match bytes {
        0 => "no swap".to_owned(),
        bytes => format!("{} of swap", shown(bytes)),
    });
    let parts: Vec<_> = std::iter::once(total).chain(available).chain(swap).collect();
    parts.join(", ")
}

fn socket(socket: &Socket) -> Branch {
    let indices: Vec<_> = socket.packages.iter().map(ToString::to_string).collect();
    let text = match indices.len() {
        0 => "socket not told".to_owned(),
        1 => format!("socket {}", indices[0]),
        _ => format!("sockets {}, one memory for all", indices.join(" and ")),
    };
    Branch::new(text, socket.nodes.iter().map(node).collect())
}

fn node(node: &Node) -> Branch {
    let memory = match node.memory_bytes {
        0 => "memory not told".to_owned(),
        bytes => shown(bytes),
    };
    let free = node.free_bytes.map(|bytes| format!("{} free", shown(bytes)));
    let pages = node.huge_pages.iter().filter(|pages| pages.total > 0).map(huge_pages);
    let parts: Vec<_> = std::iter::once(memory).chain(free).chain(pages).collect();
    let only = if node.l3_groups.is_empty() { ", memory only" } else { "" };
    let text = format!("node {}: {}{only}", node.index, parts.join(", "));
    Branch::new(text, node.l3_groups.iter().map(group).collect())
}

fn huge_pages(pages: &HugePages) -> String {
    let free = pages.free.map(|free| format!(" ({free} free)")).unwrap_or_default();
    format!("{} huge pages of {}{free}", pages.total, shown(pages.size_bytes))
}

fn group(group: &L3Group) -> Branch {
    let cache = match group.cache_bytes {
        Some(0) => "L3".to_owned(),
        Some(bytes) => format!("L3 {}", shown(bytes)),
        None => "no L3".to_owned(),
    };
    let cores = counted(group.cores.len(), "core");
    let cpus = group.cpus();
    let noun = if cpus.len() == 1 { "cpu" } else { "cpus" };
    Branch::leaf(format!("{cache}: {cores}, {noun} {cpus}"))
}

fn gpus(hardware: &Hardware) -> Branch {
    match &hardware.gpus {
        None => Branch::leaf("GPUs not told (`--gpus` says)"),
        Some(gpus) if gpus.is_empty() => Branch::leaf("no NVIDIA GPU"),
        Some(gpus) => {
            let is_here = hardware.described_by.is_none();
            let below = gpus.iter().map(|one| gpu(one, is_here)).collect();
            Branch::new(counted(gpus.len(), "GPU"), below)
        }
    }
}

fn gpu(gpu: &Gpu, is_here: bool) -> Branch {
    let free = gpu.free_bytes.map(|bytes| format!(" ({} free)", shown(bytes)));
    let memory = gpu.memory_bytes.map(shown);
    let memory = memory.map(|memory| format!("{memory}{}", free.unwrap_or_default()));
    let driver = match &gpu.driver {
        Some(driver) => Some(format!("driver {driver}")),
        None => is_here.then(|| "no driver".to_owned()),
    };
    let parts = [
        gpu.name.clone(),
        memory,
        gpu.compute_capability.as_ref().map(|capability| format!("compute {capability}")),
        gpu.node.map(|node| format!("next to node {node}")),
        gpu.pci_address.as_ref().map(|address| format!("PCI {address}")),
        driver,
        gpu.uuid.clone(),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let rest = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    Branch::leaf(format!("GPU {}{rest}", gpu.index))
}

fn disks(hardware: &Hardware) -> Branch {
    match &hardware.disks {
        None => Branch::leaf("disks not told (`--disk` says)"),
        Some(disks) if disks.is_empty() => Branch::leaf("no disk"),
        Some(disks) => Branch::new(counted(disks.len(), "disk"), disks.iter().map(disk).collect()),
    }
}

fn disk(disk: &Disk) -> Branch {
    let name = disk.mount.as_ref().map(|mount| mount.display().to_string());
    let name = name.or_else(|| disk.device.clone()).unwrap_or_else(|| "a disk".to_owned());
    let device = disk.device.as_ref().filter(|device| **device != name);
    let on = [disk.filesystem.clone(), device.cloned()];
    let on: Vec<_> = on.into_iter().flatten().collect();
    let on = if on.is_empty() { String::new() } else { format!(" ({})", on.join(" on ")) };
    let space = match disk.free_bytes {
        Some(free) if free == disk.size_bytes => format!("{} free", shown(free)),
        Some(free) => format!("{} free of {}", shown(free), shown(disk.size_bytes)),
        None => shown(disk.size_bytes),
    };
    let measured = disk.measured.map(|rates| {
        let (write, read) = (rates.write_bytes_per_second, rates.read_bytes_per_second);
        format!(", writes {}/s and reads {}/s", shown(whole(write)), shown(whole(read)))
    });
    Branch::leaf(format!("{name}{on}: {space}{}", measured.unwrap_or_default()))
}

/// A rate without its fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of floats stops at the ends, and rates are not negative"
)]
fn whole(rate: f64) -> u64 {
    rate as u64
}

fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
