// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whatever ends a worker, a processor or the guardian: nothing that descends from a processor
//! outlives them, even what ignores every signal and has left its group and its parent.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sealpipe_tests::{Bench, LIMIT, Process, Run, root, site::PATIENT};

/// A processor, its child and its grandchild.
const FAMILY: usize = 3;

/// A worker whose processor of tree_d ends by SIGKILL alone.
struct Stage {
    bench: Bench,
    run: Run,
}

impl Stage {
    /// Starts one, and waits until the processor has its task and its whole family is there.
    #[track_caller]
    fn new() -> Self {
        let bench = Bench::new();
        let program = root().join("tests/programs/stubborn.py");
        bench.write("worker.toml", format!("[[processors.tree_d]]\nbin = {program:?}\n{PATIENT}"));
        let args = ["seal", "--size", "2KiB", "--out", "sector", "--config", "worker.toml"];
        let mut run = bench.start(&[&args[..], &["--until", "c1"]].concat());
        bench.journal("sector").wait_for_start(&mut run, "tree_d");
        let stage = Self { bench, run };
        stage.wait("a family and a guardian", |all| {
            family(all).len() == FAMILY && guardian(all).is_some()
        });
        stage
    }

    /// Waits until the processes of this test are so.
    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&[Process]) -> bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let all = self.bench.processes();
            if is_so(&all) {
                return;
            }
            assert!(Instant::now() < deadline, "no {what}: {all:#?}");
            sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn guardian(&self) -> Process {
        guardian(&self.bench.processes()).unwrap()
    }

    /// Kills the worker and waits until it is gone; what it leaves is still there.
    #[track_caller]
    fn kill_worker(self) -> Bench {
        self.run.signal(Signal::KILL);
        self.run.end().killed_by(Signal::KILL);
        self.bench
    }
}

/// The processor and what descends from it.
fn family(all: &[Process]) -> Vec<i32> {
    let is_one = |process: &&Process| {
        let command = &process.command;
        is_stubborn(process) || command.ends_with(" child") || command.ends_with(" grandchild")
    };
    all.iter().filter(is_one).map(|process| process.pid).collect()
}

fn is_stubborn(process: &Process) -> bool {
    process.command.contains("/stubborn.py ")
}

fn is_guardian(process: &Process) -> bool {
    process.command.contains(" guardian --worker ")
}

fn guardian(all: &[Process]) -> Option<Process> {
    all.iter().find(|process| is_guardian(process)).cloned()
}

#[test]
fn a_killed_worker_leaves_nothing_behind() {
    let stage = Stage::new();
    let bench = stage.kill_worker();
    assert_eq!(family(&bench.processes()).len(), FAMILY, "they ignore everything, for a while");
    bench.check_nothing_is_left();
}

#[test]
fn a_killed_guardian_is_replaced_and_the_new_one_knows_everything() {
    let stage = Stage::new();
    let first = stage.guardian().pid;
    stage.guardian().kill();
    stage.wait("other guardian", |all| guardian(all).is_some_and(|other| other.pid != first));
    assert_eq!(family(&stage.bench.processes()).len(), FAMILY, "nothing else has happened");
    stage.kill_worker().check_nothing_is_left();
}

#[test]
fn what_a_guardian_and_then_its_worker_leave_the_next_worker_ends() {
    let stage = Stage::new();
    let guardian = stage.guardian();
    guardian.kill();
    next_worker(&stage.kill_worker(), &guardian);
}

#[test]
fn what_a_worker_and_then_its_guardian_leave_the_next_worker_ends() {
    let stage = Stage::new();
    let guardian = stage.guardian();
    let bench = stage.kill_worker();
    guardian.kill();
    next_worker(&bench, &guardian);
}

/// Both are killed; another worker comes, unless the first one has had the time for a new guardian.
#[track_caller]
fn next_worker(bench: &Bench, killed: &Process) {
    let left = bench.processes();
    // What is killed takes a moment to go.
    let is_other = |process: &Process| is_guardian(process) && process.pid != killed.pid;
    if !left.iter().any(is_other) {
        assert_eq!(family(&left).len(), FAMILY, "{left:#?}");
        bench.run(&["seal", "--size", "2KiB", "--out", "other", "--until", "add_pieces"]).ok();
    }
    bench.check_nothing_is_left();
}

#[test]
fn a_killed_processor_takes_its_family_along_while_the_worker_goes_on() {
    let stage = Stage::new();
    let first = family(&stage.bench.processes());
    let processor = stage.bench.processes();
    let processor = processor.iter().find(|p| is_stubborn(p)).unwrap();
    processor.kill();
    stage.wait("new family alone", |all| {
        let now = family(all);
        now.len() == FAMILY && now.iter().all(|pid| !first.contains(pid))
    });
    stage.run.signal(Signal::INT);
    stage.run.end().code(130);
    stage.bench.check_nothing_is_left();
}

#[test]
fn a_worker_that_is_stopped_kills_what_does_not_stop() {
    let stage = Stage::new();
    stage.run.signal(Signal::TERM);
    stage.run.end().code(130).says(&["SIGTERM: stopping", "did not stop and was killed"]);
    stage.bench.check_nothing_is_left();
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let stage = Stage::new();
    stage.run.signal(Signal::INT);
    let deadline = Instant::now() + LIMIT;
    while !stage.run.stderr().contains("SIGINT: stopping") {
        assert!(Instant::now() < deadline, "it does not stop:\n{}", stage.run.stderr());
        sleep(Duration::from_millis(10));
    }
    stage.run.signal(Signal::INT);
    let ended = stage.run.end().code(130);
    ended.check(!ended.stderr.contains("did not stop"), "it waited for the grace to be over");
    stage.bench.check_nothing_is_left();
}
