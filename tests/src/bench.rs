// SPDX-License-Identifier: MIT OR Apache-2.0

//! A test's own directory, programs and processes.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Ended, Journal, Process, Run, digest};

/// The variable that marks the processes of a test.
pub const MARK: &str = "SEALPIPE_TEST_ID";

/// How long processes may take to be gone once they have no reason to be there: the grace for
/// processors, 10 s, and what a busy machine takes to kill them.
const GONE_WITHIN: Duration = Duration::from_secs(40);

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the repository")
}

/// A test's own directory, and the processes it has started.
pub struct Bench {
    dir: TempDir,
    mark: String,
}

impl Bench {
    /// An empty directory.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::Builder::new().prefix("sealpipe-test-").tempdir_in(parent()).unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { dir, mark: format!("{}-{count}-", std::process::id()) }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file in the directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a script in the directory that can be run at once. By another process: what another test
    /// starts while this one has the file open for writing has it open too, and then it cannot be run.
    pub fn write_program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(&path);
        let mut shell = shell.stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        path
    }

    /// Starts `sealpipe` in the directory.
    #[track_caller]
    pub fn start(&self, args: &[&str]) -> Run {
        self.start_with(args, &[])
    }

    /// Starts `sealpipe` in the directory with more variables in its environment.
    #[track_caller]
    pub fn start_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Run {
        let mut command = Command::new(program("sealpipe"));
        command.args(args).current_dir(self.dir.path()).env(MARK, &self.mark);
        command.env("PYTHONDONTWRITEBYTECODE", "1").envs(variables.iter().copied());
        Run::start(command, self.dir.path())
    }

    /// Starts a shell's command line in the directory, with our programs on its `PATH`.
    #[track_caller]
    pub fn start_shell(&self, line: &str) -> Run {
        self.start_shell_with(line, &[])
    }

    /// Starts a shell's command line in the directory with more variables in its environment.
    #[track_caller]
    pub fn start_shell_with(&self, line: &str, variables: &[(&str, &str)]) -> Run {
        let programs = program("sealpipe").parent().expect("it lies in a directory").to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(programs).chain(std::env::split_paths(&path));
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(self.dir.path()).env(MARK, &self.mark);
        command.env("PATH", std::env::join_paths(path).unwrap()).envs(variables.iter().copied());
        Run::start(command, self.dir.path())
    }

    /// Runs `sealpipe` in the directory to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// The journal of the sector in a directory.
    pub fn journal(&self, sector: &str) -> Journal {
        Journal::new(self.path(sector).join("journal.jsonl"))
    }

    /// The processes of this test that run.
    pub fn processes(&self) -> Vec<Process> {
        Process::marked(&format!("{MARK}={}", self.mark))
    }

    /// Waits until no process of this test is left.
    #[track_caller]
    pub fn check_nothing_is_left(&self) {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left over: {left:#?}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Every file below a directory with its SHA-256, by its relative path; `None` for a directory
    /// that is not there.
    pub fn files(&self, dir: &str) -> Option<BTreeMap<String, String>> {
        let top = self.path(dir);
        top.exists().then(|| {
            let mut found = BTreeMap::new();
            collect(&top, &top, &mut found);
            found
        })
    }
}

/// Where the benches are made: among the temporary files, unless a socket in a bench would have a longer
/// path there than the kernel takes, which is 107 bytes (unix(7)).
fn parent() -> PathBuf {
    let parent = std::env::temp_dir();
    match parent.as_os_str().len() <= 60 {
        true => parent,
        false => PathBuf::from("/tmp"),
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // After a failure: the next test starts on a quiet machine.
        for process in self.processes() {
            process.kill();
        }
    }
}

fn collect(top: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(top, &path, found);
        } else {
            let name = path.strip_prefix(top).unwrap().display().to_string();
            found.insert(name, digest(&path));
        }
    }
}

/// A program of ours: in the directory of the profile that this test was built with.
#[track_caller]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let dir = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let path = dir.join(name);
    assert!(
        path.exists(),
        "there is no {}; run `cargo build --release --workspace` first",
        path.display()
    );
    path
}
