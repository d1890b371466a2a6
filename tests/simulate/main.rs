// SPDX-License-Identifier: MIT OR Apache-2.0

//! The simulator against the real thing: the same jobs through a daemon and through `sealpipe simulate`.
//!
//! A busy machine takes longer than the jobs ask for. So the simulation is given what each run really
//! took, by the daemon's journal, and has to find out everything else by itself: who goes first, where,
//! who waits for whom, and when all are done.

use std::{collections::BTreeMap, fmt::Write as _};

use sealpipe_tests::{site::Site, text};
use serde_json::Value;

/// Two locks of which one is shared, and more slots than the locks let run.
const CONFIG: &str = "
[processors.ext_locks]
a = 2
b = 1

[processors.scheduling]
sectors_in_flight = \"unbounded\"

[[processors.echo]]
concurrent = 2
stable_wait = \"300s\"
locks = [\"a\"]

[[processors.echo]]
concurrent = 2
stable_wait = \"300s\"
locks = [\"a\", \"b\"]

[[processors.echo]]
concurrent = 2
stable_wait = \"300s\"
locks = [\"b\"]
";

/// Pipelines.
const JOBS: usize = 200;

/// The units of both locks, and the entries whose tasks hold one, by their numbers in the configuration.
const LOCKS: [(f64, [&str; 2]); 2] = [(2.0, ["echo[0]", "echo[1]"]), (1.0, ["echo[1]", "echo[2]"])];

/// How far the simulated time may be from the real one, beside what the real machine takes to hand places
/// over: a share of the whole.
const NEAR: f64 = 0.05;

/// Runs that asked for their place within so many milliseconds may be granted in either order, and
/// those within what the machine takes to hand over: the journal is no more exact than that.
const NEAR_MS: f64 = 100.0;

/// A pipeline's steps, and milliseconds of each: a few of each, so that no rhythm arises.
fn job(index: usize) -> (usize, usize) {
    (1 + index % 3, 60 + 50 * (index * 7 % 5))
}

fn orders() -> String {
    let mut lines = String::new();
    for index in 0..JOBS {
        let (steps, ms) = job(index);
        let _ = writeln!(
            lines,
            r#"{{"echo":{{"name":"job-{index}","steps":{steps},"ticks":1,"intervalMs":{ms}}}}}"#
        );
    }
    lines
}

/// A run: its pipeline's number from 0, and its own number on it.
type RunOf = (usize, usize);

/// The runs in the order in which the daemon started them, and seconds from the first start to the
/// last end.
fn went(events: &[Value]) -> (Vec<RunOf>, f64) {
    let mut steps: BTreeMap<usize, usize> = BTreeMap::new();
    let mut runs = Vec::new();
    let mut times = Vec::new();
    for event in events {
        let name = event["event"].as_str().unwrap_or_default();
        if !["stage-started", "stage-finished"].contains(&name) {
            continue;
        }
        times.push(event["atMs"].as_f64().unwrap());
        if name == "stage-started" {
            let sector = event["sector"].as_str().unwrap();
            let job: usize = sector.strip_prefix("job-").unwrap().parse().unwrap();
            let step = steps.entry(job).or_default();
            runs.push((job, *step));
            *step += 1;
        }
    }
    (runs, (times.last().unwrap() - times[0]) / 1000.0)
}

/// Seconds in which a unit of a lock was free although somebody waited for it, of the lock where these
/// are the most: the daemon writes each start down first, and a busy machine lets it wait. The simulator
/// knows nothing of it.
fn handing_over(events: &[Value]) -> f64 {
    let lost = |(units, holders): (f64, [&str; 2])| {
        let mut by_sector: BTreeMap<&str, &str> = BTreeMap::new();
        let (mut held, mut free_ms, mut lost_ms) = (0.0, 0.0, 0.0);
        let mut last = None;
        for event in events {
            let (name, sector) = (text(event, "event"), text(event, "sector"));
            let change = match name {
                "stage-started" => {
                    by_sector.insert(sector, text(event, "processor"));
                    1.0
                }
                "stage-finished" => -1.0,
                _ => continue,
            };
            let at = event["atMs"].as_f64().unwrap();
            free_ms += (units - held) * (at - last.unwrap_or(at));
            last = Some(at);
            if holders.contains(&by_sector[sector]) {
                held += change;
            }
            // Whoever starts has waited until then.
            if name == "stage-started" {
                lost_ms = free_ms;
            }
        }
        lost_ms / 1000.0 / units
    };
    LOCKS.map(lost).into_iter().fold(0.0, f64::max)
}

#[test]
fn a_daemon_does_what_the_simulator_says() {
    let site = Site::start(CONFIG);
    site.bench.write("orders.jsonl", orders());
    site.ok("submit --file orders.jsonl --wait");
    let events = site.journal().events();
    let (real, makespan) = went(&events);
    let handing_over = handing_over(&events);

    let simulate = |more: &[&str]| {
        let jobs = ["simulate", "worker.toml", "--jobs", "orders.jsonl", "--json"];
        site.run(&[&jobs[..], more].concat()).ok().json()["runs"][0]["report"].clone()
    };
    let asked_for = simulate(&[])["seconds"].as_f64().unwrap();
    let trace = ["--journal", "state/daemon.jsonl", "--trace", "trace.jsonl"];
    let report = simulate(&trace);
    let simulated = report["seconds"].as_f64().unwrap();
    println!(
        "{makespan:.2} s, of which {handing_over:.2} s to hand over; simulated {simulated:.2} s, \
         asked for {asked_for:.2} s"
    );
    assert!(makespan > 0.99 * asked_for, "nothing is done sooner than it takes");
    let apart = (simulated - makespan).abs();
    let near = NEAR * makespan + handing_over;
    assert!(apart < near, "{makespan} s, simulated {simulated} s, {handing_over} s to hand over");

    let trace = std::fs::read_to_string(site.bench.path("trace.jsonl")).unwrap();
    let lines = trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let granted: Vec<(RunOf, f64)> = lines.map(|line| (run_of(&line), asked_ms(&line))).collect();
    check_order(&real, &granted, NEAR_MS + 1000.0 * handing_over);
    site.stop();
}

fn run_of(line: &Value) -> RunOf {
    let number = |key: &str| line[key].as_u64().unwrap() as usize;
    (number("sector") - 1, number("step"))
}

fn asked_ms(line: &Value) -> f64 {
    1000.0 * line["requestedS"].as_f64().unwrap()
}

/// The order is the same, but where two runs asked for their place at almost the same time.
#[track_caller]
fn check_order(real: &[RunOf], granted: &[(RunOf, f64)], near_ms: f64) {
    assert_eq!(real.len(), granted.len());
    let place: BTreeMap<RunOf, usize> =
        real.iter().enumerate().map(|(place, run)| (*run, place)).collect();
    let mut turned = 0;
    for (index, (run, asked)) in granted.iter().enumerate() {
        for (later, later_asked) in &granted[index + 1..] {
            if place[later] < place[run] {
                turned += 1;
                let apart = later_asked - asked;
                assert!(apart < near_ms, "{later:?} before {run:?}, asked {apart} ms later");
            }
        }
    }
    println!("{turned} pairs of {} the other way round", real.len() * (real.len() - 1) / 2);
}
