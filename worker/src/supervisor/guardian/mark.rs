// SPDX-License-Identifier: MIT OR Apache-2.0

//! The mark that all descendants of a processor inherit in their environment, unless they clear it.

use std::{
    fmt,
    os::unix::fs::MetadataExt,
    str::FromStr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use serde::{Deserialize, Serialize};

use super::super::process_table::{Process, mark_of};

/// A worker: a process of this boot of the machine, told from all others that ever have its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Worker {
    /// Where its id counts: the inode of its namespace of ids. A container has its own.
    namespace: u64,
    pid: i32,
    /// When it began, in clock ticks since boot.
    started: u64,
}

impl Worker {
    /// This process.
    pub fn own() -> Self {
        static OWN: OnceLock<Worker> = OnceLock::new();
        *OWN.get_or_init(|| {
            let pid = std::process::id().cast_signed();
            let started = Process::read(pid).map_or(0, |process| process.started);
            Self { namespace: namespace(), pid, started }
        })
    }

    /// Whether it is known to be gone. A worker of another namespace is not ours to judge.
    pub fn is_gone(self) -> bool {
        let is_gone = match Process::read(self.pid) {
            Some(now) => now.started != self.started || now.is_zombie,
            // `/proc` may hide what is another user's.
            None => {
                Pid::from_raw(self.pid).is_none_or(|p| test_kill_process(p) == Err(Errno::SRCH))
            }
        };
        is_gone && self.namespace == namespace()
    }
}

/// The inode of this process' namespace of ids; 0 where the kernel does not say.
fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

/// The mark of one process that a worker has started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Who started it.
    pub worker: Worker,
    n: u64,
}

impl Mark {
    /// A mark for the next process of this worker.
    pub fn next() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        Self { worker: Worker::own(), n: COUNT.fetch_add(1, Ordering::Relaxed) }
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.namespace, self.pid, self.started)
    }
}

impl FromStr for Worker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('-');
        let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let worker = match (next(), next(), next()) {
            (Some(namespace), Some(pid), Some(started)) => {
                i32::try_from(pid).ok().map(|pid| Self { namespace, pid, started })
            }
            _ => None,
        };
        worker.filter(|_| parts.next().is_none()).ok_or_else(|| format!("{text:?} is no worker"))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.worker, self.n)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('-');
        let mark = parts.and_then(|(worker, n)| Some((worker.parse().ok()?, n.parse().ok()?)));
        mark.map(|(worker, n)| Self { worker, n }).ok_or_else(|| format!("{text:?} is no mark"))
    }
}

/// Those of `processes` that live and carry a mark of a worker.
pub fn marked(processes: &[Process]) -> Vec<(Process, Mark)> {
    let living = processes.iter().filter(|process| !process.is_zombie);
    living.filter_map(|process| Some((*process, mark_of(process.pid)?.parse().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = Mark::next();
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert_ne!(mark, Mark::next());
        assert_eq!(mark.worker.to_string().parse(), Ok(Worker::own()));
        for bad in ["", "1", "1-2-3", "1-2-3-4-5", "1-2-3-x", "a-2-3-4", "1-9999999999-3-4"] {
            bad.parse::<Mark>().unwrap_err();
        }
    }

    #[test]
    fn a_worker_is_gone_when_its_id_is_anothers() {
        let own = Worker::own();
        assert!(!own.is_gone());
        assert!(Worker { started: own.started + 1, ..own }.is_gone());
        // The kernel's highest id is 4194304.
        assert!(Worker { pid: 5_000_000, ..own }.is_gone());
        let elsewhere = Worker { namespace: own.namespace + 1, pid: 5_000_000, ..own };
        assert!(!elsewhere.is_gone());
    }
}
