// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where an entry runs: `cgroup`, `numa_preferred`, `pinning` and `device`.

use sealpipe_protocol::placement::CpuList;

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::{Field, Section},
    entry::Entry,
};

/// damocles' default of `cgroup.group_name`.
pub const DEFAULT_GROUP: &str = "vc-worker";

/// The control group of the worker itself, beside those that hold processors.
pub const WORKER_GROUP: &str = "sealpipe-worker";

/// Shares of the cpus' time that the kernel takes (`cpu.weight`).
const WEIGHTS: std::ops::RangeInclusive<usize> = 1..=10_000;

/// Who pins a processor to its cpus and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pinning {
    /// The processor itself, as the protocol asks.
    #[default]
    Processor,
    /// The worker, before it executes the program: for programs that cannot.
    Worker,
    /// Nobody.
    Off,
}

impl Pinning {
    pub(super) const WORDS: &[(&'static str, Self)] =
        &[("processor", Self::Processor), ("worker", Self::Worker), ("off", Self::Off)];

    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Worker => "worker",
            Self::Off => "off",
        }
    }
}

/// What a processor computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// The CPU, even where a GPU is expected.
    Cpu,
    /// A CUDA GPU, and nothing else.
    Cuda,
}

impl Device {
    pub(super) const WORDS: &[(&'static str, Self)] = &[("cpu", Self::Cpu), ("cuda", Self::Cuda)];

    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// Reads `cgroup.group_name`, `cgroup.cpuset` and `cgroup.weight`.
pub(super) fn read_cgroup(entry: &mut Entry, field: &Field<'_>, found: &mut Diagnostics) {
    for field in field.section(found).iter().flat_map(Section::fields) {
        match field.key {
            "group_name" => {
                let Some(name) = field.string(found) else { continue };
                if is_group_name(name) {
                    name.clone_into(&mut entry.cgroup_group);
                } else {
                    let (path, name) = (quoted(&field.path), quoted(name));
                    let message = format!("{path} is {name}, which names no control group");
                    found.say(Code::GroupName, field.span(), message).hint = Some(format!(
                        "{} is taken; a name has letters, digits, `-`, `_` and `.`",
                        quoted(DEFAULT_GROUP)
                    ));
                }
            }
            "weight" => {
                entry.positions.set("cgroup.weight", field.span());
                entry.cgroup_weight = read_group_weight(&field, found);
            }
            "cpuset" => {
                entry.positions.set("cgroup.cpuset", field.span());
                entry.cpus = read_cpuset(&field, found);
            }
            _ => field.unknown(&["group_name", "cpuset", "weight"], found),
        }
    }
}

/// Whether the kernel takes a name for a group, and it is none of the kernel's or of ours.
fn is_group_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let taken = [".", "cgroup.", "cpu.", "cpuset."];
    !name.is_empty()
        && name.chars().all(is_plain)
        && !taken.iter().any(|begin| name.starts_with(begin))
        && name != WORKER_GROUP
}

fn read_group_weight(field: &Field<'_>, found: &mut Diagnostics) -> Option<u32> {
    let weight = field.count(found)?;
    if !WEIGHTS.contains(&weight) {
        let message = format!("{} is {weight}, expected 1 to 10000", quoted(&field.path));
        found.say(Code::OutOfRange, field.span(), message).hint =
            Some("the kernel's own is 100; twice that is twice the time".to_owned());
        return None;
    }
    u32::try_from(weight).ok()
}

fn read_cpuset(field: &Field<'_>, found: &mut Diagnostics) -> Option<CpuList> {
    let text = field.string_such_as("cpus such as \"0-41\" or \"2,5,8\"", found)?;
    match text.parse() {
        Ok(cpus) => Some(cpus),
        Err(error) => {
            let message = format!("{} is {}: {error}", quoted(&field.path), quoted(text));
            found.say(Code::CpuList, field.span(), message);
            None
        }
    }
}

/// Reads `numa_preferred`.
pub(super) fn read_numa_preferred(entry: &mut Entry, field: &Field<'_>, found: &mut Diagnostics) {
    entry.numa_preferred = field.int(found);
    entry.positions.set("numa_preferred", field.span());
    if let Some(node @ ..0) = entry.numa_preferred {
        let path = quoted(&field.path);
        let message = format!("{path} is {node}: memory of the node that each thread runs on");
        found.say(Code::LocalNode, field.span(), message);
    }
}

/// Mentions cpus or a node that have no effect because nobody pins.
pub(super) fn check_pinned(entry: &Entry, found: &mut Diagnostics) {
    if entry.pinning != Pinning::Off {
        return;
    }
    let placed = [
        (entry.cpus.is_some(), "cgroup.cpuset"),
        (entry.numa_preferred.is_some(), "numa_preferred"),
    ];
    for (_, key) in placed.into_iter().filter(|(given, _)| *given) {
        let path = quoted(&format!("processors.{}.{key}", entry.stage));
        let message = format!("{path} has no effect with `pinning = \"off\"`");
        found.say(Code::NoEffect, entry.positions.value(key), message);
    }
}
