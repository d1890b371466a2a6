// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as a worker meets it: stages over the protocol, stops, deaths, placement.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use common::{Sector, Vector};
use sealpipe_protocol::{
    Code, Stage,
    sector_lock::SectorLock,
    stage::{Job, echo},
};
use serde_json::{Value, json, value::RawValue};
use tempfile::TempDir;

/// Nothing here may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stopped task and an orphan are gone within this.
const SOON: Duration = Duration::from_secs(3);

/// A running processor.
struct Processor {
    child: Child,
    stdin: ChildStdin,
    frames: Receiver<Value>,
    next_id: u64,
    // Empty, so that neither parameters nor parent caches of this machine play a part.
    settings: TempDir,
}

impl Processor {
    fn start(initialize: &Value) -> (Self, Value) {
        Self::start_with(initialize, &[])
    }

    fn start_with(initialize: &Value, environment: &[(&str, &str)]) -> (Self, Value) {
        let settings = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealpipe-reference"))
            .args(["processor", "pc1"])
            .env("SEALPIPE_PROTOCOL", "1.0")
            .env("FIL_PROOFS_PARAMETER_CACHE", settings.path().join("parameters"))
            .env("FIL_PROOFS_PARENT_CACHE", settings.path().join("parents"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, frames) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let frame = serde_json::from_str(&line).expect("stdout carries frames only");
                if sender.send(frame).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take().unwrap();
        let mut processor = Self { child, stdin, frames, next_id: 0, settings };
        let id = processor.request("initialize", initialize);
        let answer = processor.answer(id);
        (processor, answer["result"].clone())
    }

    fn plain() -> Self {
        Self::start(&initialize(None, None)).0
    }

    fn request(&mut self, method: &str, params: &Value) -> u64 {
        self.next_id += 1;
        let frame =
            json!({ "jsonrpc": "2.0", "id": self.next_id, "method": method, "params": params });
        writeln!(self.stdin, "{frame}").unwrap();
        self.next_id
    }

    fn run(&mut self, task: &str, attempt: u32, job: &Job) -> u64 {
        let params: &RawValue = &job.to_raw().unwrap();
        self.request(
            "task/run",
            &json!({
                "taskId": task, "attempt": attempt, "stage": job.stage().name(),
                "schemaVersion": "1.0", "params": params,
            }),
        )
    }

    fn frame(&self) -> Value {
        self.frames.recv_timeout(PATIENCE).expect("a frame in time")
    }

    fn answer(&self, id: u64) -> Value {
        loop {
            let frame = self.frame();
            if frame["id"] == id {
                return frame;
            }
        }
    }

    fn output(&mut self, job: &Job) -> Value {
        let id = self.run(job.stage().name(), 1, job);
        let answer = self.answer(id);
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"]["output"].clone()
    }

    /// Waits for progress of a phase that starts with `phase`.
    fn progress(&self, phase: &str) -> Value {
        loop {
            let frame = self.frame();
            assert!(frame["id"].is_null(), "ended before {phase}: {frame}");
            if frame["method"] == "task/progress"
                && frame["params"]["phase"].as_str().unwrap().starts_with(phase)
            {
                return frame["params"].clone();
            }
        }
    }

    /// Process ids of the helper processes.
    fn helpers(&self) -> Vec<u32> {
        children(self.child.id())
    }

    /// Puts the parent cache of a proof in place, so that a test need not wait for it.
    fn with_parents(self, proof: sealpipe_protocol::stage::proof::SealProof) -> Self {
        use sealpipe_reference::{parents, report::Reporter};
        let dir = self.settings.path().join("parents");
        parents::ensure(&dir, proof, &Reporter::silent(), &mut |_| {}).unwrap();
        self
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn initialize(cpus: Option<&str>, concurrent: Option<u32>) -> Value {
    let mut params = json!({
        "protocolVersions": ["1.0"],
        "worker": { "name": "test", "version": "0" },
        "limits": {}, "placement": {},
    });
    if let Some(cpus) = cpus {
        params["placement"]["cpus"] = cpus.into();
    }
    if let Some(concurrent) = concurrent {
        params["limits"]["concurrent"] = concurrent.into();
    }
    params
}

fn children(parent: u32) -> Vec<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            // pid (name) state parent …
            let stat = stat(*pid).unwrap_or_default();
            let fields = stat.rsplit(')').next().unwrap_or_default();
            fields.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn echo(fail: Option<echo::Failure>, ticks: u64) -> Job {
    Job::Echo(echo::Params { payload: json!({ "x": 1.5 }), ticks, interval_ms: 100, fail })
}

fn is_locked(dir: &Path) -> bool {
    SectorLock::acquire(dir).is_err()
}

#[test]
fn all_stages_are_offered_and_echo_answers() {
    let (mut processor, result) = Processor::start(&initialize(None, None));
    let offered: Vec<_> = result["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|offer| offer["stage"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(offered, Stage::ALL.iter().map(|stage| stage.name()).collect::<Vec<_>>());
    assert_eq!(processor.output(&echo(None, 2)), json!({ "payload": { "x": 1.5 } }));
    eventually("no helper is left", || processor.helpers().is_empty());
}

#[test]
fn a_panic_is_an_error_of_its_task_alone() {
    let mut processor = Processor::plain();
    let id = processor.run("a", 1, &echo(Some(echo::Failure::Panic), 0));
    let error = processor.answer(id)["error"].clone();
    assert_eq!(error["code"], Code::InternalError.number());
    assert!(error["message"].as_str().unwrap().contains("panicked"), "{error}");
    processor.output(&echo(None, 0));
}

#[test]
fn a_sector_is_sealed_over_the_protocol() {
    let sector = Sector::new("2KiB-data");
    let mut processor = Processor::plain();
    processor.output(&Job::AddPieces(sector.add_pieces_params()));
    // Without tree_d: pc1 builds the tree, and the parents.
    processor.output(&Job::Pc1(sector.pc1_params()));
    let output = processor.output(&Job::Pc2(sector.pc2_params()));
    assert_eq!(output["commR"], json!(sector.vector.bytes32("comm_r")));
    sector.check_files(|_| true);
    processor.output(&Job::C1(sector.c1_params()));
    assert_eq!(sector.digest("c1.json"), sector.vector.c1_api());
    processor.output(&Job::Unseal(sector.unseal_params(0, 2032)));
    assert_eq!(Some(fs::read(sector.path("data")).unwrap()), sector.vector.data());
}

#[test]
fn missing_parameters_are_said_with_the_command_that_makes_them() {
    use sealpipe_protocol::{
        Base64, Bytes32,
        stage::{c1::FileRef, c2, verify},
    };
    let vector = Vector::read("2KiB-data");
    let path = fs::canonicalize(Vector::dir().join("2KiB-data.c1-api.json")).unwrap();
    let (sha256, size) = vector.c1_api();
    let c2 = Job::C2(c2::Params {
        proof: vector.proof(),
        prover_id: vector.bytes32("prover_id"),
        sector_number: vector.sector_number(),
        c1: FileRef { path, size, sha256 },
    });
    let mut verify = verify::Params {
        proof: vector.proof(),
        prover_id: vector.bytes32("prover_id"),
        sector_number: vector.sector_number(),
        ticket: vector.bytes32("ticket"),
        seed: vector.bytes32("seed"),
        comm_d: vector.bytes32("comm_d"),
        comm_r: Bytes32([1; 32]),
        proof_bytes: Base64(vec![0; 192]),
    };
    let mut processor = Processor::plain();
    for job in [c2, Job::Verify(verify.clone())] {
        let id = processor.run(job.stage().name(), 1, &job);
        let error = processor.answer(id)["error"].clone();
        assert_eq!(error["code"], Code::ParametersMissing.number(), "{error}");
        let hint = error["data"]["hint"].as_str().unwrap();
        assert!(hint.contains("sealpipe-reference params make --size 2KiB"), "{hint}");
    }
    // No parameters are needed to see that this is no proof.
    verify.proof_bytes = Base64(vec![0; 191]);
    assert_eq!(processor.output(&Job::Verify(verify)), json!({ "valid": false }));
}

#[test]
fn a_cancelled_task_leaves_no_process_and_goes_on_where_it_was() {
    let sector = Sector::new("8MiB-data").staged();
    // One core takes long enough for a layer to be caught in the middle.
    let slow = [("FIL_PROOFS_USE_MULTICORE_SDR", "0")];
    let (processor, _) = Processor::start_with(&initialize(None, None), &slow);
    let mut processor = processor.with_parents(sector.vector.proof());
    let job = Job::Pc1(sector.pc1_params());
    let id = processor.run("a", 1, &job);
    processor.progress("layer 2");
    let started = Instant::now();
    processor.request("task/cancel", &json!({ "taskId": "a" }));
    assert_eq!(processor.answer(id)["error"]["code"], Code::Cancelled.number());
    assert!(started.elapsed() < SOON);
    assert_eq!(processor.helpers(), [0; 0]);
    assert!(!is_locked(sector.dir.path()));
    let id = processor.run("a", 2, &job);
    assert_eq!(processor.answer(id)["result"]["resumedFrom"], "layer 1");
    sector.check_layers();
}

#[test]
fn a_cancelled_task_leaves_no_scratch() {
    let sector = Sector::new("8MiB-data").staged();
    sector.pc1().unwrap();
    let before = sector.names("cache");
    let mut processor = Processor::plain();
    let id = processor.run("a", 1, &Job::Pc2(sector.pc2_params()));
    processor.progress("columns");
    assert_eq!(sector.names("work/pc2"), ["scratch"]);
    processor.request("task/cancel", &json!({ "taskId": "a" }));
    assert_eq!(processor.answer(id)["error"]["code"], Code::Cancelled.number());
    assert_eq!(sector.names("work/pc2"), [""; 0]);
    assert_eq!(sector.names("cache"), before);
    assert!(!sector.path("sealed").exists());
}

#[test]
fn a_helper_that_is_killed_is_a_temporary_error() {
    let mut processor = Processor::plain();
    let id = processor.run("a", 1, &echo(None, 1_000));
    processor.progress("echo");
    let helpers = processor.helpers();
    assert_eq!(helpers.len(), 1);
    kill(helpers[0]);
    let error = processor.answer(id)["error"].clone();
    assert_eq!(error["data"]["class"], "temporary", "{error}");
    assert!(error["message"].as_str().unwrap().contains("SIGKILL"), "{error}");
    processor.output(&echo(None, 0));
}

#[test]
fn no_helper_outlives_the_front_and_the_lock_goes_with_it() {
    let sector = Sector::new("8MiB-data").staged();
    let mut processor = Processor::plain();
    processor.run("a", 1, &Job::Pc1(sector.pc1_params()));
    processor.progress("");
    let helpers = processor.helpers();
    assert_eq!(helpers.len(), 1);
    assert!(is_locked(sector.dir.path()));
    kill(processor.child.id());
    processor.child.wait().unwrap();
    eventually("the helper dies", || {
        let state = fs::read_to_string(format!("/proc/{}/stat", helpers[0])).unwrap_or_default();
        state.is_empty() || state.contains(") Z ")
    });
    eventually("the lock is free", || !is_locked(sector.dir.path()));
}

#[test]
fn every_thread_stays_on_the_cpus_of_its_task() {
    let cpus = sealpipe_protocol::placement::current_cpus().unwrap();
    let all = cpus.to_string();
    let sector = Sector::new("8MiB-data").staged();
    let (processor, _) = Processor::start(&initialize(Some(&all), Some(1)));
    let mut processor = processor.with_parents(sector.vector.proof());
    let id = processor.run("a", 1, &Job::Pc1(sector.pc1_params()));
    processor.progress("layer 1");
    let share: Vec<String> = threads(processor.helpers()[0]);
    let n_threads = share.len();
    assert!(n_threads >= 3, "{n_threads} threads");
    let expected: Vec<_> = vec![all; n_threads];
    let found: Vec<_> = share
        .iter()
        .map(|text| text.parse::<sealpipe_protocol::placement::CpuList>().unwrap().to_string())
        .collect();
    assert_eq!(found, expected);
    assert!(processor.answer(id)["error"].is_null());
    sector.check_layers();
}

/// `Cpus_allowed_list` of every thread of a process.
fn threads(pid: u32) -> Vec<String> {
    let tasks: Vec<PathBuf> = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("status"))
        .collect();
    tasks
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .filter_map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            Some(line.trim().to_owned())
        })
        .collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
