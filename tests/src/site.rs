// SPDX-License-Identifier: MIT OR Apache-2.0

//! A daemon in a directory of its own, and the commands that are given to it.

use std::{
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{Bench, Ended, Journal, LIMIT, Run, program, root};

/// How often a state is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A daemon, or none between two of them.
pub struct Site {
    /// Its directory and processes.
    pub bench: Bench,
    daemon: Option<Run>,
}

impl Site {
    /// A daemon with a configuration.
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Self::start_in(Bench::new(), config)
    }

    /// A daemon with a configuration, in a directory that is there.
    #[track_caller]
    pub fn start_in(bench: Bench, config: &str) -> Self {
        bench.write("worker.toml", config);
        let mut site = Self { bench, daemon: None };
        site.begin();
        site
    }

    /// Starts the next daemon, and waits until it listens.
    #[track_caller]
    pub fn begin(&mut self) {
        let args = ["run", "--config", "worker.toml", "--state", "state"];
        let socket = self.socket();
        let before = self.journal().events().len();
        let variables = [("SEALPIPE_SOCKET", socket.as_str())];
        let mut daemon = self.bench.start_with(&args, &variables);
        let deadline = Instant::now() + LIMIT;
        loop {
            let events = self.journal().events();
            if events.iter().skip(before).any(|event| event["event"] == "daemon-started") {
                break;
            }
            assert!(!daemon.is_over(), "it did not start:\n{}", daemon.stderr());
            assert!(Instant::now() < deadline, "it does not start:\n{}", daemon.stderr());
            sleep(LOOK);
        }
        self.daemon = Some(daemon);
    }

    /// The control socket.
    pub fn socket(&self) -> String {
        self.bench.path("state/control.sock").display().to_string()
    }

    /// What happened.
    pub fn journal(&self) -> Journal {
        Journal::new(self.bench.path("state/daemon.jsonl"))
    }

    /// The daemon's process id.
    pub fn pid(&self) -> i32 {
        self.daemon.as_ref().expect("a daemon runs").pid()
    }

    /// What the daemon has said so far.
    pub fn stderr(&self) -> String {
        self.daemon.as_ref().expect("a daemon runs").stderr()
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("a daemon runs").signal(signal);
    }

    /// Kills the daemon with SIGKILL.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.end().killed_by(Signal::KILL);
    }

    /// Waits for the daemon's end.
    #[track_caller]
    pub fn end(&mut self) -> Ended {
        self.daemon.take().expect("a daemon runs").end()
    }

    /// Ends the daemon as a service manager does.
    #[track_caller]
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        self.end().ok();
    }

    /// Ends the daemon as a service manager does, and checks that nothing is left.
    #[track_caller]
    pub fn stop(mut self) {
        self.terminate();
        self.bench.check_nothing_is_left();
    }

    /// Starts a command that speaks to the daemon.
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> Run {
        self.bench.start_with(args, &[("SEALPIPE_SOCKET", &self.socket())])
    }

    /// Runs a command that speaks to the daemon.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ended {
        self.command(args).end()
    }

    /// Runs a command whose words are separated by single blanks, and expects it to end well.
    #[track_caller]
    pub fn ok(&self, line: &str) -> Ended {
        self.run(&line.split(' ').collect::<Vec<_>>()).ok()
    }

    /// Writes orders and submits them.
    #[track_caller]
    pub fn submit_lines(&self, lines: &str) -> Ended {
        self.bench.write("orders.jsonl", lines);
        self.run(&["submit", "--file", "orders.jsonl"])
    }

    /// The status.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.ok("status --all --json").json()
    }

    /// A sector as the status shows it.
    #[track_caller]
    pub fn sector(&self, name: &str) -> Value {
        let status = self.ok(&format!("status {name} --json")).json();
        status["sectors"][0].clone()
    }

    /// Waits until a sector is in a state.
    #[track_caller]
    pub fn wait(&self, name: &str, state: &str) -> Value {
        self.until(&format!("{name} is {state}"), || {
            let sector = self.sector(name);
            (sector["state"] == state).then_some(sector)
        })
    }

    /// Waits until there is something.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = look() {
                return found;
            }
            let said = || self.daemon.as_ref().map(Run::stderr).unwrap_or_default();
            assert!(Instant::now() < deadline, "not in {LIMIT:?}: {what}; it said:\n{}", said());
            sleep(LOOK);
        }
    }

    /// Waits until so many processors take tasks.
    #[track_caller]
    pub fn ready(&self, count: usize) {
        self.until(&format!("{count} processors are ready"), || {
            let events = self.journal().events();
            let ready = events.iter().filter(|event| event["event"] == "processor-ready");
            (ready.count() >= count).then_some(())
        });
    }

    /// The events of a kind about a sector, in the daemon's journal.
    pub fn events(&self, sector: &str, event: &str) -> Vec<Value> {
        let mut events = self.journal().events();
        events.retain(|e| e["event"] == event && e["sector"] == sector);
        events
    }

    /// The record of the sector in a directory.
    #[track_caller]
    pub fn record(&self, dir: &str) -> Value {
        let path = self.bench.path(dir).join("sector.json");
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_slice(&text).unwrap()
    }
}

/// A key of an entry: a machine may be so busy that a processor takes minutes to start.
pub const PATIENT: &str = "stable_wait = \"300s\"\n";

/// An entry of `echo` in a mood.
pub fn moody(mood: &str, more: &str) -> String {
    let program = root().join("tests/programs/moody.py");
    let args: Vec<String> = mood.split(' ').map(|arg| format!("{arg:?}")).collect();
    let args = args.join(", ");
    let patient = if more.contains("stable_wait") { "" } else { PATIENT };
    format!(
        "[[processors.echo]]\nbin = \"{}\"\nargs = [{args}]\n{patient}{more}\n",
        program.display()
    )
}

/// An entry whose stage the reference runs, so many tasks at a time, with a variable that tells it from
/// another one.
pub fn reference(stage: &str, concurrent: u32, mark: &str) -> String {
    let bin = program("sealpipe-reference");
    format!(
        "[[processors.{stage}]]\nbin = \"{}\"\nargs = [\"processor\", \"{stage}\"]\n\
         concurrent = {concurrent}\nenvs = {{ MARK = \"{mark}\" }}\n{PATIENT}",
        bin.display()
    )
}

/// 64 hex digits, all the same.
pub fn hex(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// A file of the site that shell commands name.
pub fn shown(path: PathBuf) -> String {
    path.display().to_string()
}
