// SPDX-License-Identifier: MIT OR Apache-2.0

//! However a worker ends, no process outlives it, and the sector goes on.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sealpipe_tests::{Bench, LIMIT, Process, Run, Vector, root, site::PATIENT};

/// Resident memory of a worker that waits.
const IDLE_BYTES: u64 = 30 << 20;

/// A golden 8 MiB sector in the middle of pc1.
fn in_pc1(bench: &Bench, args: &[String]) -> Run {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut run = bench.start(&args);
    bench.journal("sector").wait_for_start(&mut run, "pc1");
    // Until there is the helper that computes.
    let deadline = Instant::now() + LIMIT;
    while !bench.processes().iter().any(|process| process.command.contains(" helper --parent ")) {
        assert!(Instant::now() < deadline, "nobody computes: {:#?}", bench.processes());
        sleep(Duration::from_millis(2));
    }
    run
}

/// Stops a worker in pc1, then seals to the end.
fn check(stop: impl Fn(Run)) {
    let bench = Bench::new();
    let vector = Vector::read("8MiB-data");
    let args = vector.seal(&bench, "sector");
    stop(in_pc1(&bench, &args));
    bench.check_nothing_is_left();
    let journal = bench.journal("sector");
    assert_eq!(journal.count("stage-finished", "pc1"), 0, "it was stopped in the middle");
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    bench.run(&args).ok();
    assert_eq!(journal.count("stage-finished", "add_pieces"), 1, "what was done stays done");
    assert_eq!(journal.count("stage-finished", "tree_d"), 1, "what was done stays done");
    vector.check(&bench.path("sector"));
    bench.check_nothing_is_left();
}

#[test]
fn ctrl_c_stops_everything_says_how_to_go_on_and_loses_nothing() {
    check(|run| {
        run.signal(Signal::INT);
        let ended = run.end().code(130);
        ended.says(&[
            "SIGINT: stopping the processors",
            "error: interrupted",
            "hint: run the same command again to go on",
        ]);
    });
}

#[test]
fn a_terminated_worker_stops_its_processors() {
    check(|run| {
        run.signal(Signal::TERM);
        run.end().code(130).says(&["SIGTERM: stopping the processors"]);
    });
}

#[test]
fn a_killed_worker_leaves_no_process_behind() {
    check(|run| {
        run.signal(Signal::KILL);
        run.end().killed_by(Signal::KILL);
    });
}

#[test]
fn a_directory_is_sealed_by_one_worker_at_a_time() {
    let bench = Bench::new();
    let args = Vector::read("8MiB-data").seal(&bench, "sector");
    let run = in_pc1(&bench, &args);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    bench.run(&args).fails_with(&[
        "another sealpipe works on ",
        "sector",
        "hint: wait until it has ended",
    ]);
    run.signal(Signal::INT);
    run.end().code(130);
    bench.check_nothing_is_left();
}

#[test]
fn a_worker_that_waits_is_small() {
    let bench = Bench::new();
    let program = root().join("tests/programs/hostile.py");
    let entry = format!(
        "[[processors.tree_d]]\nbin = {:?}\nargs = [\"silent-task\"]\n{PATIENT}",
        program.display().to_string()
    );
    bench.write("worker.toml", entry);
    let args = ["seal", "--size", "2KiB", "--out", "sector", "--config", "worker.toml"];
    let mut run = bench.start(&[&args[..], &["--until", "c1"]].concat());
    bench.journal("sector").wait_for_start(&mut run, "tree_d");
    sleep(Duration::from_secs(1));
    let resident = Process::resident_bytes(run.pid()).unwrap();
    println!("resident: {} KiB", resident >> 10);
    assert!(resident < IDLE_BYTES, "{} KiB", resident >> 10);
    run.signal(Signal::INT);
    run.end().code(130);
    bench.check_nothing_is_left();
}
