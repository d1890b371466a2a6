// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a process really runs where it was told to: read from `/proc`, not from its own words.

use std::fs;

use rustix::process::Pid;
use sealpipe_protocol::{method::Placement, placement::CpuList};

/// What a process runs outside of, or `None` when all is as granted.
///
/// A thread that is gone in the middle of this is no mismatch.
pub fn mismatch(pid: Pid, granted: &Placement) -> Option<String> {
    let pid = pid.as_raw_nonzero();
    let cpus = granted.cpus.as_ref().and_then(|cpus| cpu_mismatch(pid.get(), cpus));
    cpus.or_else(|| granted.memory_node.and_then(|node| memory_mismatch(pid.get(), node)))
}

fn cpu_mismatch(pid: i32, granted: &CpuList) -> Option<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    for thread in threads.flatten() {
        let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
        let Some(allowed) = allowed_cpus(&status) else { continue };
        if !allowed.is_subset(granted) {
            return Some(format!(
                "thread {} may run on cpus {allowed}, granted are {granted}",
                thread.file_name().to_string_lossy()
            ));
        }
    }
    None
}

/// `Cpus_allowed_list` of a `/proc/<pid>/status` (proc_pid_status(5)).
fn allowed_cpus(status: &str) -> Option<CpuList> {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    line.trim().parse().ok()
}

/// Mappings without a policy of their own show that of the process in `/proc/<pid>/numa_maps`
/// (numa(7)); a kernel without NUMA has no such file, and then there is nothing to mismatch.
fn memory_mismatch(pid: i32, node: u32) -> Option<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/numa_maps")).ok()?;
    let policies: Vec<&str> = maps.lines().filter_map(|l| l.split(' ').nth(1)).collect();
    let granted = |policy: &&str| policy_node(policy) == Some(node);
    if policies.is_empty() || policies.iter().any(granted) {
        return None;
    }
    Some(format!("its memory policy is `{}`, granted is `prefer:{node}`", policies[0]))
}

/// The node of `prefer:0`, `prefer=static:0` or `bind:0`.
fn policy_node(policy: &str) -> Option<u32> {
    let (mode, node) = policy.rsplit_once(':')?;
    let named = mode.starts_with("prefer") || mode.starts_with("bind");
    node.parse().ok().filter(|_| named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_outside_of_its_cpus_is_found() {
        let me = rustix::process::getpid();
        let all = sealpipe_protocol::placement::current_cpus().unwrap();
        let placement = |cpus: CpuList| Placement { cpus: Some(cpus), ..Placement::default() };
        assert_eq!(mismatch(me, &placement(all)), None);
        let elsewhere = placement("8000".parse().unwrap());
        assert!(mismatch(me, &elsewhere).unwrap().contains("granted are 8000"));
    }

    #[test]
    fn memory_policies_are_read_as_the_kernel_writes_them() {
        let check = |policy, node| assert_eq!(policy_node(policy), node, "{policy}");
        check("default", None);
        check("prefer:1", Some(1));
        check("prefer=relative:2", Some(2));
        check("bind:0", Some(0));
        check("interleave:0-3", None);
    }
}
