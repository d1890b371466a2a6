// SPDX-License-Identifier: MIT OR Apache-2.0

//! A thousand sectors in the queue of a daemon that works.

use std::{
    fs,
    time::{Duration, Instant},
};

use sealpipe_tests::{
    Process,
    control::Control,
    site::{Site, moody},
};
use serde_json::json;

/// What the daemon may take of memory.
const MAX_BYTES: u64 = 100 << 20;

/// How soon it answers: what the cpu works on it, for on a busy machine others come in between.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);

/// How often it is asked.
const ASKED: u32 = 20;

#[test]
fn a_thousand_queued_sectors_weigh_little_and_hold_no_file() {
    let limits = "[processors.scheduling]\nsectors_in_flight = 4\n";
    let mut site = Site::start(&(limits.to_owned() + &moody("good", "")));
    site.ok("submit --echo --name busy --count 4 --ticks 100000 --interval 20ms");
    site.wait("busy-4", "running");
    let ended = site.ok("submit --size 2KiB --count 1000 --until c1 --out sectors");
    assert_eq!(ended.stdout, "1000 sectors submitted: t01000-1 to t01000-1000\n");
    check(&site);
    // The next daemon is as light.
    site.kill();
    site.begin();
    site.wait("busy-4", "running");
    check(&site);
    let explained = site.ok("explain t01000-1000").stdout;
    assert!(explained.contains("4 of at most 4 sectors in flight have begun"), "{explained}");
    assert!(!site.bench.path("sectors").exists());
    site.stop();
}

#[track_caller]
fn check(site: &Site) {
    let mut control = Control::connect(&site.socket()).unwrap();
    let before = Process::cpu_time(site.pid()).unwrap();
    let fastest = (0..ASKED)
        .map(|_| {
            let since = Instant::now();
            let status = control.ask("status", json!({ "all": true }));
            assert_eq!(status["result"]["counts"]["queued"], 1000, "{status}");
            since.elapsed()
        })
        .min()
        .unwrap();
    let worked = (Process::cpu_time(site.pid()).unwrap() - before) / ASKED;
    let resident = Process::resident_bytes(site.pid()).unwrap();
    let files = fs::read_dir(format!("/proc/{}/fd", site.pid())).unwrap().count();
    println!(
        "status in {fastest:?}, of the cpu {worked:?}, {} KiB resident, {files} files",
        resident >> 10
    );
    assert!(worked < ANSWER_WITHIN, "{worked:?}");
    assert!(resident < MAX_BYTES, "{} KiB", resident >> 10);
    assert!(files < 100, "{files} files are open");
}
