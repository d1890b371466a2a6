// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor's process: its start, its pipes, its group and its end.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process, kill_process_group},
    thread::{CpuSet, sched_setaffinity},
};
use sealpipe_protocol::{PROTOCOL_ENV, placement::CpuList};

use super::{
    Settings,
    faults::{Fault, has},
};

/// Bytes of stderr that are kept.
const KEPT_BYTES: usize = 2_000;

/// Lines that wait to be dealt with.
const WAITING_LINES: usize = 1_000;

/// The frames that it takes before `initialize` is answered.
const FIRST_LIMIT: usize = 1024 * 1024;

/// What comes from a processor.
pub enum Heard {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line over the limit.
    TooLong,
    /// The end of stdout.
    End,
}

/// A process.
pub struct Process {
    child: Child,
    pid: Pid,
    to_write: Option<Sender<Vec<u8>>>,
    /// With one that writes before it reads: where it writes.
    stdin: Option<ChildStdin>,
    /// What it says.
    pub heard: Receiver<Heard>,
    /// The frames that are taken from it, in bytes.
    pub limit: Arc<AtomicUsize>,
    stderr: Arc<Mutex<Vec<u8>>>,
    drain: Option<JoinHandle<()>>,
    /// What is handed over by mistake.
    _leaked: Vec<std::os::fd::OwnedFd>,
}

impl Process {
    /// Starts the processor.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let cpus = settings.cpus.clone().filter(|_| settings.pinning == "worker");
        match cpus.filter(|_| !has(Fault::NeverPins)) {
            None => Self::start_here(settings),
            // Affinity is a thread's and is inherited.
            Some(cpus) => thread::scope(|scope| {
                let started = scope.spawn(|| {
                    pin(&cpus)?;
                    Self::start_here(settings)
                });
                started.join().unwrap_or_else(|_| Err(io::Error::other("the thread died")))
            }),
        }
    }

    fn start_here(settings: &Settings) -> io::Result<Self> {
        let mut command = Command::new(&settings.processor);
        if has(Fault::ListsOtherVersions) {
            command.env(PROTOCOL_ENV, "1.0,1.1");
        } else if !has(Fault::NoEnvironment) {
            command.env(PROTOCOL_ENV, "1.0");
        }
        if !has(Fault::SharesItsGroup) {
            command.process_group(0);
        }
        let mut leaked = Vec::new();
        if has(Fault::LeaksAPipe) || has(Fault::LeaksStdin) {
            let (reader, writer) = rustix::pipe::pipe()?;
            if has(Fault::LeaksAPipe) {
                leaked.push(reader);
            } else {
                fcntl_setfd(&reader, FdFlags::CLOEXEC)?;
                command.stdin(reader);
            }
            leaked.push(writer);
        }
        if !has(Fault::LeaksStdin) {
            command.stdin(Stdio::piped());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if has(Fault::LeaksStdin) {
            leaked.iter().try_for_each(|fd| fcntl_setfd(fd, FdFlags::CLOEXEC))?;
        }
        let pid = Pid::from_child(&child);
        let pipes = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = pipes else { return Err(io::Error::other("no pipes")) };
        let stdin = match leaked.pop().filter(|_| has(Fault::LeaksStdin)) {
            Some(writer) => ChildStdin::from(writer),
            None => child.stdin.take().ok_or_else(|| io::Error::other("no stdin"))?,
        };
        let limit =
            Arc::new(AtomicUsize::new(FIRST_LIMIT - usize::from(has(Fault::FirstLimitIsLess))));
        let (heard_tx, heard) = sync_channel(WAITING_LINES);
        let reading = limit.clone();
        thread::spawn(move || read(stdout, &reading, &heard_tx));
        let tail = Arc::new(Mutex::new(Vec::new()));
        let drain = drain(stderr, tail.clone());
        let mut process = Self {
            child,
            pid,
            to_write: None,
            stdin: None,
            heard,
            limit,
            stderr: tail,
            drain,
            _leaked: leaked,
        };
        if has(Fault::WritesBeforeItReads) {
            process.stdin = Some(stdin);
        } else {
            let (to_write, lines) = channel();
            process.to_write = Some(to_write);
            thread::spawn(move || write(stdin, &lines));
        }
        Ok(process)
    }

    /// Sends bytes; what cannot be written, since the process is gone, is seen by its end.
    pub fn send(&mut self, bytes: Vec<u8>) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(&bytes);
        }
        if let Some(to_write) = &self.to_write {
            let _ = to_write.send(bytes);
        }
    }

    /// Closes stdin once all is written.
    pub fn close(&mut self) {
        self.stdin = None;
        self.to_write = None;
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if has(Fault::LeavesZombies) {
            return None;
        }
        self.child.try_wait().ok().flatten()
    }

    /// Kills it and its group, and reaps it.
    pub fn kill(&mut self) {
        let _ = match has(Fault::KillsOne) || has(Fault::SharesItsGroup) {
            true => kill_process(self.pid, Signal::KILL),
            false => kill_process_group(self.pid, Signal::KILL),
        };
        if !has(Fault::LeavesZombies) {
            let _ = self.child.wait();
        }
    }

    /// Sends it SIGTERM.
    pub fn terminate(&self) {
        let _ = kill_process(self.pid, Signal::TERM);
    }

    /// What it said last, once it is gone.
    pub fn last_words(&mut self) -> String {
        // A child may hold the pipe open: what is there soon is all that counts.
        for _ in 0..20 {
            if self.drain.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let text = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    /// What it runs outside of, as `/proc` shows it.
    pub fn mismatch(&self, cpus: Option<&CpuList>, node: Option<u32>) -> Option<String> {
        let pid = self.pid.as_raw_nonzero();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for thread in threads.filter(|_| cpus.is_some()) {
            let name = thread.file_name();
            if has(Fault::LooksAtOneThread) && name.to_str() != Some(&pid.to_string()) {
                continue;
            }
            let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            let mut lines = status.lines();
            let allowed = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            let allowed: Option<CpuList> = allowed.and_then(|list| list.trim().parse().ok());
            let granted = cpus.zip(allowed).is_none_or(|(cpus, all)| all.is_subset(cpus));
            if !granted {
                return Some(format!("thread {} may run elsewhere", name.display()));
            }
        }
        let node = node.filter(|_| !has(Fault::IgnoresMemory))?;
        let maps = fs::read_to_string(format!("/proc/{pid}/numa_maps")).ok()?;
        let wanted = format!(":{node}");
        let mut policies = maps.lines().filter_map(|line| line.split(' ').nth(1));
        let bound = policies.any(|p| p.starts_with("prefer") && p.ends_with(&wanted));
        (!bound).then(|| format!("it does not prefer the memory of node {node}"))
    }
}

fn pin(cpus: &CpuList) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(cpu as usize));
    Ok(sched_setaffinity(None, &set)?)
}

fn write(mut stdin: ChildStdin, lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        if stdin.write_all(&line).is_err() {
            return;
        }
    }
}

fn drain(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) -> Option<JoinHandle<()>> {
    if has(Fault::LeavesStderr) {
        // Open, and nobody reads it.
        std::mem::forget(stderr);
        return None;
    }
    Some(thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(n) = stderr.read(&mut chunk) {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(&chunk[..n]);
            let excess = tail.len().saturating_sub(KEPT_BYTES);
            tail.drain(..excess);
            if n == 0 {
                return;
            }
        }
    }))
}

/// Reads lines to the end; what is over the limit is passed over.
fn read(mut stdout: ChildStdout, limit: &AtomicUsize, heard: &SyncSender<Heard>) {
    let mut chunk = vec![0; 64 * 1024];
    let (mut line, mut too_long) = (Vec::new(), false);
    loop {
        let n = match stdout.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut bytes = &chunk[..n];
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            take(&mut line, &mut too_long, &bytes[..end], limit);
            let whole = std::mem::take(&mut line);
            let next =
                if std::mem::take(&mut too_long) { Heard::TooLong } else { Heard::Line(whole) };
            if heard.send(next).is_err() {
                return;
            }
            bytes = &bytes[end + 1..];
        }
        take(&mut line, &mut too_long, bytes, limit);
    }
    if has(Fault::ActsOnCutOffLine) && !line.is_empty() {
        let _ = heard.send(Heard::Line(line));
    }
    if has(Fault::IgnoresTheEnd) {
        // As if there were more to come.
        loop {
            thread::park();
        }
    }
    let _ = heard.send(Heard::End);
}

fn take(line: &mut Vec<u8>, too_long: &mut bool, bytes: &[u8], limit: &AtomicUsize) {
    if !*too_long || has(Fault::KeepsLongLines) {
        line.extend_from_slice(bytes);
    }
    let limit = limit.load(Ordering::Relaxed);
    let ended = line.strip_suffix(b"\r").unwrap_or(line);
    if ended.len() > limit && !has(Fault::HasNoLimit) {
        *too_long = true;
        if !has(Fault::KeepsLongLines) {
            *line = Vec::new();
        }
    }
}
