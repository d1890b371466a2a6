// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tickets and seeds: given, printed by a command, or said later.

use std::fs;

use sealpipe_tests::site::{Site, hex, shown};

#[test]
fn a_seed_is_waited_for_through_the_death_of_the_daemon() {
    let mut site = Site::start("");
    site.ok("submit --size 2KiB --until c1 --seed wait --out s");
    site.wait("t01000-1", "waiting for seed");
    assert!(site.record("s")["sector"]["seed"].is_null());
    let explained = site.ok("explain t01000-1").stdout;
    assert!(explained.contains("hint: `sealpipe seed t01000-1 HEX` says it"), "{explained}");
    site.kill();
    site.begin();
    site.wait("t01000-1", "waiting for seed");
    // Said to a daemon that dies at once: it is written down when the command returns.
    site.ok(&format!("seed t01000-1 {}", hex('5')));
    site.kill();
    site.begin();
    site.wait("t01000-1", "done");
    assert_eq!(site.record("s")["sector"]["seed"], hex('5'));
    let other = site.run(&["seed", "t01000-1", &hex('6')]);
    other.fails_with(&["t01000-1 has its seed: 5555"]);
    for stage in ["add_pieces", "tree_d", "pc1", "pc2", "c1"] {
        assert_eq!(site.bench.journal("s").count("stage-finished", stage), 1, "{stage}");
    }
    site.stop();
}

#[test]
fn a_seed_can_be_said_before_it_is_needed() {
    let site = Site::start("");
    site.ok("pause");
    site.ok("submit --size 2KiB --until c1 --seed wait --out s");
    site.ok(&format!("seed t01000-1 {}", hex('7')));
    site.ok("resume");
    site.wait("t01000-1", "done");
    assert_eq!(site.record("s")["sector"]["seed"], hex('7'));
    site.run(&["seed", "t01000-1", "12"]).code(2);
    site.stop();
}

#[test]
fn commands_are_told_of_the_sector_and_asked_until_they_know() {
    let site = Site::start("");
    let told = shown(site.bench.path("told"));
    let known = shown(site.bench.path("known"));
    let ticket = format!(
        "test -e {known} && echo $SEALPIPE_RANDOMNESS $SEALPIPE_SECTOR $SEALPIPE_MINER >> {told} && \
         echo {}",
        hex('1')
    );
    let seed = format!("env | grep SEALPIPE_COMM_R= >> {told}; echo $SEALPIPE_COMM_R");
    site.run(&[
        "submit",
        "--size",
        "2KiB",
        "--until",
        "c1",
        "--out",
        "s",
        "--ticket-command",
        &ticket,
        "--seed-command",
        &seed,
    ])
    .ok();
    site.wait("t01000-1", "waiting for ticket");
    let explained = site.until("it says why", || {
        let explained = site.ok("explain t01000-1").stdout;
        explained.contains("it ended with exit status: 1").then_some(explained)
    });
    assert!(explained.contains("it waits for its ticket, which `test -e"), "{explained}");
    // No place is kept for it meanwhile.
    site.ok("submit --size 2KiB --sector 2 --until c1 --out other");
    site.wait("t01000-2", "done");
    fs::write(&known, "").unwrap();
    site.wait("t01000-1", "done");
    let record = site.record("s");
    let comm_r = record["results"]["commR"].as_str().unwrap();
    assert_eq!(record["sector"]["ticket"], hex('1'));
    assert_eq!(record["sector"]["seed"], comm_r);
    let told = fs::read_to_string(told).unwrap();
    assert_eq!(told, format!("ticket t01000-1 f01000\nSEALPIPE_COMM_R={comm_r}\n"));
    // Once it is known it is never asked for again.
    assert!(site.events("t01000-1", "asked").len() >= 3);
    site.stop();
}

#[test]
fn a_command_that_never_knows_can_be_overruled() {
    let site = Site::start("");
    let submit =
        ["submit", "--size", "2KiB", "--until", "c1", "--out", "s", "--seed-command", "false"];
    site.run(&submit).ok();
    site.wait("t01000-1", "waiting for seed");
    site.ok(&format!("seed t01000-1 {}", hex('8')));
    site.wait("t01000-1", "done");
    assert_eq!(site.record("s")["sector"]["seed"], hex('8'));
    site.stop();
}

#[test]
fn a_seed_that_is_said_while_the_command_runs_is_taken() {
    let site = Site::start("");
    let began = shown(site.bench.path("began"));
    let command = format!("touch {began}; sleep 100; echo {}", hex('1'));
    let submit = ["submit", "--size", "2KiB", "--until", "c1", "--out", "s", "--seed-command"];
    site.run(&[&submit[..], &[&command]].concat()).ok();
    site.until("it is asked", || fs::exists(&began).unwrap().then_some(()));
    site.ok(&format!("seed t01000-1 {}", hex('9')));
    site.wait("t01000-1", "done");
    assert_eq!(site.record("s")["sector"]["seed"], hex('9'));
    assert!(site.events("t01000-1", "asked").is_empty());
    site.stop();
}
