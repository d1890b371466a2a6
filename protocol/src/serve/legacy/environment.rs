// SPDX-License-Identifier: MIT OR Apache-2.0

//! Placement as damocles hands it to a processor: in variables. Pure.

use crate::{
    Code, TaskError,
    legacy::{CPUSET_ENV, NUMA_ENV},
    method::{MemoryPolicy, Placement},
    placement::CpuList,
};

/// What the variables grant. The control group's name means nothing here.
///
/// # Errors
/// A value that means nothing. damocles logs it and runs unpinned, which shows only in the speed.
pub fn placement(variable: impl Fn(&str) -> Option<String>) -> Result<Placement, TaskError> {
    let set = |name| variable(name).filter(|value| !value.trim().is_empty());
    let cpus = match set(CPUSET_ENV) {
        Some(list) => {
            Some(list.trim().parse::<CpuList>().map_err(|error| wrong(CPUSET_ENV, &error))?)
        }
        None => None,
    };
    let node = set(NUMA_ENV).map(|node| node.trim().parse::<i64>()).transpose();
    let node = node.map_err(|error| wrong(NUMA_ENV, &error.to_string()))?;
    // Below 0: the node of whatever cpu a thread runs on, which is what the kernel does.
    let memory_node = match node.filter(|node| *node >= 0) {
        Some(node) => {
            Some(u32::try_from(node).map_err(|error| wrong(NUMA_ENV, &error.to_string()))?)
        }
        None => None,
    };
    let memory_policy = memory_node.map(|_| MemoryPolicy::Preferred);
    Ok(Placement { cpus, memory_node, memory_policy, gpus: None })
}

fn wrong(name: &str, why: &str) -> TaskError {
    TaskError::new(Code::PlacementMismatch, format!("{name}: {why}"))
        .hint("the entry of this processor in worker.toml sets it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(cpus: Option<&str>, node: Option<&str>) -> Result<Placement, TaskError> {
        placement(|name| match name {
            CPUSET_ENV => cpus.map(str::to_owned),
            NUMA_ENV => node.map(str::to_owned),
            _ => panic!("{name} is not read"),
        })
    }

    #[test]
    fn variables_grant_what_damocles_means() {
        let check = |cpus, node, expected_cpus: Option<&str>, expected_node| {
            let found = granted(cpus, node).unwrap();
            assert_eq!(found.cpus.map(|cpus| cpus.to_string()).as_deref(), expected_cpus);
            assert_eq!(found.memory_node, expected_node);
            let policy = expected_node.map(|_| MemoryPolicy::Preferred);
            assert_eq!(found.memory_policy, policy);
        };
        check(None, None, None, None);
        check(Some("0-3,8"), Some("1"), Some("0-3,8"), Some(1));
        check(Some(""), Some("-1"), None, None);
        for (cpus, node) in [(Some("a"), None), (None, Some("one")), (None, Some("5000000000"))] {
            let error = granted(cpus, node).unwrap_err();
            assert_eq!(error.known_code(), Some(Code::PlacementMismatch));
        }
    }
}
