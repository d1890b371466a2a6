// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes as the kernel shows them in `/proc`: which there are, whose group they are in, and
//! whose mark they carry.
//!
//! Ids are used again, so nothing here is killed by its id alone: a process is what has this id and
//! began at that time.

use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable by which everything that descends from a processor is found, even what has left its
/// process group and its parent. The worker sets it, and nobody else.
pub const MARK: &str = "SEALPIPE_PROCESSOR";

/// A process as `/proc/<pid>/stat` has it (proc_pid_stat(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    /// When it began, in clock ticks since boot.
    pub started: u64,
    /// Whether it is dead and only waits to be reaped.
    pub is_zombie: bool,
}

impl Process {
    /// Reads one; `None` when there is none.
    pub fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may hold anything.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        Some(Self {
            pid,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            started: field(22)?.parse().ok()?,
            is_zombie: matches!(*field(3)?, "Z" | "X"),
        })
    }

    /// Kills it, if it still is what it was and `is_meant` says so.
    pub fn kill(&self, is_meant: impl Fn(&Self) -> bool) {
        // From here on the descriptor is the process', whatever becomes of its id.
        let Some(Ok(open)) = Pid::from_raw(self.pid).map(|p| pidfd_open(p, PidfdFlags::empty()))
        else {
            return;
        };
        if Self::read(self.pid).is_some_and(|now| now.started == self.started && is_meant(&now)) {
            let _ = pidfd_send_signal(open, Signal::KILL);
        }
    }
}

/// All processes that can be seen.
pub fn processes() -> Vec<Process> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names.filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The mark that a process carries. What is dead carries none, and neither does what may not be
/// looked at.
pub fn mark_of(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variables = environment.split(|byte| *byte == 0);
    let values = variables.filter_map(|v| v.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="));
    values.filter_map(|value| String::from_utf8(value.to_vec()).ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b ) S) Z 1 5 6 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 4711 8 9";
        let expected = Process { pid: 7, group: 5, session: 6, started: 4711, is_zombie: true };
        assert_eq!(Process::parse(7, stat), Some(expected));
        assert_eq!(Process::parse(7, "7 (a) S 1"), None);
        assert_eq!(Process::parse(7, ""), None);
    }

    #[test]
    fn this_process_is_among_them() {
        let me = std::process::id().cast_signed();
        let found = processes().into_iter().find(|process| process.pid == me).unwrap();
        assert_eq!(Some(found), Process::read(me));
        assert_eq!(found.group, rustix::process::getpgrp().as_raw_nonzero().get());
        assert!(!found.is_zombie);
    }

    #[test]
    fn what_has_another_birthday_or_another_meaning_is_not_killed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::read(child.id().cast_signed()).unwrap();
        Process { started: process.started + 1, ..process }.kill(|_| true);
        process.kill(|_| false);
        assert!(child.try_wait().unwrap().is_none());
        process.kill(|_| true);
        assert!(!child.wait().unwrap().success());
    }
}
