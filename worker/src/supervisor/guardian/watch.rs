// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guardian's own process: listens, and cleans up when the worker is gone.

use std::{
    io::{self, Stdin},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{WaitOptions, setsid, wait},
};
use tokio::signal::unix::SignalKind;

use super::{
    super::{
        cgroup,
        process_table::{Process, processes},
        spec::DEFAULT_GRACE,
    },
    group::{Group, KILL_WITHIN, once_each},
    mark::{Mark, Worker, marked},
    told::{Known, Told},
};
use crate::runtime;

/// How often it looks whether what the worker left is gone.
const POLL: Duration = Duration::from_millis(100);

/// Longest line that it takes: paths are the longest part of one.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Watches over what `worker` starts, as told on stdin, until stdin ends and nothing is left.
///
/// # Errors
/// Stdin cannot be read.
pub fn watch(worker: Worker) -> io::Result<()> {
    // Of no terminal, and in no group that somebody signals.
    let _ = setsid();
    let _ = rustix::thread::set_name(c"sealpipe-guard");
    runtime::ignore(&[
        SignalKind::interrupt(),
        SignalKind::quit(),
        SignalKind::hangup(),
        SignalKind::terminate(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ])?;
    let mut orphans = Some(Orphans::find()).filter(|orphans| !orphans.0.is_empty());
    let orphans_due = Instant::now() + DEFAULT_GRACE;
    let mut ears = Ears { stdin: io::stdin(), line: Vec::new() };
    let mut known = Known::default();
    loop {
        let due = orphans.is_some().then_some(orphans_due);
        let is_open = ears.hear(due, &mut known)?;
        if Instant::now() >= orphans_due
            && let Some(orphans) = orphans.take()
        {
            orphans.end();
        }
        if !is_open {
            clean_up(worker, &known);
            if let Some(orphans) = orphans {
                std::thread::sleep(orphans_due.saturating_duration_since(Instant::now()));
                orphans.end();
            }
            return Ok(());
        }
    }
}

/// The worker's end of the pipe.
struct Ears {
    stdin: Stdin,
    line: Vec<u8>,
}

impl Ears {
    /// Waits for news, until `due` at most; false when there will be none any more.
    fn hear(&mut self, due: Option<Instant>, known: &mut Known) -> io::Result<bool> {
        let wait = due.map(|due| due.saturating_duration_since(Instant::now()));
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        match poll(&mut [PollFd::new(&self.stdin, PollFlags::IN)], wait.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(true),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 4096];
        // Past the buffer of the library, in which `poll` sees nothing.
        let n = match rustix::io::read(&self.stdin, &mut bytes) {
            Ok(n) => n,
            Err(rustix::io::Errno::INTR) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        for byte in &bytes[..n] {
            if *byte != b'\n' {
                // A line that is too long is none, and neither is what is left of it.
                self.line.extend((self.line.len() < MAX_LINE_BYTES).then_some(*byte));
                continue;
            }
            if let Ok(told) = serde_json::from_slice::<Told>(&self.line) {
                known.note(told);
            }
            self.line.clear();
        }
        Ok(n > 0)
    }
}

/// What is left of a worker that is gone: it may end by itself for a while, and then it is killed.
fn clean_up(worker: Worker, known: &Known) {
    let (grace_ends, gives_up) = deadlines();
    let mut killed = false;
    loop {
        reap();
        let all = processes();
        let marks = marked(&all);
        let left = left(worker, known.groups(), &all, &marks);
        if left.is_empty() {
            break;
        }
        if Instant::now() > gives_up {
            say(&format!("the worker is gone, and {} cannot be killed", pids(&left)));
            break;
        }
        if Instant::now() >= grace_ends {
            if !killed {
                say(&format!("the worker is gone; killing what it left: {}", pids(&left)));
            }
            killed = true;
            known.groups().iter().for_each(|group| group.kill(&all, &marks));
            // A group that the worker had no time to tell of.
            for (process, _) in marks.iter().filter(|(_, mark)| mark.worker == worker) {
                process.kill(|_| true);
            }
        }
        std::thread::sleep(POLL);
    }
    known.groups().iter().filter_map(|g| g.control_group.as_deref()).for_each(cgroup::remove);
    known.divided().into_iter().for_each(cgroup::undivide);
}

fn deadlines() -> (Instant, Instant) {
    let grace_ends = Instant::now() + DEFAULT_GRACE;
    (grace_ends, grace_ends + KILL_WITHIN)
}

fn left(
    worker: Worker,
    groups: &[Group],
    all: &[Process],
    marks: &[(Process, Mark)],
) -> Vec<Process> {
    let mut left: Vec<_> = groups.iter().flat_map(|group| group.left(all, marks)).collect();
    left.extend(marks.iter().filter(|(_, mark)| mark.worker == worker).map(|(p, _)| *p));
    once_each(left)
}

/// Workers that were gone before this one began, and have left processes: their guardians are gone
/// too, or still give them grace.
struct Orphans(Vec<Worker>);

impl Orphans {
    fn find() -> Self {
        let marks = marked(&processes()).into_iter();
        Self(marks.map(|(_, mark)| mark.worker).filter(|worker| worker.is_gone()).collect())
    }

    fn left(&self) -> Vec<Process> {
        let marks = marked(&processes()).into_iter();
        marks
            .filter(|(_, mark)| self.0.contains(&mark.worker))
            .map(|(process, _)| process)
            .collect()
    }

    /// Kills what is left of them.
    fn end(&self) {
        let mut left = self.left();
        if !left.is_empty() {
            say(&format!("killing what an earlier worker left: {}", pids(&left)));
        }
        let gives_up = Instant::now() + KILL_WITHIN;
        while !left.is_empty() && Instant::now() < gives_up {
            left.iter().for_each(|process| process.kill(|_| true));
            std::thread::sleep(POLL);
            left = self.left();
        }
    }
}

/// Where the guardian is the first process of a container it inherits what it kills.
fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

fn pids(processes: &[Process]) -> String {
    let pids: Vec<_> = processes.iter().map(|process| format!("pid {}", process.pid)).collect();
    pids.join(", ")
}

fn say(text: &str) {
    // Whoever would read it may be gone with the worker.
    let _ =
        io::Write::write_all(&mut io::stderr(), format!("sealpipe guardian: {text}\n").as_bytes());
}
