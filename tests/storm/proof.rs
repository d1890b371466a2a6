// SPDX-License-Identifier: MIT OR Apache-2.0

//! What has to be true after the storm.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use sealpipe_tests::{Bench, digest, text};
use serde_json::Value;

use crate::world::{LOCKS, STEPS, World};

/// Files of a sector whose bytes are compared.
const COMPARED: [&str; 3] = ["sealed", "unsealed", "c1.json"];

/// What a sector is.
#[derive(PartialEq, Eq, Debug)]
struct Sealed {
    comm_r: String,
    digests: Vec<String>,
    files: BTreeSet<String>,
}

/// The same sectors, sealed one after another by one command in peace.
pub struct Quiet(BTreeMap<u64, Sealed>);

impl Quiet {
    /// Seals them.
    pub fn seal(sectors: u64) -> Self {
        let bench = Bench::new();
        let mut all = BTreeMap::new();
        for number in 1..=sectors {
            let (name, out) = (number.to_string(), format!("t01000-{number}"));
            let args =
                ["seal", "--size", "8MiB", "--sector", &name, "--until", "c1", "--out", &out];
            bench.run(&args).ok();
            all.insert(number, sealed(&bench.path(&out)));
            fs::remove_dir_all(bench.path(&out)).unwrap();
        }
        Self(all)
    }
}

fn sealed(dir: &Path) -> Sealed {
    let record: Value =
        serde_json::from_slice(&fs::read(dir.join("sector.json")).unwrap()).unwrap();
    let mut files = BTreeSet::new();
    collect(dir, dir, &mut files);
    Sealed {
        comm_r: text(&record["results"], "commR").to_owned(),
        digests: COMPARED.iter().map(|name| digest(&dir.join(name))).collect(),
        files,
    }
}

/// Every file and directory, so that what was left behind is seen.
fn collect(top: &Path, dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.insert(path.strip_prefix(top).unwrap().display().to_string());
        if path.is_dir() {
            collect(top, &path, found);
        }
    }
}

/// Checks everything.
pub fn check(world: &World, quiet: &Quiet) {
    for number in 1..=world.sectors {
        let dir = world.dir(number);
        assert_eq!(sealed(&dir), quiet.0[&number], "{}", dir.display());
    }
    let events = world.site.journal().events();
    check_tries(&events);
    check_ends(&events, world.echoes);
    check_locks(&events);
    check_files(world);
}

/// The number of a sector's try is never used twice, and nothing is begun again that is done.
fn check_tries(events: &[Value]) {
    let mut tries = BTreeSet::new();
    let mut done = BTreeSet::new();
    for event in events {
        let (sector, stage) = (text(event, "sector"), text(event, "stage"));
        if stage == "echo" {
            continue;
        }
        match text(event, "event") {
            "stage-started" => {
                let attempt = event["attempt"].as_u64().unwrap();
                assert!(tries.insert((sector, stage, attempt)), "{event} is used twice");
                assert!(!done.contains(&(sector, stage)), "{event}: it is done");
            }
            "stage-finished" => {
                assert!(done.insert((sector, stage)), "{event} for the second time")
            }
            _ => {}
        }
    }
}

/// Each demonstration gave no more answers than it had steps, and was done once.
fn check_ends(events: &[Value], echoes: u64) {
    let mut answers: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events {
        if text(event, "event") == "stage-finished" && text(event, "stage") == "echo" {
            *answers.entry(text(event, "sector")).or_default() += 1;
        }
    }
    assert!(answers.values().all(|n| *n <= STEPS), "{answers:?}");
    // A daemon that dies between an answer's writing and its telling has told of one less.
    assert!(answers.len() as u64 <= echoes && answers.len() as u64 > echoes / 2, "{answers:?}");
}

/// At no moment were there more tasks with a lock than it has units.
fn check_locks(events: &[Value]) {
    for (lock, units, holders) in LOCKS {
        let mut held: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        let mut most = 0;
        for event in events {
            let key = (text(event, "sector"), text(event, "stage"));
            match text(event, "event") {
                "stage-started" if holders.contains(&text(event, "processor")) => {
                    held.insert(key, text(event, "processor"));
                    most = most.max(held.len());
                    assert!(held.len() <= units, "{lock} is held by {held:?} at {event}");
                }
                "stage-retried" | "stage-failed" | "stage-finished" => drop(held.remove(&key)),
                // All processes of the one before end with it.
                "daemon-started" => held.clear(),
                _ => {}
            }
        }
        println!("lock {lock}: at most {most} of {units} held");
    }
}

/// The daemon keeps nothing that it does not need: neither files nor their descriptors.
fn check_files(world: &World) {
    let mut found = BTreeSet::new();
    let state = world.site.bench.path("state");
    collect(&state, &state, &mut found);
    let expected = ["control.sock", "daemon.jsonl", "jobs.redb", "lock"];
    assert_eq!(found, expected.map(str::to_owned).into());
    let open = fs::read_dir(format!("/proc/{}/fd", world.site.pid())).unwrap();
    let open: Vec<_> = open.flatten().filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
    let disk = world.site.bench.path("disk");
    let leaked: Vec<_> = open.iter().filter(|path| path.starts_with(&disk)).collect();
    assert!(leaked.is_empty(), "{leaked:?} are still open");
}
