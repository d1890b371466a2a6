// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parameters are looked for before anything else is done, since a proof without them would fail
//! after hours.

use std::{fs, thread::sleep, time::Duration};

use rustix::process::Signal;
use sealpipe_tests::{Bench, LIMIT, Run};

/// How often it is looked whether parameters are being made.
const LOOK: Duration = Duration::from_millis(20);

/// Stops a worker that makes parameters. Nothing of it runs on, no sector was begun, and nothing
/// lies there that could be taken for parameters.
fn check(stop: impl Fn(Run)) {
    let bench = Bench::new();
    fs::create_dir(bench.path("cache")).unwrap();
    let cache = bench.path("cache").display().to_string();
    let args = ["seal", "--size", "2KiB", "--out", "sector"];
    let run = bench.start_with(&args, &[("FIL_PROOFS_PARAMETER_CACHE", &cache)]);
    let mut waited = Duration::ZERO;
    while !bench.processes().iter().any(|process| process.command.contains("params make")) {
        assert!(waited < LIMIT, "no parameters are made; it said:\n{}", run.stderr());
        sleep(LOOK);
        waited += LOOK;
    }
    sleep(Duration::from_millis(500));
    stop(run);
    bench.check_nothing_is_left();
    assert_eq!(bench.files("sector"), None, "no sector was begun");
    let files: Vec<_> = bench.files("cache").unwrap().into_keys().collect();
    assert!(files.iter().all(|name| name.ends_with(".part")), "{files:?}");
}

#[test]
fn making_parameters_can_be_interrupted() {
    check(|run| {
        run.signal(Signal::INT);
        run.end().code(130).says(&["hint: run the same command again to go on"]);
    });
}

#[test]
fn making_parameters_ends_with_a_worker_that_is_killed() {
    check(|run| {
        run.signal(Signal::KILL);
        run.end().killed_by(Signal::KILL);
    });
}

#[test]
fn parameters_of_the_network_are_asked_for_and_never_made() {
    let bench = Bench::new();
    let cache = bench.path("cache").display().to_string();
    let chain = "07".repeat(32);
    let args = ["seal", "--size", "32GiB", "--ticket", &chain, "--seed", &chain, "--out", "sector"];
    let run = bench.start_with(&args, &[("FIL_PROOFS_PARAMETER_CACHE", &cache)]);
    run.end().fails_with(&[
        "error: the Groth16 parameters of 32GiB sectors are missing in ",
        "hint: fetch them with `lotus fetch-params 32GiB`",
        "FIL_PROOFS_PARAMETER_CACHE",
    ]);
    assert_eq!(bench.files("sector"), None);
    bench.check_nothing_is_left();
}

#[test]
fn a_sector_of_the_network_is_not_sealed_with_randomness_for_practice() {
    let bench = Bench::new();
    let chain = "07".repeat(32);
    for given in [&[][..], &["--ticket", &chain], &["--seed", &chain]] {
        let args = [&["seal", "--size", "32GiB", "--out", "sector"], given].concat();
        bench.run(&args).fails_with(&[
            "error: a 32GiB sector is the network's: --ticket and --seed are the chain's to give",
            "hint: for practice there are 2KiB, 8MiB and 512MiB",
        ]);
    }
    assert_eq!(bench.files("sector"), None);
}
