// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the hostile processor writes down: a JSON object a line, each in one `write(2)`, so that
//! nothing is lost when it is killed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use rustix::{
    process::{Pid, getpgid, getpid, getppid},
    time::{ClockId, clock_gettime},
};
use sealpipe_protocol::{PROTOCOL_ENV, placement};
use serde_json::{Value, json};

use crate::proc;

/// Lives that one run may have: a worker that restarts for ever ends here.
const MAX_LIVES: usize = 1_000;

/// The diary of one life.
pub struct Diary {
    /// The number of the life, from 1.
    pub life: usize,
    file: Mutex<File>,
}

impl Diary {
    /// Begins the diary of the next life.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn begin(dir: &Path) -> io::Result<Self> {
        for life in 1..=MAX_LIVES {
            match OpenOptions::new().append(true).create_new(true).open(path(dir, life)) {
                Ok(file) => return Ok(Self { life, file: Mutex::new(file) }),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("too many lives"))
    }

    /// Writes down an event, with the time.
    pub fn note(&self, event: &str, what: Value) {
        let line = format!("{}\n", json!({"ms": now_ms(), "event": event, "what": what}));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a diary the check sees nothing, and says so.
        let _ = file.write_all(line.as_bytes());
    }

    /// Writes down what was found at the start.
    pub fn note_start(&self) {
        let pid = getpid();
        let group = |pid: Option<Pid>| getpgid(pid).ok().map(|p| p.as_raw_nonzero().get());
        self.note(
            "start",
            json!({
                "pid": pid.as_raw_nonzero().get(),
                "born": proc::born(pid.as_raw_nonzero().get()),
                "group": group(Some(pid)),
                "parent": getppid().map(|p| p.as_raw_nonzero().get()),
                "parentGroup": getppid().and_then(|parent| group(Some(parent))),
                "protocol": std::env::var(PROTOCOL_ENV).ok(),
                "descriptors": descriptors(),
                "cpus": placement::current_cpus().ok().map(|cpus| cpus.to_string()),
            }),
        );
    }
}

/// The diary of a life, by its number.
pub fn path(dir: &Path, life: usize) -> std::path::PathBuf {
    dir.join(format!("life-{life}.jsonl"))
}

/// Milliseconds since the machine was started: the same for all processes.
fn now_ms() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// What is open beyond stdin, stdout and stderr.
fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open = entries.filter_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        // The directory that is being read has a number as well, and is gone by the time that its
        // name is asked for.
        let to = fs::read_link(entry.path()).ok()?.display().to_string();
        let own = to.starts_with("/proc/") || to.ends_with(".jsonl");
        (number > 2 && !own).then_some(to)
    });
    open.collect()
}
