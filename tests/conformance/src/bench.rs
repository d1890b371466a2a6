// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a check is given: how to start the processor, how long to wait, and tasks for it to run.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use sealpipe_protocol::{Stage, placement::CpuList};
use serde_json::{Value, json};

use crate::{
    check::{Failure, Verdict},
    limits::Limits,
    proc,
    session::Session,
    stage::model::Models,
    subject::{Launch, MARK_ENV, Subject},
    suite::Plan,
    work::{self, Work},
    worker::site::Ended,
};

/// Shared by all checks of one run; each check starts processes of its own.
pub struct Bench {
    command: Vec<OsString>,
    /// How long to wait.
    pub limits: Limits,
    stage: String,
    work: Box<dyn Work>,
    models: Models,
    scratch: PathBuf,
    mark: String,
    started: AtomicU32,
    hostile: Option<PathBuf>,
    /// The run of a worker with an honest processor, which many checks look at.
    pub ordinary: OnceLock<Verdict<Arc<Ended>>>,
}

impl Bench {
    /// A bench for a plan; `scratch` is an empty directory.
    pub fn new(plan: &Plan, scratch: &Path) -> Self {
        Self {
            command: plan.command.clone(),
            limits: plan.limits,
            stage: plan.stage.clone(),
            work: work::of(&plan.stage),
            models: Models::new(plan.setting.clone()),
            scratch: scratch.to_owned(),
            mark: format!("{}-{}-", std::process::id(), scratch.display()),
            started: AtomicU32::new(0),
            hostile: plan.hostile.clone(),
            ordinary: OnceLock::new(),
        }
    }

    /// The program that a worker starts.
    pub fn hostile(&self) -> Verdict<&Path> {
        self.hostile.as_deref().ok_or_else(|| Failure::Harness("no program to be hostile".into()))
    }

    /// The program and arguments that are tested.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    /// The stage that is tested.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// The stage that is tested, one of 1.0.
    ///
    /// # Errors
    /// [`Failure::Skipped`] for a stage of others.
    pub fn known_stage(&self) -> Verdict<Stage> {
        let unknown = |_| Failure::Skipped(format!("1.0 has no stage `{}`", self.stage));
        self.stage.parse().map_err(unknown)
    }

    /// Finished sectors of the chosen size.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// Tasks of the stage.
    pub fn work(&self) -> &dyn Work {
        &*self.work
    }

    /// A directory of its own for whoever asks; removed when the run is over.
    pub fn dir(&self) -> Verdict<PathBuf> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let dir = self.scratch.join(format!("dir-{number}"));
        fs::create_dir(&dir).map_err(|e| Failure::harness("cannot make a directory", e))?;
        Ok(dir)
    }

    /// Starts the processor as the worker would, and says nothing to it.
    pub fn start(&self) -> Verdict<Subject> {
        Subject::start(self.launch(&self.command)?)
    }

    /// Starts it with its cpus taken away but for these, as with `pinning = "worker"`.
    pub fn start_on(&self, cpus: &CpuList) -> Verdict<Subject> {
        Subject::start_on(self.launch(&self.command)?, cpus)
    }

    fn launch(&self, command: &[OsString]) -> Verdict<Launch> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let stderr_path = self.scratch.join(format!("stderr-{number}"));
        let stderr = File::create(&stderr_path)
            .map_err(|e| Failure::harness("cannot make a file for stderr", e))?;
        Ok(Launch { command: command.to_owned(), mark: self.mark(number), stderr, stderr_path })
    }

    /// The value of [`MARK_ENV`] for another process.
    pub fn next_mark(&self) -> String {
        self.mark(self.started.fetch_add(1, Ordering::Relaxed))
    }

    fn mark(&self, number: u32) -> String {
        // The dot at the end keeps 1 apart from 10.
        format!("{}{number}.", self.mark)
    }

    /// Starts another program, without a word.
    pub fn session_of(&self, command: Vec<OsString>) -> Verdict<Session> {
        Ok(Session::new(Subject::start(self.launch(&command)?)?, self.limits))
    }

    /// Starts it without a word: for checks of the first ones.
    pub fn silent_session(&self) -> Verdict<Session> {
        Ok(Session::new(self.start()?, self.limits))
    }

    /// Starts it and initializes it with [`Self::initialize_params`].
    pub fn session(&self) -> Verdict<Session> {
        self.session_with(self.initialize_params())
    }

    /// Starts it and initializes it with other parameters.
    pub fn session_with(&self, params: Value) -> Verdict<Session> {
        let mut session = self.silent_session()?;
        session.initialize(params)?;
        Ok(session)
    }

    /// Parameters of `initialize` that every processor takes.
    pub fn initialize_params(&self) -> Value {
        json!({
            "protocolVersions": ["1.0"],
            "worker": {"name": "sealpipe-conformance", "version": env!("CARGO_PKG_VERSION")},
            "entry": format!("{}[0]", self.stage),
            "limits": {
                "maxFrameBytes": sealpipe_protocol::DEFAULT_FRAME_BYTES,
                "graceMs": u64::try_from(self.limits.grace().as_millis()).unwrap_or(u64::MAX),
            },
        })
    }

    /// Parameters of `task/run` for the stage's parameters.
    pub fn run_params(&self, task_id: &str, attempt: u64, params: Value) -> Value {
        json!({
            "taskId": task_id,
            "attempt": attempt,
            "stage": self.stage,
            "schemaVersion": "1.0",
            "params": params,
        })
    }

    /// A task that ends well, soon.
    pub fn brief(&self, task_id: &str) -> Verdict<Value> {
        Ok(self.run_params(task_id, 1, self.work.brief(self)?))
    }

    /// A task that stays open until it is stopped, or for minutes.
    pub fn lasting(&self, task_id: &str) -> Verdict<Value> {
        Ok(self.run_params(task_id, 1, self.work.lasting(self)?))
    }

    /// An `echo` task; other stages are skipped.
    pub fn echo(&self, task_id: &str, params: Value) -> Verdict<Value> {
        if self.stage == "echo" {
            return Ok(self.run_params(task_id, 1, params));
        }
        Err(Failure::Skipped("needs the stage `echo`".into()))
    }
}

impl Drop for Bench {
    /// Nothing that a run has started outlives it.
    fn drop(&mut self) {
        for pid in proc::marked(MARK_ENV, &self.mark).into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
