// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel shows of processes in `/proc`.

use std::{collections::BTreeSet, fs};

use sealpipe_protocol::placement::CpuList;

/// Ids of all processes that are there.
fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Processes in whose environment the value of `name` begins with `value`. A process that is dead
/// and not reaped has no environment.
pub fn marked(name: &str, value: &str) -> Vec<i32> {
    let assignment = format!("{name}={value}");
    let is_marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable.starts_with(assignment.as_bytes()))
    };
    pids().filter(is_marked).collect()
}

/// The process group of a process.
pub fn group(pid: i32) -> Option<i32> {
    stat(&format!("/proc/{pid}/stat"), 5)?.parse().ok()
}

/// A field of the `stat` of a process or a thread by its number in proc_pid_stat(5), from 3.
fn stat(path: &str, field: usize) -> Option<String> {
    let stat = fs::read_to_string(path).ok()?;
    // The name of the program, the second field, may have blanks and brackets in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(field.checked_sub(3)?).map(str::to_owned)
}

/// Whether all threads of a process and of its children sleep. What waits for a cpu or for a disk
/// does not, and what is dead has nothing left to do.
pub fn sleeps(pid: i32) -> bool {
    threads(pid).into_iter().all(|tid| {
        let thread = format!("/proc/{pid}/task/{tid}");
        let state = stat(&format!("{thread}/stat"), 3);
        let works = state.is_some_and(|state| matches!(state.as_str(), "R" | "D"));
        // Absent where the kernel was built without it.
        let children = fs::read_to_string(format!("{thread}/children")).unwrap_or_default();
        !works && children.split_whitespace().filter_map(|pid| pid.parse().ok()).all(sleeps)
    })
}

/// Ids of the threads of a process.
fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// A value of `/proc/<pid>/status`.
pub fn status(pid: i32, name: &str) -> Option<String> {
    status_value(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, name)
}

fn status_value(status: &str, name: &str) -> Option<String> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// Bytes that a process has ever had resident at a time.
pub fn peak_resident_bytes(pid: i32) -> Option<u64> {
    let kib: u64 = status(pid, "VmHWM")?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The cpus of each thread of a process: its id, its name, and where it may run.
pub fn thread_cpus(pid: i32) -> Vec<(i32, String, CpuList)> {
    let thread = |tid: i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
        let cpus = status_value(&status, "Cpus_allowed_list")?.parse().ok()?;
        Some((tid, status_value(&status, "Name")?, cpus))
    };
    threads(pid).into_iter().filter_map(thread).collect()
}

/// The memory policy of a process' mappings that have none of their own, such as `prefer:0`; `None`
/// where the kernel does not show it.
pub fn memory_policies(pid: i32) -> Option<BTreeSet<String>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/numa_maps")).ok()?;
    Some(maps.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect())
}

/// When a process was started, in the kernel's ticks: with its id it names a process for good.
pub fn born(pid: i32) -> Option<u64> {
    stat(&format!("/proc/{pid}/stat"), 22)?.parse().ok()
}

/// The state of a process, such as `R`, or `Z` once it is dead and not reaped.
pub fn state(pid: i32) -> Option<char> {
    stat(&format!("/proc/{pid}/stat"), 3)?.chars().next()
}
