// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes as the kernel shows them in `/proc`.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

/// Ticks in which `/proc` counts time: the kernel's `USER_HZ`, the same on all machines of today.
const TICKS_PER_SECOND: u64 = 100;

/// A process that runs.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// Its command line.
    pub command: String,
}

impl Process {
    /// All processes whose environment has `assignment`, such as `NAME=value`. A process that is
    /// dead and not reaped has no environment.
    pub fn marked(assignment: &str) -> Vec<Self> {
        let pids = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse::<i32>().ok());
        let marked = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == assignment.as_bytes())
        };
        pids.filter(marked).filter_map(Self::read).collect()
    }

    fn read(pid: i32) -> Option<Self> {
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
        let parent = status(pid, "PPid:")?.parse().ok()?;
        Some(Self { pid, parent, command })
    }

    /// Memory of a process that is resident, in bytes.
    pub fn resident_bytes(pid: i32) -> Option<u64> {
        let kib: u64 = status(pid, "VmRSS:")?.strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    }

    /// What the cpus have worked for a process (proc_pid_stat(5): utime and stime).
    pub fn cpu_time(pid: i32) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(Duration::from_millis((next()? + next()?) * 1000 / TICKS_PER_SECOND))
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A value of `/proc/<pid>/status` (proc_pid_status(5)).
fn status(pid: i32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}
