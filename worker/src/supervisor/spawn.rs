// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens between fork and exec, and nothing else.
#![expect(unsafe_code, reason = "only `pre_exec` reaches the child before exec")]

use std::{fs::File, io};

use rustix::{
    process::{Pid, Signal, getppid, set_parent_process_death_signal},
    thread::{CpuSet, sched_setaffinity},
};
use sealpipe_protocol::{method::MemoryPolicy, placement::set_memory_policy};
use tokio::process::Command;

use super::{guardian::Mark, process_table::MARK};

/// Has the child enter a control group, whose `cgroup.procs` is open for writing, before anything
/// else that is set up after this.
pub fn enter_group(command: &mut Command, group: File) {
    // Whoever writes 0 goes there itself.
    let enter = move || rustix::io::write(&group, b"0").map(drop).map_err(io::Error::from);
    // SAFETY: the closure runs in the forked child, where only async-signal-safe functions may be
    // called: it makes one plain system call on a descriptor moved into it, allocates nothing, takes
    // no lock, and its error is a raw number.
    unsafe { command.pre_exec(enter) };
}

/// Has the kernel send SIGTERM to the child when the worker dies, so that even a processor that
/// does not look at its stdin ends; pins it to `cpus` and the memory of `node` where the worker
/// does that; and marks it and all that descends from it for the [guardian](super::guardian). Its
/// environment is complete before.
pub fn before_exec(
    command: &mut Command,
    worker: Pid,
    cpus: Option<CpuSet>,
    node: Option<u32>,
) -> Mark {
    let mark = Mark::next();
    command.env(MARK, mark.to_string());
    let prepare = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // The worker may have died before the line above.
        if getppid() != Some(worker) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()));
        }
        if let Some(cpus) = &cpus {
            sched_setaffinity(None, cpus)?;
        }
        if node.is_some() {
            set_memory_policy(MemoryPolicy::Preferred, node)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe functions may be
    // called: it makes four plain system calls on values moved into it, allocates nothing, takes
    // no lock, and its errors are raw numbers.
    unsafe { command.pre_exec(prepare) };
    mark
}
