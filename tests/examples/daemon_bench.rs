// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a daemon answers while sectors are queued: `make bench-daemon`.
//!
//! It starts the real daemon, keeps it busy with demonstrations that give signs of progress, and queues
//! sectors behind them. Each answer is measured at an open connection, from the request's first byte to
//! the answer's last. An argument is the number of sectors (1000).

#![expect(clippy::print_stdout, reason = "its table is its result")]

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use sealpipe_tests::{Bench, Process, Run, control::Control};
use serde_json::{Value, json};

/// Requests of each kind.
const ROUNDS: usize = 300;

/// Demonstrations that run meanwhile, each with ten signs of progress a second.
const BUSY: usize = 8;

fn main() {
    let sectors: usize = std::env::args().nth(1).map_or(1000, |n| n.parse().expect("a number"));
    let bench = Bench::new();
    bench.write("worker.toml", format!("[processors.scheduling]\nsectors_in_flight = {BUSY}\n"));
    let (daemon, started) = start(&bench);
    let mut control = connect(&bench);
    println!("{:<44} {:>10} {:>10} {:>10}", "", "median", "99%", "most");
    row("start, with nothing to do", &mut [started]);
    let busy = (1..=BUSY).map(
        |n| json!({ "echo": { "name": format!("busy-{n}"), "ticks": 600_000, "intervalMs": 100 } }),
    );
    submit(&mut control, busy.collect());
    let queued = (1..=sectors).map(|number| {
        let dir = bench.path(&format!("sectors/{number}"));
        json!({ "sector": { "size": "2KiB", "number": number, "dir": dir } })
    });
    let since = Instant::now();
    submit(&mut control, queued.collect());
    row(&format!("submit {sectors} sectors"), &mut [since.elapsed()]);
    answers(&mut control, "status", "status", &json!({}));
    answers(
        &mut control,
        &format!("status --all, {sectors} sectors"),
        "status",
        &json!({ "all": true }),
    );
    let last = format!("t01000-{sectors}");
    answers(&mut control, "explain, the last one", "explain", &json!({ "sector": last }));
    let mut steps: Vec<Duration> = (0..ROUNDS)
        .map(|n| {
            let since = Instant::now();
            let method = if n % 2 == 0 { "pause" } else { "resume" };
            ask(&mut control, method, json!({ "sectors": [last] }));
            since.elapsed()
        })
        .collect();
    row("pause, resume: a step on the disk", &mut steps);
    report(daemon.pid());
    daemon.signal(Signal::KILL);
    drop(daemon.end());
    let (daemon, started) = start(&bench);
    row("start after a kill", &mut [started]);
    report(daemon.pid());
    daemon.signal(Signal::TERM);
    drop(daemon.end());
}

fn socket(bench: &Bench) -> String {
    bench.path("state/control.sock").display().to_string()
}

/// Starts the daemon; how long it takes until it answers.
fn start(bench: &Bench) -> (Run, Duration) {
    let since = Instant::now();
    let socket = socket(bench);
    let args = ["run", "--config", "worker.toml", "--state", "state", "--socket", &socket];
    let daemon = bench.start(&args);
    loop {
        if let Ok(mut control) = Control::connect(&socket) {
            ask(&mut control, "hello", json!({ "versions": [1] }));
            return (daemon, since.elapsed());
        }
        sleep(Duration::from_millis(1));
    }
}

fn connect(bench: &Bench) -> Control {
    Control::connect(&socket(bench)).expect("the daemon listens")
}

fn ask(control: &mut Control, method: &str, params: Value) -> Value {
    let answer = control.ask(method, params);
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].clone()
}

fn submit(control: &mut Control, orders: Vec<Value>) {
    let result = ask(control, "submit", json!({ "orders": orders }));
    assert_eq!(result["problems"], json!([]), "{result}");
}

fn answers(control: &mut Control, title: &str, method: &str, params: &Value) {
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let since = Instant::now();
            ask(control, method, params.clone());
            since.elapsed()
        })
        .collect();
    row(title, &mut took);
}

/// A line of the table, in milliseconds.
fn row(title: &str, took: &mut [Duration]) {
    took.sort();
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!("{title:<44} {:>7.2} ms {:>7.2} ms {:>7.2} ms", at(50), at(99), at(100));
}

fn report(pid: i32) {
    let resident = Process::resident_bytes(pid).expect("the daemon runs");
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the daemon runs").count();
    println!("{:<44} {:>7.2} MB, {files} open files", "memory", resident as f64 / 1e6);
}
