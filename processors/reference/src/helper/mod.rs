// SPDX-License-Identifier: MIT OR Apache-2.0

//! The helper process: runs one task, since the library can be stopped in no other way than by
//! ending its process.
//!
//! Its stdin is a share of the sector's lock, so that the lock lasts until the process is truly
//! gone; its stdout is a socket to the front. It ends when its task ends, when its parent dies,
//! and when the socket ends.

pub mod launch;
pub mod link;

use std::{
    fmt, fs,
    io::{self, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::process::{Pid, Resource, Rlimit, Signal};
use sealpipe_protocol::{
    Code, TaskError,
    method::Placement,
    placement::{self, CpuList},
    stage::Job,
};
use serde_json::value::RawValue;

use self::link::{Assignment, Event};
use crate::{
    library,
    report::{Note, Reporter},
    stage,
};

/// Runs the task that the front sends, on `cpus`; `parent` is the front's process id.
pub fn main(parent: u32, cpus: Option<CpuList>) -> ExitCode {
    // First of all: from here on nothing outlives the front.
    if let Err(error) = die_with(parent) {
        return refuse(&error);
    }
    be_expendable();
    let stream = match take_over_stdout() {
        Ok(stream) => stream,
        Err(error) => return refuse(&format!("cannot take over stdout: {error}")),
    };
    let link = Arc::new(Link(Mutex::new(stream)));
    match assigned(&link, cpus) {
        Ok(job) => run(&job, &link),
        Err(error) => link.send(&Event::failed(error)),
    }
    ExitCode::SUCCESS
}

/// The socket, shared by everything that reports.
struct Link(Mutex<UnixStream>);

impl Link {
    /// Sends an event. Nobody is there to hear of a failure, so it ends the process.
    fn send(&self, event: &Event) {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if link::write_line(&mut *stream, event).is_err() {
            end();
        }
    }

    fn duplicate(&self) -> io::Result<UnixStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_clone()
    }
}

/// Pins this process, before it has any other thread, and reads what it is to do.
fn assigned(link: &Link, cpus: Option<CpuList>) -> Result<Job, TaskError> {
    placement::apply(&Placement { cpus, ..Placement::default() })?;
    let lost = |error: io::Error| {
        TaskError::io(Code::InternalError, "the socket of the helper process", &error)
    };
    let mut stream = link.duplicate().map_err(lost)?;
    let assignment: Assignment = link::read_line(&mut stream).map_err(lost)?;
    // Nothing more comes: the next thing to be read is the end.
    thread::spawn(move || {
        let _ = stream.read(&mut [0]);
        end();
    });
    Job::parse(assignment.stage.parse()?, &assignment.params)
}

fn run(job: &Job, link: &Arc<Link>) {
    let sink = Arc::clone(link);
    let reporter = Reporter::new(move |note| {
        sink.send(&match note {
            Note::Progress(progress) => Event::Progress(progress),
            Note::Log(level, message) => Event::Log { level, message },
        });
    });
    let ended: Result<Box<RawValue>, TaskError> =
        catch_unwind(AssertUnwindSafe(|| stage::run(job, &reporter))).unwrap_or_else(|panic| {
            let text = library::panic_text(panic.as_ref());
            Err(TaskError::new(
                Code::InternalError,
                format!("stage `{}` panicked: {text}", job.stage()),
            ))
        });
    link.send(&match ended {
        Ok(output) => Event::Done { output, resumed_from: reporter.resumption() },
        Err(error) => Event::failed(error),
    });
}

/// Asks the kernel to kill this process when its parent dies. The parent may have died before.
fn die_with(parent: u32) -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot follow the parent's death: {error}"))?;
    let found = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if found == Some(parent) {
        return Ok(());
    }
    Err(format!("the parent process {parent} is gone"))
}

/// When memory runs out the kernel is to take this process and not the front; and it is to leave no
/// core file, which would be as large as a sector.
fn be_expendable() {
    // Both only soften what may happen, so a kernel that does not let us is no error.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
}

/// Moves the socket away from fd 1 and points that at stderr, since libraries print.
fn take_over_stdout() -> io::Result<UnixStream> {
    let private = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(UnixStream::from(private))
}

/// Ends this process at once, whatever its threads do.
fn end() -> ! {
    if let Some(pid) = Pid::from_raw(std::process::id().cast_signed()) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    std::process::abort()
}

fn refuse(why: &dyn fmt::Display) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}
