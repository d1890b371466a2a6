// SPDX-License-Identifier: MIT OR Apache-2.0

//! A person's hand: pause, resume, cancel, retry, drain, and how a daemon is told to end.

use rustix::process::Signal;
use sealpipe_tests::site::{Site, hex, moody};

const LONG: &str = "submit --echo --ticks 100000 --interval 20ms --name";

#[test]
fn a_pause_starts_nothing_and_outlives_the_daemon() {
    let mut site = Site::start(&moody("gated gate", ""));
    site.ok("submit --echo --name runs --steps 2");
    site.wait("runs", "running");
    assert_eq!(site.ok("pause").stdout, "paused: what runs is finished, nothing starts\n");
    site.bench.write("gate", "");
    // The step that runs is finished, the next one is not begun.
    site.wait("runs", "waiting");
    site.ok("submit --echo --name waits");
    let explained = site.ok("explain waits").stdout;
    assert!(explained.contains("waits is queued") && explained.contains("paused"), "{explained}");
    assert!(explained.contains("hint: `sealpipe resume`"), "{explained}");
    site.kill();
    site.begin();
    let status = site.status();
    assert_eq!(status["daemon"]["paused"], true);
    assert_eq!(status["counts"], serde_json::json!({ "queued": 1, "waiting": 1 }));
    assert_eq!(site.events("waits", "stage-started").len(), 0);
    site.ok("resume");
    site.wait("waits", "done");
    site.wait("runs", "done");
    site.stop();
}

#[test]
fn a_sector_is_held_alone() {
    let mut site = Site::start(&moody("good", "concurrent = 1"));
    site.ok(&format!("{LONG} first"));
    site.wait("first", "running");
    site.ok("submit --echo --name held");
    site.ok("submit --echo --name free");
    assert_eq!(site.ok("pause held").stdout, "held held\n");
    assert_eq!(site.ok("pause first").stdout, "first running, then held\n");
    let explained = site.ok("explain held").stdout;
    assert!(explained.contains("the sector is held"), "{explained}");
    assert!(explained.contains("hint: `sealpipe resume held`"), "{explained}");
    site.ok("cancel first");
    site.wait("free", "done");
    site.kill();
    site.begin();
    assert_eq!(site.sector("held")["state"], "held");
    site.ok("resume held");
    site.wait("held", "done");
    site.stop();
}

#[test]
fn what_is_cancelled_stops_and_frees_its_place() {
    let site = Site::start(&moody("good", "concurrent = 1"));
    site.ok(&format!("{LONG} long"));
    site.wait("long", "running");
    site.ok("submit --echo --name next");
    let explained = site.ok("explain next").stdout;
    assert!(explained.contains("all slots of `echo` are taken: 1"), "{explained}");
    assert_eq!(site.ok("cancel long").stdout, "long cancelled\n");
    site.wait("next", "done");
    site.run(&["cancel", "long"]).fails_with(&["long is cancelled: it cannot be cancelled"]);
    site.run(&["cancel", "next"]).fails_with(&["next is done: it cannot be cancelled"]);
    // The processor is the same one, and goes on.
    let journal = site.journal().events();
    assert_eq!(journal.iter().filter(|e| e["event"] == "processor-ready").count(), 1);
    assert_eq!(site.ok("retry long").stdout, "long queued\n");
    site.wait("long", "running");
    site.stop();
}

#[test]
fn a_sector_that_is_cancelled_keeps_what_is_done_and_goes_on_with_it() {
    let site = Site::start("");
    site.ok("submit --size 2KiB --until c1 --seed wait --out s");
    site.wait("t01000-1", "waiting for seed");
    site.ok("cancel t01000-1");
    site.ok("retry t01000-1");
    site.wait("t01000-1", "waiting for seed");
    site.ok(&format!("seed t01000-1 {}", hex('4')));
    site.wait("t01000-1", "done");
    assert_eq!(site.bench.journal("s").count("stage-started", "pc1"), 1);
    site.stop();
}

#[test]
fn a_drain_finishes_what_runs_and_the_next_daemon_goes_on() {
    let mut site = Site::start(&moody("gated gate", "concurrent = 1"));
    site.ok("submit --echo --name runs --steps 2");
    site.ok("submit --echo --name waits");
    site.wait("runs", "running");
    let waiting = site.command(&["drain", "--wait"]);
    site.until("it drains", || {
        let events = site.journal().events();
        events.iter().any(|e| e["event"] == "draining").then_some(())
    });
    site.run(&["submit", "--echo"]).fails_with(&["the daemon is draining and takes no more"]);
    site.bench.write("gate", "");
    waiting.end().ok();
    site.end().ok().says(&["draining", "stopped"]);
    site.bench.check_nothing_is_left();
    assert_eq!(site.events("runs", "stage-finished").len(), 1);
    assert_eq!(site.events("waits", "stage-started").len(), 0);
    site.begin();
    site.wait("runs", "done");
    site.wait("waits", "done");
    assert_eq!(site.events("runs", "stage-started").len(), 2);
    site.stop();
}

#[test]
fn a_signal_interrupts_what_runs_and_a_second_one_kills() {
    let mut site = Site::start("");
    site.ok(&format!("{LONG} long"));
    site.wait("long", "running");
    site.signal(Signal::INT);
    site.end().ok().says(&["SIGINT: stopping the processors", "stopped"]);
    site.bench.check_nothing_is_left();
    assert!(!site.bench.path("state/control.sock").exists());
    site.begin();
    site.wait("long", "running");
    assert_eq!(site.events("long", "stage-retried").len(), 0);
    site.stop();
    // One that does not listen to anybody is killed by the second signal.
    let deaf = "[[processors.echo]]\nbin = \"sh\"\nargs = [\"-c\", \"trap '' TERM; sleep 600 & wait; \
                sleep 600\"]\nstable_wait = \"600s\"\n";
    let mut site = Site::start(deaf);
    site.signal(Signal::TERM);
    site.until("it stops", || {
        site.journal().events().iter().any(|e| e["event"] == "stopping").then_some(())
    });
    site.signal(Signal::TERM);
    site.end().ok();
    site.bench.check_nothing_is_left();
}
