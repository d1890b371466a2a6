// SPDX-License-Identifier: MIT OR Apache-2.0

//! A daemon that is killed between any two instructions loses nothing and does nothing twice.

use std::{collections::BTreeMap, thread::sleep, time::Duration};

use rustix::process::Signal;
use sealpipe_tests::{Vector, site::Site, text};

const STAGES: [&str; 5] = ["add_pieces", "tree_d", "pc1", "pc2", "c1"];

#[test]
fn sectors_go_on_where_they_were() {
    let mut site = Site::start("");
    let vector = Vector::read("8MiB-data");
    let mut args = vector.seal(&site.bench, "sector");
    args[0] = "submit".to_owned();
    site.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    site.ok("submit --size 2KiB --count 10 --sector 100 --until c1 --out small");
    // Killed in every stage of the large one as it comes, while the small ones are anywhere.
    for (deaths, stage) in (0..).zip(STAGES) {
        let journal = site.bench.journal("sector");
        site.until(&format!("{stage} begins"), || {
            (journal.count("stage-started", stage) > 0).then_some(())
        });
        sleep(Duration::from_millis(30 * deaths));
        site.kill();
        site.bench.check_nothing_is_left();
        site.begin();
    }
    for number in 100..110 {
        site.wait(&format!("t01000-{number}"), "done");
    }
    let done = site.until("the large one is done", || {
        let status = site.status();
        (status["counts"]["done"] == 11).then_some(status)
    });
    vector.check(&site.bench.path("sector"));
    // What was finished was not begun again.
    let names = done["sectors"].as_array().unwrap().iter().map(|sector| text(sector, "name"));
    let journal = site.journal().events();
    for name in names {
        let mut finished: BTreeMap<&str, usize> = BTreeMap::new();
        for event in journal.iter().filter(|event| event["sector"] == name) {
            let stage = text(event, "stage");
            match text(event, "event") {
                "stage-finished" => *finished.entry(stage).or_default() += 1,
                // Its record was written before anybody was told.
                "stage-started" => assert_eq!(finished.get(stage), None, "{name}: {stage} twice"),
                _ => {}
            }
        }
        for stage in STAGES {
            assert!(finished.get(stage).copied().unwrap_or(0) <= 1, "{name}: {stage} {finished:?}");
        }
    }
    site.stop();
}

/// What `submit` has said is there, whenever the daemon dies.
#[test]
fn what_was_submitted_is_there_after_a_kill() {
    let mut site = Site::start("");
    site.ok("pause");
    let mut submitted = Vec::new();
    for round in 0..12 {
        // However slow the machine is, one of each round is there.
        let first = format!("job-{round}");
        site.ok(&format!("submit --echo --name {first}"));
        submitted.push(first);
        let kill_after = Duration::from_millis(7 * round);
        let pid = site.pid();
        let killer = std::thread::spawn(move || {
            sleep(kill_after);
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        });
        for n in 0.. {
            let name = format!("job-{round}-{n}");
            let ended = site.command(&["submit", "--echo", "--name", &name]).end();
            if ended.stdout.is_empty() {
                break;
            }
            submitted.push(name);
        }
        killer.join().unwrap();
        site.end().killed_by(Signal::KILL);
        site.begin();
    }
    let status = site.status();
    let known: Vec<_> =
        status["sectors"].as_array().unwrap().iter().map(|sector| text(sector, "name")).collect();
    for name in &submitted {
        assert!(known.contains(&name.as_str()), "{name} is lost of {}", submitted.len());
    }
    site.ok("resume");
    site.until("all are done", || (site.status()["counts"]["done"] == known.len()).then_some(()));
    site.stop();
}

/// A disk that is not mounted when the daemon starts is no reason to begin anew on another one.
#[test]
fn a_sector_whose_directory_is_gone_stops_and_says_so() {
    let mut site = Site::start("");
    site.ok("submit --size 2KiB --until c1 --seed wait --out disk/s");
    site.wait("t01000-1", "waiting for seed");
    site.kill();
    let (disk, away) = (site.bench.path("disk"), site.bench.path("away"));
    std::fs::rename(&disk, &away).unwrap();
    site.begin();
    let sector = site.wait("t01000-1", "failed");
    assert!(text(&sector["trouble"], "message").contains("is gone"), "{sector}");
    assert!(!disk.exists());
    std::fs::rename(&away, &disk).unwrap();
    site.ok("retry t01000-1");
    site.wait("t01000-1", "waiting for seed");
    assert_eq!(site.bench.journal("disk/s").count("stage-started", "pc1"), 1);
    site.stop();
}
