// SPDX-License-Identifier: MIT OR Apache-2.0

//! Our worker runs a processor that was made with the consumer of the vc-processors crate, by its
//! `bin` alone.

use std::{fs, time::Duration};

use rustix::process::Signal;
use sealpipe_tests::{Bench, Run, Vector, program, site::PATIENT, text};
use serde_json::Value;

const IDENTITY: &str = "legacy vc-processors";

/// Making the parameters, if need be, and a proof on one slow core.
const PROOF_LIMIT: Duration = Duration::from_secs(1_800);

/// An entry of a stage that is served by that processor.
fn entry(stage: &str, more: &str) -> String {
    let bin = program("sealpipe-test-legacy");
    let bin = bin.display().to_string();
    format!("[[processors.{stage}]]\nbin = {bin:?}\n{PATIENT}{more}\n")
}

fn entries(stages: &[&str], more: &str) -> String {
    stages.iter().map(|stage| entry(stage, more)).collect()
}

/// Starts sealing the golden sector with a configuration.
fn start(bench: &Bench, config: &str) -> Run {
    bench.write("worker.toml", config);
    let mut args = Vector::read("2KiB-data").seal(bench, "sector");
    args.extend(["--config".to_owned(), "worker.toml".to_owned()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    bench.start(&args)
}

/// Seals the golden sector, checks every file, and gives the journal.
fn seal(bench: &Bench, config: &str) -> Vec<Value> {
    start(bench, config).end().ok();
    Vector::read("2KiB-data").check(&bench.path("sector"));
    let left = bench.files("sector").unwrap().into_keys();
    let odd: Vec<_> = left.filter(|name| name.contains("work/") || name.contains("/.")).collect();
    assert!(odd.is_empty(), "{odd:?}");
    bench.check_nothing_is_left();
    bench.journal("sector").events()
}

fn count(events: &[Value], event: &str) -> usize {
    events.iter().filter(|e| e["event"] == event).count()
}

#[test]
fn a_golden_sector_goes_through_its_stages() {
    let bench = Bench::new();
    let stages = ["add_pieces", "tree_d", "pc1", "pc2"];
    let events = seal(&bench, &entries(&stages, ""));
    for stage in stages {
        let name = format!("{stage}[0]");
        let ready = |e: &&Value| e["event"] == "processor-ready" && e["processor"] == *name;
        let ready = events.iter().find(ready).unwrap_or_else(|| panic!("{name}: {events:#?}"));
        assert_eq!(text(ready, "identity"), IDENTITY);
    }
    assert_eq!(count(&events, "processor-oddity"), 0, "{events:#?}");
    assert_eq!(count(&events, "processor-died"), 0, "{events:#?}");
}

#[test]
fn it_runs_on_its_cpus_without_being_told() {
    let bench = Bench::new();
    // The worker looks at every thread before it gives out a task.
    let config = entry("tree_d", "cgroup.cpuset = \"0\"\nenvs = { LEGACY_SLEEP_MS = \"3000\" }");
    let mut run = start(&bench, &config);
    let started = bench.journal("sector").wait_for_start(&mut run, "tree_d");
    let status = fs::read_to_string(format!("/proc/{}/status", started["pid"])).unwrap();
    let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    assert_eq!(cpus.map(str::trim), Some("0"));
    let environment = fs::read(format!("/proc/{}/environ", started["pid"])).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    for name in ["SEALPIPE_PROTOCOL", "VC_CG_CPUSET", "VENUS_WORKER_NUMA_PREFERRED"] {
        assert!(!environment.contains(name), "{environment}");
    }
    run.end().ok();
}

#[test]
fn lines_before_the_first_are_a_warning() {
    let bench = Bench::new();
    let config = entry("tree_d", "envs = { LEGACY_NOISE = \"2\" }");
    start(&bench, &config).end().ok().says(&[
        "greets the world, 0",
        "greets the world, 1",
        IDENTITY,
    ]);
}

#[test]
fn a_task_that_dies_with_its_process_is_run_again_from_nothing() {
    for stage in ["add_pieces", "tree_d", "pc1", "pc2"] {
        let bench = Bench::new();
        let died = bench.path("died");
        let envs = format!("envs = {{ LEGACY_DIE_ONCE = {:?} }}", died.display().to_string());
        let events = seal(&bench, &entry(stage, &envs));
        assert!(died.exists());
        assert_eq!(count(&events, "processor-died"), 1, "{stage}: {events:#?}");
        assert_eq!(count(&events, "stage-retried"), 1, "{stage}: {events:#?}");
        let died = events.iter().find(|e| e["event"] == "processor-died").unwrap();
        assert!(text(died, "reason").contains("signal 6"), "{died}");
    }
}

#[test]
fn an_error_is_tried_again() {
    let bench = Bench::new();
    let failed = bench.path("failed");
    let envs = format!("envs = {{ LEGACY_FAIL_ONCE = {:?} }}", failed.display().to_string());
    let events = seal(&bench, &entry("tree_d", &envs));
    let retried = events.iter().find(|e| e["event"] == "stage-retried").unwrap();
    assert!(text(retried, "reason").contains("the device is busy"), "{retried}");
    assert_eq!(count(&events, "processor-died"), 0, "{events:#?}");
}

#[test]
fn an_interrupt_ends_it_at_once_and_the_sector_goes_on() {
    let bench = Bench::new();
    let slow = entry("pc1", "envs = { LEGACY_SLEEP_MS = \"100000\" }");
    for signal in [Signal::INT, Signal::KILL] {
        let mut run = start(&bench, &slow);
        bench.journal("sector").wait_for_start(&mut run, "pc1");
        std::thread::sleep(Duration::from_millis(200));
        run.signal(signal);
        run.end_within(Duration::from_secs(30));
        bench.check_nothing_is_left();
    }
    seal(&bench, &entry("pc1", ""));
}

#[test]
fn a_task_that_takes_longer_than_the_entry_allows_ends_with_its_process() {
    let bench = Bench::new();
    let more = "stuck_after = \"1s\"\nenvs = { LEGACY_SLEEP_MS = \"60000\" }";
    let mut run = start(&bench, &entry("tree_d", more));
    let journal = bench.journal("sector");
    let retried = journal.wait(&mut run, 0, "stage-retried", "tree_d");
    assert!(retried.is_some(), "{}", run.stderr());
    // The task is told first; the process is found dead after.
    let is_death = |event: &Value| event["event"] == "processor-died";
    let died = journal.wait_until(&mut run, 0, "death of a processor", is_death);
    let (_, died) = died.unwrap_or_else(|| panic!("{}", run.stderr()));
    assert!(text(&died, "reason").contains("did not end in 1 s"), "{died}");
    run.signal(Signal::INT);
    run.end_within(Duration::from_secs(30));
    bench.check_nothing_is_left();
}

#[test]
fn a_stage_without_tasks_is_refused() {
    let bench = Bench::new();
    start(&bench, &entry("c1", "")).end().fails_with(&[
        "c1[0]",
        "it speaks the line protocol of vc-processors, which has no tasks of `c1`",
        "hint: docs/legacy.md",
    ]);
    bench.check_nothing_is_left();
}

/// One proof takes minutes on two cores, so there is one test: c2 goes through our worker, the
/// crate's consumer, the crate's producer and our processor.
#[test]
fn a_proof_is_made_and_the_data_comes_back() {
    let bench = Bench::new();
    let data = sealpipe_tests::pattern(1000);
    bench.write("piece.bin", &data);
    bench.write("worker.toml", entries(&["c2", "unseal"], ""));
    let config = ["--config", "worker.toml"];
    let seal = ["seal", "--size", "2KiB", "--piece", "piece.bin", "--out", "sector"];
    let ended = bench.start(&[&seal[..], &config].concat()).end_within(PROOF_LIMIT).ok();
    ended.check(ended.last_line() == "proof verified", "the last line");
    let events = bench.journal("sector").events();
    let started = |e: &&Value| e["event"] == "stage-started" && e["stage"] == "c2";
    assert_eq!(text(events.iter().find(started).unwrap(), "processor"), "c2[0]");
    bench.run(&[&["unseal", "sector", "-o", "back"][..], &config].concat()).ok();
    assert_eq!(fs::read(bench.path("back")).unwrap(), data);
    bench.check_nothing_is_left();
}
