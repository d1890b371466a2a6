// SPDX-License-Identifier: MIT OR Apache-2.0

//! A fleet of real processes in a directory of its own, and tasks for it.

use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sealpipe_protocol::{
    Stage, TaskId, Version,
    method::{ShutdownMode, TaskRunParams},
};
use sealpipe_worker::{
    config::{self, Processors, Source},
    event::{Event, Observer},
    fleet::{
        Fleet, FleetStatus, Journey, Patience, Reload, ReloadError, Slot, status::ProcessorStatus,
    },
    scheduler::PlaceId,
    supervisor::{Lost, State},
};
use serde_json::{Value, json, value::to_raw_value};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// No step of a test takes as long on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A fleet, and what has happened to it.
pub struct Bench {
    dir: TempDir,
    pub fleet: Arc<Fleet>,
    events: Arc<Mutex<Vec<Event>>>,
    attempts: AtomicU32,
}

/// An entry of a configuration.
pub struct Entry {
    stage: Stage,
    keys: String,
    envs: BTreeMap<String, String>,
}

impl Entry {
    /// One of the tests' processor.
    pub fn new(stage: Stage) -> Self {
        Self { stage, keys: String::new(), envs: BTreeMap::new() }
    }

    /// With more keys, as they stand in the file.
    pub fn keys(mut self, keys: &str) -> Self {
        self.keys += keys;
        self.keys += "\n";
        self
    }

    /// With another variable.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.envs.insert(name.to_owned(), value.to_string());
        self
    }
}

impl Bench {
    /// A fleet of these entries, none of them started.
    pub fn new(patience: Patience, rules: &str, entries: &[Entry]) -> Self {
        let dir = TempDir::new().unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        let observer = Observer::new(move |event| heard.lock().unwrap().push(event.clone()));
        let config = config(dir.path(), rules, entries);
        let fleet = Fleet::new(&config, dir.path(), &observer, patience);
        Self { dir, fleet, events, attempts: AtomicU32::new(1) }
    }

    /// The same, with all processes ready.
    pub async fn ready(rules: &str, entries: &[Entry]) -> Self {
        let bench = Self::new(Patience::Endless, rules, entries);
        bench.fleet.start_configured().await.unwrap();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a file that somebody waits for.
    pub fn open(&self, gate: &str) {
        fs::write(self.path(gate), "").unwrap();
    }

    /// Puts the tests' processor where the implied ones are looked for.
    pub fn make_implied(&self) {
        let (program, sdk) = programs();
        let script = format!(
            "#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 SDK={sdk:?} LOG={:?} exec {program:?} \"$@\"\n",
            self.dir.path()
        );
        // By another process: what another test starts while this one has the file open for writing
        // has it open too, and then it cannot be run.
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(self.path("sealpipe-reference"));
        let mut shell = shell.stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    /// Puts a configuration in force.
    pub async fn reload(&self, rules: &str, entries: &[Entry]) -> Result<Reload, ReloadError> {
        let config = config(self.dir.path(), rules, entries);
        self.fleet.reload(&config, self.dir.path()).await
    }

    /// Waits for a place.
    pub async fn slot(&self, stage: Stage, journey: Option<&Journey>) -> Slot {
        within(self.fleet.slot(stage, journey, None)).await.unwrap()
    }

    /// Runs a task where a slot is, as another attempt.
    pub async fn run_at(&self, slot: &Slot, id: &str, payload: Value) -> Result<Value, Lost> {
        let State::Ready(ready) = slot.processor().state().borrow().clone() else {
            return Err(Lost::Gone("it is not ready".to_owned()));
        };
        let stage = slot.processor().id().stage;
        let params = TaskRunParams {
            task_id: TaskId::try_from(id.to_owned()).unwrap(),
            attempt: self.attempts.fetch_add(1, Ordering::Relaxed),
            stage: stage.name().to_owned(),
            schema_version: Version::V1_0,
            params: to_raw_value(&json!({ "payload": payload })).unwrap(),
        };
        let result = within(ready.link.run(&params, Arc::new(|_| ()))).await?;
        let output: Value = serde_json::from_str(result.output.get()).unwrap();
        Ok(output["payload"].clone())
    }

    /// Runs a task, wherever; `elsewhere` avoids a place.
    pub async fn run(
        &self,
        stage: Stage,
        id: &str,
        payload: Value,
        elsewhere: Option<PlaceId>,
    ) -> Result<Value, Lost> {
        loop {
            let slot = within(self.fleet.slot(stage, None, elsewhere)).await.unwrap();
            match self.run_at(&slot, id, payload.clone()).await {
                Err(Lost::Gone(why)) if why == "it is not ready" => sleep(POLL).await,
                ended => return ended,
            }
        }
    }

    /// A task that runs until a gate is opened.
    pub fn until(&self, gate: &str) -> Value {
        json!({ "until": [self.path(gate)] })
    }

    /// The ids of the tasks that processors have begun, one for each time.
    pub fn tasks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("tasks")).unwrap_or_default();
        text.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
    }

    /// All processes that were ever started.
    pub fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Waits until a task has begun.
    pub async fn began(&self, id: &str) {
        self.wait(|| self.tasks().iter().any(|task| task == id)).await;
    }

    /// Waits until something is so.
    pub async fn wait(&self, mut is_so: impl FnMut() -> bool) {
        within(async {
            while !is_so() {
                sleep(POLL).await;
            }
        })
        .await;
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub fn status(&self) -> FleetStatus {
        self.fleet.status()
    }

    /// A processor that takes tasks.
    pub fn processor(&self, name: &str) -> ProcessorStatus {
        let mut found = self.status().processors;
        found.retain(|processor| processor.processor == name && !processor.retired);
        assert_eq!(found.len(), 1, "{name}");
        found.remove(0)
    }

    pub fn pid(&self, name: &str) -> i32 {
        self.processor(name).pid.unwrap_or_else(|| panic!("{name} has no process"))
    }

    /// Expects that nothing is held and nobody waits, ends all processes, and expects them gone.
    pub async fn end(self) {
        let status = self.status();
        assert!(status.locks.iter().all(|lock| lock.holders.is_empty()), "{status:#?}");
        assert!(status.processors.iter().all(|p| p.running.is_empty()), "{status:#?}");
        assert!(status.stages.iter().all(|s| s.waiting + s.running == 0), "{status:#?}");
        within(self.fleet.clone().stop(ShutdownMode::Interrupt)).await;
        // One that was killed may take a moment to be reaped.
        self.wait(|| !self.pids().into_iter().any(is_alive)).await;
    }
}

/// Whether a process is there.
pub fn is_alive(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Gives up on what takes for ever.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes for ever")
}

/// The tests' processor, and where its SDK lies.
fn programs() -> (PathBuf, PathBuf) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    (manifest.join("tests/fleet/processor.py"), manifest.join("../processors/examples/python"))
}

fn config(dir: &Path, rules: &str, entries: &[Entry]) -> Processors {
    let (program, sdk) = programs();
    let mut text = format!("{rules}\n");
    for Entry { stage, keys, envs } in entries {
        text +=
            &format!("[[processors.{stage}]]\nbin = {program:?}\nstable_wait = \"60s\"\n{keys}");
        text += &format!("envs.SDK = {sdk:?}\nenvs.LOG = {dir:?}\n");
        // Nothing is left beside the SDK.
        text += "envs.PYTHONDONTWRITEBYTECODE = \"1\"\n";
        for (name, value) in envs {
            text += &format!("envs.{name} = {value:?}\n");
        }
    }
    let source = Source::new("worker.toml", text);
    let parsed = config::parse(&source);
    let said = parsed.diagnostics().render(&source, config::Severity::Error);
    let config = parsed.config().unwrap_or_else(|| panic!("{}\n{said}", source.text()));
    config.processors.clone()
}
