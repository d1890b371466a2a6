// SPDX-License-Identifier: MIT OR Apache-2.0

//! The front's side of a helper process: start, listen, kill, reap.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sealpipe_protocol::{Code, TaskError, placement::CpuList, sector_lock::SectorLock, stage::Job};
use serde_json::value::RawValue;

use super::link::{self, Assignment, Event, Lines};
use crate::report::Note;

/// How often a stop is looked for while nothing is heard.
const POLL: Duration = Duration::from_millis(50);

/// How long a helper process may take to end after its last word.
const LAST_WORD_GRACE: Duration = Duration::from_secs(2);

/// Events that are read ahead.
const MAX_EVENTS: usize = 256;

/// Last lines of stderr that are kept for the error of a process that dies.
const MAX_STDERR_LINES: usize = 12;

/// Longest line of stderr, in bytes; a longer one is cut into several.
const MAX_STDERR_LINE_BYTES: u64 = 4_096;

/// How a helper process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// This program.
    pub program: PathBuf,
    /// The cpus that it pins itself to.
    pub cpus: CpuList,
    /// Variables beside those that it inherits; `None` takes one away.
    pub environment: Vec<(&'static str, Option<String>)>,
}

/// How a task ended, unless it failed.
#[derive(Debug)]
pub enum End {
    /// Well.
    Done {
        /// The stage's result values.
        output: Box<RawValue>,
        /// What was not repeated.
        resumed_from: Option<String>,
    },
    /// It was told to stop, and its process is gone.
    Stopped,
}

/// Runs a job in a helper process until it ends or `stopped` says so. When this returns, the
/// process is dead and reaped.
///
/// # Errors
/// The task's own, or how its process died.
pub fn run(
    launch: &Launch,
    job: &Job,
    lock: Option<&SectorLock>,
    stopped: &dyn Fn() -> bool,
    on_note: &mut dyn FnMut(Note),
) -> Result<End, TaskError> {
    let failed = |error: io::Error| {
        TaskError::io(Code::InternalError, "cannot start a helper process", &error)
    };
    let assignment = Assignment::of(job)?;
    let lock = lock.map(SectorLock::share).transpose().map_err(failed)?;
    let mut helper = Helper::start(launch, lock).map_err(failed)?;
    if let Err(error) = link::write_line(&mut helper.stream, &assignment) {
        return Err(helper.death(job, Some(&error)));
    }
    loop {
        if stopped() {
            helper.kill();
            return Ok(End::Stopped);
        }
        match helper.events.recv_timeout(POLL) {
            Ok(Event::Progress(progress)) => on_note(Note::Progress(progress)),
            Ok(Event::Log { level, message }) => on_note(Note::Log(level, message)),
            Ok(Event::Done { output, resumed_from }) => {
                helper.wait(LAST_WORD_GRACE);
                return Ok(End::Done { output, resumed_from });
            }
            Ok(Event::Failed { code, message, data }) => {
                helper.wait(LAST_WORD_GRACE);
                return Err(TaskError { code, message, data });
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(helper.death(job, None)),
        }
    }
}

/// A helper process; killed and reaped when dropped.
struct Helper {
    child: Child,
    stream: UnixStream,
    events: Receiver<Event>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    draining: Option<JoinHandle<()>>,
    status: Option<ExitStatus>,
}

impl Helper {
    fn start(launch: &Launch, lock: Option<File>) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&launch.program);
        command
            .arg("helper")
            .args(["--parent", &std::process::id().to_string()])
            .args(["--cpus", &launch.cpus.to_string()])
            .stdin(lock.map_or_else(Stdio::null, Stdio::from))
            .stdout(OwnedFd::from(theirs))
            // In the processor's own process group, which the worker kills as a whole.
            .stderr(Stdio::piped());
        for (name, value) in &launch.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.spawn()?;
        // The command still holds the other end of the socket, which would hide the process' end.
        drop(command);
        let stderr = Arc::default();
        let draining = child.stderr.take().map(|pipe| drain(pipe, Arc::clone(&stderr)));
        let (sender, events) = mpsc::sync_channel(MAX_EVENTS);
        let source = stream.try_clone()?;
        thread::spawn(move || receive(source, &sender));
        Ok(Self { child, stream, events, stderr, draining, status: None })
    }

    /// Waits for the process to end by itself, then makes sure.
    fn wait(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        while self.status.is_none() && Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Ok(status) => self.status = status,
                Err(_) => break,
            }
        }
        self.kill();
    }

    /// Kills the process, which starts no others, and reaps it.
    fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        // It may be dead already.
        let _ = self.child.kill();
        self.status = self.child.wait().ok();
    }

    /// The error of a process that died without its last word.
    fn death(&mut self, job: &Job, lost: Option<&io::Error>) -> TaskError {
        self.wait(LAST_WORD_GRACE);
        // All of its stderr, now that nobody writes there any more.
        if let Some(draining) = self.draining.take() {
            let _ = draining.join();
        }
        let mut error = death(job, self.status);
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        error.data.causes.extend(lost.map(ToString::to_string));
        error.data.causes.extend(lines.iter().cloned());
        error
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.kill();
    }
}

fn death(job: &Job, status: Option<ExitStatus>) -> TaskError {
    let stage = job.stage();
    let how = status.map_or_else(|| "for an unknown reason".to_owned(), |s| s.to_string());
    let message = format!("the helper process of `{stage}` died: {how}");
    match status.and_then(|status| status.signal()) {
        Some(signal) if signal == Signal::KILL.as_raw() => {
            TaskError::new(Code::ResourceExhausted, message).hint(
                "the kernel kills what takes the last of the memory: `dmesg` tells; run fewer \
                 tasks at a time",
            )
        }
        // Files are written through mappings: no space shows as this signal.
        Some(signal) if signal == Signal::BUS.as_raw() => {
            TaskError::new(Code::ResourceExhausted, message)
                .hint("a mapped file could not be written or read: the disk is full or failing")
        }
        _ => TaskError::new(Code::InternalError, message),
    }
}

/// Reads events until the socket ends or makes no sense any more.
fn receive(mut source: UnixStream, events: &SyncSender<Event>) {
    let mut lines = Lines::default();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) if lines.push(&chunk[..n]).is_ok() => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
        while let Some(line) = lines.next_line() {
            let Ok(event) = serde_json::from_slice(&line) else { return };
            if events.send(event).is_err() {
                return;
            }
        }
    }
}

/// Passes stderr on, and keeps the last of it.
fn drain(pipe: impl Read + Send + 'static, kept: Arc<Mutex<VecDeque<String>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut pipe).take(MAX_STDERR_LINE_BYTES).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let _ = writeln!(io::stderr(), "{text}");
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(text);
            if kept.len() > MAX_STDERR_LINES {
                kept.pop_front();
            }
        }
    })
}
