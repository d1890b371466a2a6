// SPDX-License-Identifier: MIT OR Apache-2.0

//! A child process: started in a group of its own, its stderr always drained, killed and reaped as
//! a group.

use std::{
    collections::VecDeque,
    io,
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, getpid, kill_process_group},
    thread::CpuSet,
};
use sealpipe_protocol::{PROTOCOL_ENV, Version, legacy, placement::CpuList};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child as TokioChild, ChildStderr, ChildStdin, ChildStdout, Command},
    runtime::Handle,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::{
    ProcessorSpec, cgroup,
    connection::Dialect,
    guardian::{self, Group},
    placed::{Placed, control_group},
    spawn::{before_exec, enter_group},
    spec::Name,
};
use crate::{config::Pinning, hardware::PLANNING_ENVS};

/// Lines of stderr that are kept, to show when the process dies.
const KEPT_LINES: usize = 20;

/// Longest line of stderr that is kept, in bytes.
const KEPT_LINE_BYTES: u64 = 4096;

/// How long the last lines of stderr may take to come once the process is gone: a grandchild may
/// hold the pipe open.
const STDERR_DRAIN: Duration = Duration::from_millis(200);

/// The last lines of a process' stderr.
#[derive(Clone, Default)]
pub struct StderrTail(Arc<Mutex<VecDeque<String>>>);

impl StderrTail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// A running process.
pub struct Child {
    process: TokioChild,
    pid: Pid,
    /// What belongs to it and is not known to be gone.
    group: Option<Group>,
    placed: Placed,
    stderr: StderrTail,
    drain: JoinHandle<()>,
}

impl Child {
    /// Starts a processor. The ends of its stdin and stdout are the caller's.
    pub fn spawn(
        spec: &ProcessorSpec,
        name: &Name,
        dialect: Dialect,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        let mut command = Command::new(&spec.program.bin);
        command.args(&spec.program.args);
        if !spec.inherit_envs {
            command.env_clear();
        }
        // They describe another machine to hwloc: meant for a planning command alone.
        for name in PLANNING_ENVS {
            command.env_remove(name);
        }
        match dialect {
            Dialect::Protocol => {
                let offered: Vec<_> = Version::SUPPORTED.iter().map(ToString::to_string).collect();
                command.env(PROTOCOL_ENV, offered.join(","));
            }
            Dialect::Legacy => {
                // A worker of damocles may have started this one; it is not the processor's parent.
                for name in [PROTOCOL_ENV, legacy::CPUSET_ENV, legacy::GROUP_ENV, legacy::NUMA_ENV]
                {
                    command.env_remove(name);
                }
            }
        }
        command.envs(&spec.envs);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let cpus = spec.placement.cpus.as_ref().filter(|_| spec.pinning == Pinning::Worker);
        let node = spec.placement.memory_node.filter(|_| spec.pinning == Pinning::Worker);
        let control_group = control_group(spec)?;
        let removed = |_: &io::Error| control_group.iter().for_each(|dir| cgroup::remove(dir));
        if let Some(dir) = &control_group {
            enter_group(&mut command, cgroup::entrance(dir).inspect_err(removed)?);
        }
        let mark = before_exec(&mut command, getpid(), cpus.map(cpu_set), node);
        let mut process = command.spawn().inspect_err(removed)?;
        let pid = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let ends = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(pid), (Some(stdin), Some(stdout), Some(stderr))) = (pid, ends) else {
            return Err(io::Error::other("the process has no pid or no pipes"));
        };
        let group = Group::of(pid, mark, control_group.clone());
        group.iter().for_each(guardian::began);
        let placed = Placed::of(spec, control_group);
        let tail = StderrTail::default();
        let drain = tokio::spawn(drain(stderr, tail.clone(), name.clone()));
        Ok((Self { process, pid, group, placed, stderr: tail, drain }, stdin, stdout))
    }

    /// The process' id, which is its group's as well.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// What holds it to its cpus.
    pub fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Waits until the process is gone.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Kills the process and all that descends from it, and reaps it.
    pub async fn kill(&mut self) -> Option<ExitStatus> {
        self.kill_group();
        let status = self.process.wait().await.ok();
        if let Some(group) = self.group.take() {
            // It reads all of `/proc`. That it panics is no reason to do so here.
            let _ = spawn_blocking(move || end(&group)).await;
        }
        status
    }

    fn kill_group(&self) {
        // Before the process is reaped the group's id cannot be anybody else's.
        if self.process.id().is_some() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// What it said last; waits a moment for what is still in the pipe.
    pub async fn last_words(&mut self) -> Vec<String> {
        let _ = timeout(STDERR_DRAIN, &mut self.drain).await;
        self.stderr.lines()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill_group();
        // Without a runtime the worker is about to end, and the guardian does this.
        if let (Some(group), Ok(runtime)) = (self.group.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || end(&group));
        }
    }
}

/// Kills what is left of a processor, wherever it has gone.
fn end(group: &Group) {
    let left = group.end();
    if left.is_empty() {
        return guardian::ended(group);
    }
    let pids: Vec<_> = left.iter().map(|process| process.pid).collect();
    tracing::warn!("processes {pids:?} cannot be killed");
}

fn cpu_set(cpus: &CpuList) -> CpuSet {
    let mut set = CpuSet::new();
    for cpu in cpus.iter().map(|cpu| cpu as usize).filter(|cpu| *cpu < CpuSet::MAX_CPU) {
        set.set(cpu);
    }
    set
}

/// Reads stderr to its end, whatever it holds.
async fn drain(stderr: ChildStderr, tail: StderrTail, name: Name) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(KEPT_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() {
            tracing::info!(processor = %name, "{text}");
            tail.push(text);
        }
    }
}

/// How a process ended, for people.
pub fn describe_exit(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(9)) => {
                "was killed (signal 9; the kernel does that when memory runs out)".to_owned()
            }
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
        None => "ended".to_owned(),
    }
}
