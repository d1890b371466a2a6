// SPDX-License-Identifier: MIT OR Apache-2.0

//! A run of the worker under test: its command line, its hostile processor, and how both end.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::PermissionsExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open},
};
use sealpipe_protocol::placement::CpuList;

use super::{
    record::Seen,
    script::{self, Life, Script},
};
use crate::{
    bench::Bench,
    check::{Failure, Verdict, ensure},
    proc,
    subject::MARK_ENV,
};

/// How often the diaries are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes of the worker's words that are shown.
const TAIL_BYTES: usize = 400;

/// Programs are written while none is started: a child that is forked meanwhile would have the file
/// open for writing, and the kernel executes no such file.
static STARTING: RwLock<()> = RwLock::new(());

/// What the worker is told, and what its processor does.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The lives of the processor.
    pub lives: Vec<Life>,
    /// Tasks that the worker has to run.
    pub tasks: usize,
    /// Tasks that it may run at a time in one process.
    pub concurrent: Option<usize>,
    /// How long `initialize` may take; long, unless it matters.
    pub stable_wait: Option<Duration>,
    /// Silence that means stalled.
    pub stalled_after: Option<Duration>,
    /// How long `done` may stand still.
    pub stuck_after: Option<Duration>,
    /// Cpus that are granted.
    pub cpus: Option<CpuList>,
    /// The memory node that is granted.
    pub memory_node: Option<u32>,
    /// Who pins: `processor`, `worker` or `off`.
    pub pinning: Option<&'static str>,
}

impl Setting {
    /// One task, and all the time that it takes.
    pub fn new(lives: impl Into<Vec<Life>>) -> Self {
        Self {
            lives: lives.into(),
            tasks: 1,
            concurrent: None,
            stable_wait: None,
            stalled_after: None,
            stuck_after: None,
            cpus: None,
            memory_node: None,
            pinning: None,
        }
    }

    /// `worker.toml` as damocles has it.
    fn config(&self, stage: &str, processor: &str) -> String {
        let mut lines = vec![format!("[[processors.{stage}]]")];
        lines.push(format!("bin = {processor:?}"));
        lines.push("args = []".to_owned());
        let mut set = |name: &str, value: Option<String>| {
            lines.extend(value.map(|value| format!("{name} = {value}")));
        };
        let ms = |duration: Duration| format!("\"{}ms\"", duration.as_millis());
        set("stable_wait", self.stable_wait.map(ms));
        set("stalled_after", self.stalled_after.map(ms));
        set("stuck_after", self.stuck_after.map(ms));
        set("concurrent", self.concurrent.map(|n| n.to_string()));
        set("cgroup.cpuset", self.cpus.as_ref().map(|cpus| format!("\"{cpus}\"")));
        set("numa_preferred", self.memory_node.map(|node| node.to_string()));
        set("pinning", self.pinning.map(|who| format!("\"{who}\"")));
        lines.join("\n") + "\n"
    }

    /// What the placeholders stand for; nothing for what is not set.
    fn placeholders(&self) -> [(&'static str, String, bool); 8] {
        let ms = |duration: Option<Duration>| duration.map(|d| d.as_millis().to_string());
        let number = |n: Option<usize>| n.map(|n| n.to_string());
        let set = |name, value: Option<String>, needed: bool| {
            (name, value.clone().unwrap_or_default(), needed && value.is_some())
        };
        [
            set("{tasks}", Some(self.tasks.to_string()), self.tasks > 1),
            set("{concurrent}", number(self.concurrent), true),
            set("{stable_wait_ms}", ms(self.stable_wait), true),
            set("{stalled_ms}", ms(self.stalled_after), true),
            set("{stuck_ms}", ms(self.stuck_after), true),
            set("{cpus}", self.cpus.as_ref().map(ToString::to_string), true),
            set("{memory_node}", self.memory_node.map(|node| node.to_string()), true),
            set("{pinning}", self.pinning.map(str::to_owned), true),
        ]
    }
}

/// Whether the command line has a placeholder.
pub fn has(command: &[OsString], placeholder: &str) -> bool {
    let has = |word: &OsString| {
        word.as_bytes().windows(placeholder.len()).any(|w| w == placeholder.as_bytes())
    };
    command.iter().any(has)
}

fn replace(word: &OsStr, placeholder: &str, with: &OsStr) -> OsString {
    let (mut rest, mut replaced) = (word.as_bytes(), Vec::new());
    while let Some(at) =
        rest.windows(placeholder.len()).position(|window| window == placeholder.as_bytes())
    {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(with.as_bytes());
        rest = &rest[at + placeholder.len()..];
    }
    replaced.extend_from_slice(rest);
    OsString::from_vec(replaced)
}

/// A worker that runs.
pub struct Run<'a> {
    bench: &'a Bench,
    dir: PathBuf,
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    exit: Option<ExitStatus>,
}

/// A worker that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What the processors have seen.
    pub lives: Vec<Seen>,
    /// What the worker has said, on stdout and stderr.
    pub said: String,
}

impl<'a> Run<'a> {
    /// Starts the worker.
    ///
    /// # Errors
    /// [`Failure::Skipped`] where its command line cannot say what is set.
    pub fn start(bench: &'a Bench, setting: &Setting) -> Verdict<Self> {
        let command = bench.command();
        let stable_wait = setting.stable_wait.unwrap_or(bench.limits.start());
        let needed_wait = setting.stable_wait.is_some();
        let setting = &Setting { stable_wait: Some(stable_wait), ..setting.clone() };
        for (name, _, needed) in setting.placeholders() {
            let by_config = name != "{tasks}" && has(command, "{config}");
            let needed = needed && (name != "{stable_wait_ms}" || needed_wait);
            if needed && !by_config && !has(command, name) {
                return Err(Failure::Skipped(format!("the command line has no {name}")));
            }
        }
        let cannot = |e: std::io::Error| Failure::harness("cannot prepare a run", e);
        let dir = bench.dir()?;
        let (processor, config, work) =
            (dir.join("processor"), dir.join("worker.toml"), dir.join("dir"));
        fs::create_dir(&work).map_err(cannot)?;
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let script = Script {
            stage: bench.stage().to_owned(),
            suite: (own, proc::born(own)),
            lives: setting.lives.clone(),
        };
        let script = serde_json::to_vec(&script).map_err(|e| Failure::harness("a script", e))?;
        fs::write(dir.join(script::FILE), script).map_err(cannot)?;
        let processor_text = processor.display().to_string();
        fs::write(&config, setting.config(bench.stage(), &processor_text)).map_err(cannot)?;
        let program = bench.hostile()?;
        let shell =
            format!("#!/bin/sh\nexec '{}' hostile '{}'\n", program.display(), dir.display());
        let nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
        fs::write(&processor, shell).map_err(cannot)?;
        drop(nobody_starts);
        fs::set_permissions(&processor, fs::Permissions::from_mode(0o755)).map_err(cannot)?;

        let mut words = command.to_vec();
        for word in &mut words {
            *word = replace(word, "{processor}", processor.as_os_str());
            *word = replace(word, "{config}", config.as_os_str());
            *word = replace(word, "{dir}", work.as_os_str());
            *word = replace(word, "{stage}", bench.stage().as_ref());
            for (name, value, _) in setting.placeholders() {
                *word = replace(word, name, value.as_ref());
            }
        }
        let output = File::create(dir.join("said")).map_err(cannot)?;
        let stderr = output.try_clone().map_err(cannot)?;
        let [program, arguments @ ..] = &words[..] else {
            return Err(Failure::Harness("no program to start".into()));
        };
        let mut worker = Command::new(program);
        worker.args(arguments).env(MARK_ENV, bench.next_mark()).process_group(0);
        worker.stdin(Stdio::null()).stdout(output).stderr(stderr);
        let nobody_writes = STARTING.read().unwrap_or_else(PoisonError::into_inner);
        let child = worker.spawn();
        drop(nobody_writes);
        let child = child
            .map_err(|e| Failure::harness(&format!("cannot start {}", program.display()), e))?;
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|e| Failure::harness("cannot watch the worker", e))?;
        Ok(Self { bench, dir, child, pid, pidfd, exit: None })
    }

    /// What the processors have seen so far.
    pub fn lives(&self) -> Vec<Seen> {
        Seen::all(&self.dir)
    }

    /// What the worker has said so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join("said")).unwrap_or_default()).into_owned()
    }

    /// Waits for something to be seen; `None` when it is not, in time or before the worker ends.
    pub fn until<T>(
        &mut self,
        within: Duration,
        seen: impl Fn(&[Seen]) -> Option<T>,
    ) -> Verdict<Option<T>> {
        let deadline = Instant::now() + within;
        loop {
            let last = self.has_ended()? || Instant::now() >= deadline;
            let found = seen(&self.lives());
            if found.is_some() || last {
                return Ok(found);
            }
            self.wait(LOOK)?;
        }
    }

    /// The same, when the worker breaks a rule where it is not seen.
    pub fn expect<T>(
        &mut self,
        what: &str,
        within: Duration,
        seen: impl Fn(&[Seen]) -> Option<T>,
    ) -> Verdict<T> {
        match self.until(within, seen)? {
            Some(found) => Ok(found),
            None => Err(Failure::Broken(format!(
                "{what}: not seen in {:.1} s; {}",
                within.as_secs_f64(),
                self.words()
            ))),
        }
    }

    /// The same when the worker is gone, and only its processors are looked at.
    pub fn keep_looking(
        &self,
        what: &str,
        within: Duration,
        seen: impl Fn(&[Seen]) -> Option<()>,
    ) -> Verdict {
        let deadline = Instant::now() + within;
        while seen(&self.lives()).is_none() {
            ensure!(Instant::now() < deadline, "{what}: not seen in {:.1} s", within.as_secs_f64());
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for its end, however it ends.
    pub fn end(mut self) -> Verdict<Ended> {
        let patience = self.bench.limits.worker();
        let deadline = Instant::now() + patience;
        while !self.has_ended()? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!("the worker has not ended in {:.1} s", patience.as_secs_f64());
                return Err(Failure::Broken(format!("{text}; {}", self.words())));
            }
            self.wait(left)?;
        }
        let status = self.exit.ok_or_else(|| Failure::Harness("no exit status".into()))?;
        Ok(Ended { status, lives: self.lives(), said: self.said() })
    }

    /// Waits until none of its processors and none of their children is left; those that are.
    pub fn left_over(&self, within: Duration) -> Vec<i32> {
        let deadline = Instant::now() + within;
        loop {
            let left: Vec<i32> = self.lives().iter().flat_map(Seen::alive).collect();
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            thread::sleep(LOOK);
        }
    }

    /// Sends a signal to it and to whatever runs in its group.
    pub fn signal(&self, signal: Signal) -> Verdict {
        kill_process_group(self.pid, signal)
            .map_err(|e| Failure::harness("cannot send a signal to the worker", e))
    }

    /// Waits for its end and leaves its processors as they are.
    pub fn wait_end(&mut self) -> Verdict {
        let deadline = Instant::now() + self.bench.limits.worker();
        while !self.has_ended()? {
            ensure!(Instant::now() < deadline, "the worker has not ended; {}", self.words());
            self.wait(LOOK)?;
        }
        Ok(())
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Verdict<bool> {
        if self.exit.is_none() {
            let exit = self.child.try_wait();
            self.exit = exit.map_err(|e| Failure::harness("cannot wait for the worker", e))?;
        }
        Ok(self.exit.is_some())
    }

    fn wait(&self, most: Duration) -> Verdict {
        let timeout =
            Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(e) => Err(Failure::harness("poll", e)),
        }
    }

    fn words(&self) -> String {
        words(self.exit, &self.said())
    }
}

impl Drop for Run<'_> {
    /// Whatever was started ends with the run.
    fn drop(&mut self) {
        if self.exit.is_none() {
            let _ = kill_process_group(self.pid, Signal::KILL);
            let _ = self.child.wait();
        }
        for (pid, born) in self.lives().iter().flat_map(Seen::processes) {
            if let Some(found) = Pid::from_raw(pid).filter(|_| proc::born(pid) == Some(born)) {
                let _ = kill_process(found, Signal::KILL);
            }
        }
    }
}

fn words(exit: Option<ExitStatus>, said: &str) -> String {
    let how = match exit.map(|status| (status.code(), status.signal())) {
        None => "it runs".to_owned(),
        Some((Some(code), _)) => format!("it ended with {code}"),
        Some((None, signal)) => format!("it ended by signal {}", signal.unwrap_or_default()),
    };
    let from = said.len().saturating_sub(TAIL_BYTES);
    let tail = String::from_utf8_lossy(&said.as_bytes()[from..]).trim().to_owned();
    format!("{how}, last words: {tail}")
}

impl Ended {
    /// How the worker ended, for people.
    pub fn how(&self) -> String {
        words(Some(self.status), &self.said)
    }

    /// All runs that came, in all lives.
    pub fn runs(&self) -> Vec<super::record::Said> {
        self.lives.iter().flat_map(|life| life.asked("task/run")).collect()
    }

    /// The worker says that all is done.
    pub fn succeeds(&self) -> Verdict {
        ensure!(self.status.success(), "the task is not done: {}", self.how());
        Ok(())
    }

    /// The worker says that it is not.
    pub fn fails(&self) -> Verdict {
        ensure!(self.status.code() != Some(0), "takes what was not done for done");
        ensure!(self.status.code().is_some(), "does not survive it: {}", self.how());
        ensure!(!self.said.trim().is_empty(), "fails without a word");
        Ok(())
    }

    /// It has succeeded, in one life and one try of each task.
    pub fn is_unharmed(&self, tasks: usize) -> Verdict {
        self.succeeds()?;
        let (lives, runs) = (self.lives.len(), self.runs().len());
        ensure!(
            (lives, runs) == (1, tasks),
            "took {lives} processes and {runs} runs for {tasks} tasks: {}",
            self.how()
        );
        Ok(())
    }
}

/// Runs a worker to its end.
pub fn run(bench: &Bench, setting: &Setting) -> Verdict<Ended> {
    Run::start(bench, setting)?.end()
}

/// Runs a worker with one life, which must not keep it from having its one task done at once.
pub fn unharmed(bench: &Bench, life: Life) -> Verdict<Ended> {
    let ended = run(bench, &Setting::new([life]))?;
    ended.is_unharmed(1)?;
    Ok(ended)
}

/// Runs a worker that must see what is wrong with the processor, give it no task, and say so.
pub fn refused(bench: &Bench, setting: &Setting) -> Verdict<Ended> {
    let ended = run(bench, setting)?;
    let runs = ended.runs();
    ensure!(runs.is_empty(), "gives it a task: {}", runs[0].text);
    ended.fails()?;
    Ok(ended)
}

/// Tries the same with several things at a time; all of them have to hold.
pub fn side_by_side<T: Sync>(things: &[T], tried: impl Fn(&T) -> Verdict + Sync) -> Verdict {
    let tried = &tried;
    thread::scope(|scope| {
        let threads: Vec<_> =
            things.iter().map(|thing| scope.spawn(move || tried(thing))).collect();
        let verdicts = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Failure::Harness("a thread died".into())))
        });
        // All are waited for, whatever the first says.
        verdicts.collect::<Vec<_>>().into_iter().collect()
    })
}
