// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processor under test, started as the worker would start it: in a process group of its own,
//! with pipes at its stdin and stdout and `SEALPIPE_PROTOCOL` in its environment.
//!
//! Nothing reads in the background: a check that does not read is a worker that stalls.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionbio,
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open},
    thread::{CpuSet, sched_setaffinity},
};
use sealpipe_protocol::{PROTOCOL_ENV, placement::CpuList};

use crate::{
    check::{Failure, Verdict},
    proc,
};

/// Marks the process and everything that it starts.
pub const MARK_ENV: &str = "SEALPIPE_CONFORMANCE_MARK";

/// Bytes of stderr that are shown of a process that died.
const STDERR_TAIL_BYTES: usize = 400;

/// Most of what is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// How to start it.
pub struct Launch {
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// The value of [`MARK_ENV`].
    pub mark: String,
    /// Where its stderr goes.
    pub stderr: File,
    /// The same, by name.
    pub stderr_path: PathBuf,
}

/// A line that it wrote, without the line end.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The running processor.
pub struct Subject {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    chunk: Vec<u8>,
    partial: Vec<u8>,
    lines: VecDeque<Line>,
    eof: bool,
    exit: Option<ExitStatus>,
    mark: String,
    stderr_path: PathBuf,
}

impl Subject {
    /// Starts it.
    ///
    /// # Errors
    /// [`Failure::Harness`] when there is no such program.
    pub fn start(launch: Launch) -> Verdict<Self> {
        let [program, arguments @ ..] = &launch.command[..] else {
            return Err(Failure::Harness("no program to start".into()));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .env(PROTOCOL_ENV, "1.0")
            .env(MARK_ENV, &launch.mark)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(launch.stderr)
            .spawn()
            .map_err(|e| Failure::harness(&format!("cannot start {}", program.display()), e))?;
        let system = |e: io::Error| Failure::harness("cannot watch the processor", e);
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or_else(|| system(io::ErrorKind::NotFound.into()))?;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|e| system(e.into()))?;
        for end in stdin.iter().map(AsFd::as_fd).chain([stdout.as_fd()]) {
            ioctl_fionbio(end, true).map_err(|e| system(e.into()))?;
        }
        Ok(Self {
            child,
            pid,
            pidfd,
            stdin,
            stdout,
            chunk: vec![0; CHUNK_BYTES],
            partial: Vec::new(),
            lines: VecDeque::new(),
            eof: false,
            exit: None,
            mark: launch.mark,
            stderr_path: launch.stderr_path,
        })
    }

    /// Starts it on these cpus only. Affinity is a thread's, so a thread is made for it.
    ///
    /// # Errors
    /// As [`Self::start`], and when this process may not run there.
    pub fn start_on(launch: Launch, cpus: &CpuList) -> Verdict<Self> {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(cpu as usize));
        let pinned = thread::spawn(move || {
            sched_setaffinity(None, &set).map_err(|e| Failure::harness("cannot pin", e))?;
            Self::start(launch)
        });
        pinned.join().unwrap_or_else(|_| Err(Failure::Harness("the starting thread died".into())))
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Writes all of it. What the processor writes meanwhile is read, unless `stalled`.
    ///
    /// # Errors
    /// When it does not take it in time.
    pub fn write(&mut self, mut bytes: &[u8], within: Duration, stalled: bool) -> Verdict {
        let deadline = Instant::now() + within;
        while !bytes.is_empty() {
            let Some(stdin) = &mut self.stdin else {
                return Err(Failure::Harness("the harness has closed stdin already".into()));
            };
            match stdin.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        let text = format!("does not read: {} bytes wait in vain", bytes.len());
                        return Err(Failure::Untimely(self.with_end(&text)));
                    }
                    self.wait(deadline, true, !stalled)?;
                }
                Err(e) => {
                    let text = format!("has closed its stdin: {e}");
                    self.wait_exit(Duration::from_millis(200))?;
                    return Err(Failure::Broken(self.with_end(&text)));
                }
            }
        }
        Ok(())
    }

    /// Closes its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line, if one comes in time and its stdout is not at an end.
    pub fn read_line(&mut self, within: Duration) -> Verdict<Option<Line>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if self.eof {
                return Ok(None);
            }
            // What is there is read even when the time is over.
            self.wait(deadline, false, true)?;
            if self.lines.is_empty() && Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// Whether its stdout has ended.
    pub fn is_at_end(&self) -> bool {
        self.eof && self.lines.is_empty()
    }

    /// What it wrote after its last line end.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Waits for its end and reads what it says meanwhile; `None` when it lives on.
    pub fn wait_exit(&mut self, within: Duration) -> Verdict<Option<ExitStatus>> {
        let deadline = Instant::now() + within;
        loop {
            if self.exit.is_none() {
                let exit = self.child.try_wait();
                self.exit = exit.map_err(|e| Failure::harness("cannot wait for the process", e))?;
            }
            if let Some(status) = self.exit {
                // A child may still hold the pipe: what is there now is all that counts.
                self.read_available()?;
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            self.wait(deadline, false, true)?;
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Verdict {
        if self.exit.is_some() {
            return Ok(());
        }
        kill_process(self.pid, signal).map_err(|e| Failure::harness("cannot send a signal", e))
    }

    /// It and all that it has started, as far as they live.
    pub fn processes(&self) -> Vec<i32> {
        proc::marked(MARK_ENV, &self.mark)
    }

    /// `what`, with how the process ended and its last words, if it did.
    pub fn with_end(&mut self, what: &str) -> String {
        let Ok(Some(status)) = self.wait_exit(Duration::ZERO) else { return what.to_owned() };
        let text = fs::read(&self.stderr_path).unwrap_or_default();
        let tail = &text[text.len().saturating_sub(STDERR_TAIL_BYTES)..];
        let tail = String::from_utf8_lossy(tail);
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        };
        match tail.trim() {
            "" => format!("{what}; it ended with {how}"),
            tail => format!("{what}; it ended with {how}, last words: {tail}"),
        }
    }

    /// Waits until it has nothing left to do, without reading from it: until all its threads sleep,
    /// at two looks in a row. So a window of silence does not end before a busy machine has let it
    /// speak.
    pub fn settle(&self, within: Duration) {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + within;
        let mut slept = false;
        while self.exit.is_none() && Instant::now() < deadline {
            let sleeps = proc::sleeps(self.pid());
            if slept && sleeps {
                return;
            }
            slept = sleeps;
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Waits until something can be done, or the deadline.
    fn wait(&mut self, deadline: Instant, write: bool, read: bool) -> Verdict {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let mut fds = Vec::with_capacity(3);
        if self.exit.is_none() {
            fds.push(PollFd::new(&self.pidfd, PollFlags::IN));
        }
        if let Some(stdin) = self.stdin.as_ref().filter(|_| write) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        if read && !self.eof {
            fds.push(PollFd::new(&self.stdout, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(Failure::harness("poll", e)),
        }
        let died = fds.first().is_some_and(|fd| self.exit.is_none() && !fd.revents().is_empty());
        if read {
            self.read_available()?;
        }
        if died && let Ok(status) = self.child.try_wait() {
            self.exit = status;
        }
        Ok(())
    }

    fn read_available(&mut self) -> Verdict {
        while !self.eof {
            match self.stdout.read(&mut self.chunk) {
                Ok(0) => self.eof = true,
                Ok(n) => self.take(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(Failure::harness("cannot read its stdout", e)),
            }
        }
        Ok(())
    }

    /// Takes so many bytes of what was read last.
    fn take(&mut self, n: usize) {
        let mut bytes = &self.chunk[..n];
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.partial.extend_from_slice(&bytes[..end]);
            let line = std::mem::take(&mut self.partial);
            self.lines.push_back(Line { at: Instant::now(), bytes: line });
            bytes = &bytes[end + 1..];
        }
        self.partial.extend_from_slice(bytes);
    }
}

impl Drop for Subject {
    /// Its group ends with it; what has left the group ends with the run.
    fn drop(&mut self) {
        if self.exit.is_none() {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(&self.stderr_path);
    }
}
