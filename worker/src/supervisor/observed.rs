// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether processes really run where they were told to: read from `/proc`, not from their own
//! words, for every thread.

use std::{fs, io::Read, path::Path};

use rustix::process::Pid;
use sealpipe_protocol::{method::Placement, placement::CpuList};

/// Bytes of `numa_maps` that are read: enough for the first mapping's address and policy. The kernel
/// counts the pages of each mapping that it shows, and shows no more of them than are asked for.
const POLICY_BYTES: usize = 48;

/// What a process runs outside of, or `None` when all is as granted.
///
/// A thread that is gone in the middle of this is no mismatch.
pub fn mismatch(pid: Pid, granted: &Placement) -> Option<String> {
    let pid = pid.as_raw_nonzero();
    if granted.cpus.is_none() && granted.memory_node.is_none() {
        return None;
    }
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    threads.flatten().find_map(|thread| {
        let outside = thread_mismatch(&thread.path(), granted)?;
        let id = thread.file_name();
        let id = id.to_string_lossy();
        Some(match *id == *pid.to_string() {
            true => format!("its first thread {outside}"),
            false => format!("its thread {id} {outside}"),
        })
    })
}

fn thread_mismatch(thread: &Path, granted: &Placement) -> Option<String> {
    let cpus = granted.cpus.as_ref().and_then(|cpus| cpu_mismatch(thread, cpus));
    cpus.or_else(|| granted.memory_node.and_then(|node| memory_mismatch(thread, node)))
}

fn cpu_mismatch(thread: &Path, granted: &CpuList) -> Option<String> {
    let allowed = allowed_cpus(&fs::read_to_string(thread.join("status")).ok()?)?;
    let outside = !allowed.is_subset(granted);
    outside.then(|| format!("may run on cpus {allowed}, granted are {granted}"))
}

/// `Cpus_allowed_list` of a `/proc/<pid>/status` (proc_pid_status(5)).
fn allowed_cpus(status: &str) -> Option<CpuList> {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    line.trim().parse().ok()
}

/// Mappings without a policy of their own show the thread's in `numa_maps` (numa(7)), and the first
/// one, the program itself, has none; a kernel without NUMA has no such file, and then there is
/// nothing to mismatch.
fn memory_mismatch(thread: &Path, node: u32) -> Option<String> {
    let mut start = [0; POLICY_BYTES];
    let n = fs::File::open(thread.join("numa_maps")).ok()?.read(&mut start).ok()?;
    let start = String::from_utf8_lossy(&start[..n]);
    let policy = policy(&start)?;
    let outside = policy_node(policy) != Some(node);
    outside.then(|| format!("has the memory policy `{policy}`, granted is `prefer:{node}`"))
}

/// The policy in a line of `numa_maps`, which has a blank in `prefer (many):0`.
fn policy(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(' ')?;
    // What follows is `file=…`, which may hold anything.
    let many = "prefer (many)".len();
    let from = if rest.starts_with("prefer (many)") { many } else { 0 };
    Some(&rest[..rest[from..].find([' ', '\n']).map_or(rest.len(), |length| from + length)])
}

/// The node of `prefer:0`, `prefer=static:0`, `prefer (many):0` or `bind:0`.
fn policy_node(policy: &str) -> Option<u32> {
    let (mode, node) = policy.rsplit_once(':')?;
    let named = mode.starts_with("prefer") || mode.starts_with("bind");
    node.parse().ok().filter(|_| named)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::thread::{CpuSet, sched_setaffinity};
    use sealpipe_protocol::{
        method::MemoryPolicy,
        placement::{current_cpus, set_memory_policy},
    };

    use super::*;

    fn on(cpus: &CpuList) -> Placement {
        Placement { cpus: Some(cpus.clone()), ..Placement::default() }
    }

    /// What is said while another thread of this process has done something.
    fn said_while(act: fn(), granted: &Placement) -> Option<String> {
        let (done, is_done) = mpsc::channel();
        let (end, is_ended) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            act();
            done.send(()).unwrap();
            let _ = is_ended.recv();
        });
        is_done.recv().unwrap();
        let said = mismatch(rustix::process::getpid(), granted);
        drop(end);
        thread.join().unwrap();
        said
    }

    #[test]
    fn a_process_outside_of_its_cpus_is_found() {
        let me = rustix::process::getpid();
        assert_eq!(mismatch(me, &Placement::default()), None);
        let elsewhere = on(&"8000".parse().unwrap());
        let said = mismatch(me, &elsewhere).unwrap();
        assert!(said.ends_with("granted are 8000"), "{said}");
    }

    #[test]
    fn a_thread_that_binds_itself_elsewhere_is_found() {
        let all = current_cpus().unwrap();
        if all.len() < 2 {
            return eprintln!("SKIPPED: one cpu is no elsewhere");
        }
        let bind = || {
            let mut last = CpuSet::new();
            last.set(current_cpus().unwrap().iter().last().unwrap() as usize);
            sched_setaffinity(None, &last).unwrap();
        };
        let mut placed = on(&all);
        assert_eq!(said_while(bind, &placed), None, "a part of them is fine");
        let last = all.iter().last().unwrap();
        placed.cpus = Some(all.iter().filter(|cpu| *cpu != last).collect());
        let said = said_while(bind, &placed).unwrap();
        assert!(said.contains("granted are"), "{said}");
    }

    #[test]
    fn a_thread_with_another_memory_policy_is_found() {
        if !Path::new("/proc/self/numa_maps").exists() {
            return eprintln!("SKIPPED: this kernel has no NUMA");
        }
        let granted = Placement {
            memory_node: Some(0),
            memory_policy: Some(MemoryPolicy::Preferred),
            ..Placement::default()
        };
        let said = mismatch(rustix::process::getpid(), &granted).unwrap();
        assert!(said.ends_with("has the memory policy `default`, granted is `prefer:0`"), "{said}");
        let thread = || {
            let prefer = || set_memory_policy(MemoryPolicy::Preferred, Some(0)).unwrap();
            prefer();
            let task = format!("/proc/self/task/{}", rustix::thread::gettid().as_raw_nonzero());
            assert_eq!(memory_mismatch(Path::new(&task), 0), None);
            assert!(memory_mismatch(Path::new(&task), 1).is_some());
        };
        std::thread::spawn(thread).join().unwrap();
    }

    #[test]
    fn memory_policies_are_read_as_the_kernel_writes_them() {
        let check = |line: &str, expected, node| {
            let policy = policy(line).unwrap();
            assert_eq!((policy, policy_node(policy)), (expected, node), "{line}");
        };
        check("55d0 default file=/bin/a (deleted) mapped=3", "default", None);
        check("55d0 prefer:1 file=/bin/a", "prefer:1", Some(1));
        check("55d0 prefer (many):2 anon=1", "prefer (many):2", Some(2));
        check("55d0 prefer=relative:2", "prefer=relative:2", Some(2));
        check("55d0 bind:0\n", "bind:0", Some(0));
        check("55d0 interleave:0-3 N0=1", "interleave:0-3", None);
    }
}
