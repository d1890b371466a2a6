// SPDX-License-Identifier: MIT OR Apache-2.0

//! A run of a program, from its start to what it has said and its exit code.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a run may take, unless it proves: far more than it does on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(300);

/// A program that runs.
pub struct Run {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    shown: String,
}

/// A program that has ended.
pub struct Ended {
    /// What it has written to stdout.
    pub stdout: String,
    /// What it has written to stderr.
    pub stderr: String,
    status: ExitStatus,
    shown: String,
}

impl Run {
    /// Starts a program, whose output goes to files in `dir`, in a process group of its own: a
    /// Ctrl-C at the terminal that runs the tests does not reach it.
    #[track_caller]
    pub(crate) fn start(mut command: Command, dir: &Path) -> Self {
        let made_at = format!("{:?}", Instant::now());
        let name: String = made_at.chars().filter(char::is_ascii_digit).collect();
        let (stdout, stderr) = (dir.join(format!(".{name}.out")), dir.join(format!(".{name}.err")));
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        let shown = format!("{command:?}");
        let child = command.spawn().unwrap();
        Self { child, stdout, stderr, shown }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // It may have ended; it is not reaped before `end`, so its id is nobody else's.
        let _ = kill_process(Pid::from_raw(self.pid()).unwrap(), signal);
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(self) -> Ended {
        self.end_within(LIMIT)
    }

    /// Waits for its end, for so long.
    #[track_caller]
    pub fn end_within(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("{} does not end in {limit:?}; it said:\n{}", self.shown, self.stderr());
            }
            sleep(Duration::from_millis(10));
        };
        let stdout = String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned();
        let stderr = self.stderr();
        let (out, err) = (std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr));
        let _ = (fs::remove_file(out), fs::remove_file(err));
        let ended = Ended { stdout, stderr, status, shown: std::mem::take(&mut self.shown) };
        ended.check(!ended.stderr.contains("panicked at"), "it panicked");
        ended
    }
}

impl Ended {
    /// Fails with everything that is known of the run, unless `ok`.
    #[track_caller]
    pub fn check(&self, ok: bool, what: &str) {
        let Self { stdout, stderr, status, shown } = self;
        assert!(ok, "{what}\n$ {shown}\n{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    }

    /// Checks that it ended well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Checks the exit code.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        self.check(self.status.code() == Some(expected), &format!("expected code {expected}"));
        self
    }

    /// Checks that a signal ended it.
    #[track_caller]
    pub fn killed_by(self, signal: Signal) -> Self {
        let expected = Some(signal.as_raw());
        self.check(self.status.signal() == expected, &format!("expected {signal:?}"));
        self
    }

    /// Checks that it failed, and said all of `texts` in this order on stderr.
    #[track_caller]
    pub fn fails_with(self, texts: &[&str]) -> Self {
        self.code(1).says(texts)
    }

    /// Checks that it said all of `texts` in this order on stderr.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        let mut rest = self.stderr.as_str();
        for text in texts {
            let at = rest.find(text);
            self.check(at.is_some(), &format!("it does not say {text:?} (in the order given)"));
            rest = &rest[at.unwrap_or_default() + text.len()..];
        }
        self
    }

    /// Its stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let value = serde_json::from_str(&self.stdout);
        self.check(value.is_ok(), "stdout is not JSON");
        value.unwrap_or_default()
    }

    /// The last line of stdout.
    pub fn last_line(&self) -> &str {
        self.stdout.trim_end().lines().next_back().unwrap_or_default()
    }
}
