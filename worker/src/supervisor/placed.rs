// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a process is held where it belongs, and whether it stays there.

use std::{fmt, path::PathBuf, time::Duration};

use rustix::process::Pid;
use sealpipe_protocol::method::Placement;
use serde::{Deserialize, Serialize};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::interval,
};

use super::{
    ProcessorSpec,
    cgroup::{self, Share},
    observed,
    process_table::{Process, processes},
    processor::Shared,
};
use crate::{
    config::Pinning,
    event::{Event, Observer},
};

/// How often it is looked whether a process still is where it was placed. A thread that binds itself
/// elsewhere costs speed, not correctness.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What holds a process to its cpus.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Placed {
    /// A control group.
    ControlGroup {
        /// Its directory.
        dir: PathBuf,
    },
    /// The affinity of its threads, which it may change.
    Affinity,
    /// Nothing: it has no cpus of its own, or nobody pins it.
    Nothing,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlGroup { .. } => f.write_str("in a control group"),
            Self::Affinity => f.write_str("cpus by affinity"),
            Self::Nothing => f.write_str("on any cpu"),
        }
    }
}

impl Placed {
    /// What holds a process of `spec` that is in this control group.
    pub fn of(spec: &ProcessorSpec, control_group: Option<PathBuf>) -> Self {
        match control_group {
            Some(dir) => Self::ControlGroup { dir },
            None if spec.placement.cpus.is_some() && spec.pinning != Pinning::Off => Self::Affinity,
            None => Self::Nothing,
        }
    }
}

/// Makes the control group of a process of `spec`, where the worker may.
///
/// # Errors
/// What the kernel says, or cpus that the worker's own group does not have.
pub fn control_group(spec: &ProcessorSpec) -> std::io::Result<Option<PathBuf>> {
    let Some(own) = cgroup::own() else { return Ok(None) };
    let (stage, index) = (spec.id.stage.name(), spec.id.index);
    let share = Share {
        parent: spec.control_group.clone(),
        name: index.map_or(format!("{stage}-implied"), |index| format!("{stage}-{index}")),
        cpus: spec.placement.cpus.clone().filter(|_| spec.pinning != Pinning::Off),
        weight: spec.cpu_weight,
    };
    own.make(&share).map(Some)
}

/// A look now and then whether a process stays where it was placed; ends when dropped.
#[derive(Default)]
pub struct Watch(Option<JoinHandle<()>>);

impl Watch {
    /// Looks after a process of an entry, unless nobody pins it.
    pub fn over(pid: Pid, entry: &Shared, observer: Observer) -> Self {
        let spec = entry.spec();
        if spec.pinning == Pinning::Off {
            return Self(None);
        }
        let mut eye = Eye { pid, granted: spec.placement.clone(), is_told: false };
        let name = entry.name.clone();
        Self(Some(tokio::spawn(async move {
            let mut ticks = interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                // It reads all of `/proc`.
                let looked = spawn_blocking(move || (eye.look(), eye)).await;
                let Ok((found, same)) = looked else { return };
                eye = same;
                if let Some(mismatch) = found {
                    let (processor, pid) = (name.to_string(), pid.as_raw_nonzero().get());
                    observer.tell(&Event::ProcessorMisplaced { processor, pid, mismatch });
                }
            }
        })))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

struct Eye {
    pid: Pid,
    granted: Placement,
    is_told: bool,
}

impl Eye {
    /// What the process, or one of its group, runs outside of: once, until all of them have been where
    /// they belong again.
    fn look(&mut self) -> Option<String> {
        let group = self.pid.as_raw_nonzero().get();
        let helpers = processes().into_iter().filter(|p| p.group == group && p.pid != group);
        let of_helper = |helper: Process| {
            let found = observed::mismatch(Pid::from_raw(helper.pid)?, &self.granted)?;
            Some(format!("its helper process {}: {found}", helper.pid))
        };
        let found = observed::mismatch(self.pid, &self.granted);
        let found = found.or_else(|| helpers.filter_map(of_helper).next());
        let was_told = std::mem::replace(&mut self.is_told, found.is_some());
        found.filter(|_| !was_told)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        os::unix::process::CommandExt,
        process::Stdio,
    };

    use rustix::{
        process::{Signal, kill_process_group},
        thread::{CpuSet, sched_setaffinity},
    };
    use sealpipe_protocol::placement::{CpuList, current_cpus};

    use super::*;

    #[test]
    fn a_process_that_leaves_its_cpus_is_told_of_each_time_once() {
        let cpus = current_cpus().unwrap();
        let (first, last) = (cpus.iter().next().unwrap(), cpus.iter().last().unwrap());
        if first == last {
            return eprintln!("SKIPPED: one cpu is no elsewhere");
        }
        // A leader, and a helper whose id it prints.
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = Pid::from_child(&child);
        let helper = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let bind = |pid: Pid, cpu: u32| {
            let mut set = CpuSet::new();
            set.set(cpu as usize);
            sched_setaffinity(Some(pid), &set).unwrap();
        };
        let granted = Placement { cpus: Some(CpuList::from_iter([first])), ..Placement::default() };
        let mut eye = Eye { pid, granted, is_told: false };
        bind(pid, first);
        bind(helper, first);
        assert_eq!(eye.look(), None);
        let said = format!("its first thread may run on cpus {last}, granted are {first}");
        let of_helper = format!("its helper process {}: {said}", helper.as_raw_nonzero());
        for (who, said) in [(pid, &said), (helper, &of_helper), (pid, &said)] {
            bind(who, last);
            assert_eq!(eye.look().as_ref(), Some(said));
            assert_eq!(eye.look(), None);
            bind(who, first);
            assert_eq!(eye.look(), None);
        }
        kill_process_group(pid, Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
