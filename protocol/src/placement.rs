// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cpus and memory of this process: Linux' list format, pinning, and what can be observed.
//!
//! Pinning is done before any other thread exists: affinity and memory policy belong to a thread,
//! and new threads inherit them.

mod mempolicy;

use std::{borrow::Cow, collections::BTreeSet, fmt, str::FromStr};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    Code, TaskError,
    method::{MemoryPolicy, Placement},
};

/// Cpus by the kernel's numbers, in Linux' list format on the wire: `0-41`, `2,5,8`, or both.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CpuList(BTreeSet<u32>);

impl CpuList {
    /// Highest cpu number accepted; the kernel's own bound is 8191 (`CONFIG_NR_CPUS`).
    pub const MAX_CPU: u32 = 8191;

    /// The cpus, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `cpu` is one of them.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether all of them are in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Those that are in `other` too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }
}

impl FromIterator<u32> for CpuList {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{separator}{first}")?,
                1 => write!(f, "{separator}{first},{last}")?,
                _ => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

impl FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let digits = digits.trim();
            let cpu = digits.parse::<u32>().ok().filter(|cpu| *cpu <= Self::MAX_CPU);
            cpu.filter(|_| digits.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| {
                format!(
                    "expected cpus such as \"0-41\" or \"2,5,8\" up to {}, got {digits:?}",
                    Self::MAX_CPU
                )
            })
        };
        let mut cpus = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            if last < first {
                return Err(format!("the range {first}-{last} runs backwards"));
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }
}

impl Serialize for CpuList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for CpuList {
    fn schema_name() -> Cow<'static, str> {
        "CpuList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Cpus in Linux' list format: 0-41, or 2,5,8, or both.",
            "type": "string",
            "pattern": "^[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*$",
        })
    }
}

/// Pins the calling thread, and so every thread that it starts later, to what is granted.
///
/// # Errors
/// [`Code::PlacementMismatch`] when this machine lacks a granted cpu or node.
pub fn apply(granted: &Placement) -> Result<(), TaskError> {
    if let Some(cpus) = &granted.cpus {
        pin_to(cpus)?;
    }
    let policy = granted.memory_policy.unwrap_or(match granted.memory_node {
        Some(_) => MemoryPolicy::Preferred,
        None => return Ok(()),
    });
    mempolicy::set(policy, granted.memory_node).map_err(|error| {
        let node = granted.memory_node.map_or("none".to_owned(), |n| n.to_string());
        TaskError::new(
            Code::PlacementMismatch,
            format!("memory policy {policy:?} with node {node}: {error}"),
        )
        .hint("`numactl --hardware` lists the nodes of this machine")
    })
}

pub use mempolicy::set as set_memory_policy;

/// What the calling thread runs with.
pub fn observe() -> Placement {
    let (policy, node) =
        mempolicy::get().map_or((None, None), |(policy, node)| (Some(policy), node));
    Placement {
        cpus: current_cpus().ok(),
        memory_node: node,
        memory_policy: policy,
        gpus: std::env::var("CUDA_VISIBLE_DEVICES")
            .ok()
            .map(|list| list.split(',').map(|gpu| gpu.trim().to_owned()).collect()),
    }
}

/// The cpus that the calling thread may run on.
///
/// # Errors
/// What the kernel says.
pub fn current_cpus() -> std::io::Result<CpuList> {
    let set = sched_getaffinity(None)?;
    let bound = u32::try_from(CpuSet::MAX_CPU).unwrap_or(u32::MAX);
    Ok((0..bound).filter(|cpu| set.is_set(*cpu as usize)).collect())
}

fn pin_to(cpus: &CpuList) -> Result<(), TaskError> {
    let mismatch = |message: String| {
        TaskError::new(Code::PlacementMismatch, message)
            .hint("`lscpu` lists the cpus of this machine; the entry's `cgroup.cpuset` names them")
    };
    let mut set = CpuSet::new();
    for cpu in cpus.iter() {
        if cpu as usize >= CpuSet::MAX_CPU {
            return Err(mismatch(format!(
                "cpu {cpu} is past the {} of this system",
                CpuSet::MAX_CPU
            )));
        }
        set.set(cpu as usize);
    }
    sched_setaffinity(None, &set)
        .map_err(|error| mismatch(format!("cannot run on cpus {cpus}: {error}")))?;
    // The kernel silently drops cpus that do not exist or are not allowed, as long as one is left.
    let observed =
        current_cpus().map_err(|error| mismatch(format!("cannot read back the cpus: {error}")))?;
    if observed == *cpus {
        return Ok(());
    }
    Err(mismatch(format!(
        "cpus {} of {cpus} do not exist here or are not allowed",
        cpus.difference(&observed)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read_and_written_as_linux_does() {
        let check = |text: &str, canonical: &str| {
            assert_eq!(text.parse::<CpuList>().unwrap().to_string(), canonical, "{text}");
        };
        check("0-41", "0-41");
        check("2,5,8,11", "2,5,8,11");
        check("14,17,42-47,62", "14,17,42-47,62");
        check("3,1,2,1-2", "1-3");
        check("4,5", "4,5");
        for bad in ["", ",", "1-", "-1", "3-1", "a", "0x1", "1..2", "99999", "+1"] {
            bad.parse::<CpuList>().unwrap_err();
        }
    }

    #[test]
    fn a_cpu_that_this_machine_lacks_is_named() {
        let granted = Placement { cpus: Some("0,8000".parse().unwrap()), ..Placement::default() };
        // In a thread of its own: a pin that half succeeds stays.
        let error = std::thread::spawn(move || apply(&granted).unwrap_err()).join().unwrap();
        assert_eq!(error.known_code(), Some(Code::PlacementMismatch));
        assert!(error.message.contains("8000"), "{error}");
    }

    #[test]
    fn a_node_that_this_machine_lacks_is_refused() {
        let granted = Placement { memory_node: Some(63), ..Placement::default() };
        let error = std::thread::spawn(move || apply(&granted).unwrap_err()).join().unwrap();
        assert_eq!(error.known_code(), Some(Code::PlacementMismatch));
        assert!(error.message.contains("node 63"), "{error}");
    }

    #[test]
    fn what_is_applied_is_observed() {
        let observed = std::thread::spawn(|| {
            let first = current_cpus().unwrap().iter().next().unwrap();
            let granted = Placement {
                cpus: Some(CpuList::from_iter([first])),
                memory_node: Some(0),
                memory_policy: Some(MemoryPolicy::Preferred),
                gpus: None,
            };
            apply(&granted).unwrap();
            (granted, observe())
        });
        let (granted, observed) = observed.join().unwrap();
        assert_eq!(observed.cpus, granted.cpus);
        assert_eq!(observed.memory_node, granted.memory_node);
        assert_eq!(observed.memory_policy, granted.memory_policy);
    }
}
