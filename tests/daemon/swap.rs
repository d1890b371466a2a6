// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processors are exchanged while they work.

use std::collections::BTreeMap;

use sealpipe_tests::{
    site::{Site, moody, reference},
    text,
};

/// How often pc2 is replaced.
const SWAPS: usize = 10;

/// Sectors that are under way meanwhile.
const SECTORS: usize = 50;

/// Sectors that are done from one swap to the next, at least: enough for the process to work, and few
/// enough that half of all sectors are still to be done at the last swap.
const BETWEEN: usize = 3;

#[test]
fn pc2_is_replaced_ten_times_under_load_and_nobody_notices() {
    let config = |mark: usize| {
        let limits = "[processors.scheduling]\nsectors_in_flight = 20\n";
        limits.to_owned() + &reference("pc1", 2, "one") + &reference("pc2", 1, &mark.to_string())
    };
    let site = Site::start(&config(0));
    site.ok(&format!("submit --size 2KiB --count {SECTORS} --until c1 --out sectors"));
    let done = || site.status()["counts"]["done"].as_u64().unwrap_or(0) as usize;
    for swap in 1..=SWAPS {
        site.until("sectors get on", || (done() >= (swap - 1) * BETWEEN).then_some(()));
        site.bench.write("worker.toml", config(swap));
        let said = site.ok("reload").stdout;
        assert!(said.contains("pc2[0] is a new process and gets the next tasks"), "{said}");
    }
    assert!(done() < SECTORS, "the load was over before the last swap");
    site.until("all are done", || (done() == SECTORS).then_some(()));
    let journal = site.journal().events();
    let of = |event: &str| journal.iter().filter(move |e| e["event"] == event).collect::<Vec<_>>();
    assert_eq!(of("stage-retried").len(), 0, "no task failed");
    let mut started: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for event in of("stage-started") {
        *started.entry((text(event, "sector"), text(event, "stage"))).or_default() += 1;
    }
    assert_eq!(started.len(), SECTORS * 5);
    assert!(started.values().all(|n| *n == 1), "none was run twice: {started:?}");
    // Several of the processes really worked, and all but the last are gone.
    let pids: std::collections::BTreeSet<_> = of("stage-started")
        .iter()
        .filter(|e| e["stage"] == "pc2")
        .map(|e| e["pid"].as_i64())
        .collect();
    assert!(pids.len() > SWAPS / 2, "pc2 ran in {pids:?}");
    site.until("the old ones are gone", || {
        let processors = site.status()["processors"].as_array().unwrap().clone();
        let pc2 = processors.iter().filter(|p| p["stage"] == "pc2");
        (pc2.count() == 1).then_some(())
    });
    site.stop();
}

#[test]
fn a_new_program_that_does_not_answer_changes_nothing() {
    let config = moody("gated gate", "");
    let site = Site::start(&config);
    site.ok("submit --echo --name long");
    site.wait("long", "running");
    for (other, said) in [
        (moody("mute", "stable_wait = \"300ms\""), "did not answer `initialize`"),
        ("[[processors.echo]]\nbin = \"/no/such/program\"\n".to_owned(), "cannot run /no/such"),
        ("[[processors.echo]]\nbin = 7\n".to_owned(), "nothing was changed"),
        ("not toml".to_owned(), "nothing was changed"),
    ] {
        site.bench.write("worker.toml", other);
        site.run(&["reload"]).fails_with(&[said]);
    }
    site.bench.write("gate", "");
    site.wait("long", "done");
    let events = site.journal().events();
    let reloads = events.iter().filter(|e| e["event"] == "reload-failed").count();
    assert_eq!(reloads, 4);
    assert_eq!(events.iter().filter(|e| e["event"] == "stage-retried").count(), 0);
    site.bench.write("worker.toml", config);
    assert_eq!(site.ok("reload").stdout, "nothing has changed\n");
    site.stop();
}

#[test]
fn limits_change_in_place() {
    let limit = |n: u32| format!("[processors.limitation.concurrent]\necho = {n}\n");
    let site = Site::start(&(limit(1) + &moody("good", "")));
    site.ok("submit --echo --name job --count 3 --ticks 100000 --interval 20ms");
    site.wait("job-1", "running");
    let explained = site.ok("explain job-2").stdout;
    assert!(explained.contains("1 tasks of `echo` run, which is its limit"), "{explained}");
    site.bench.write("worker.toml", limit(3) + &moody("good", ""));
    let said = site.ok("reload").stdout;
    assert_eq!(said, "limitation.concurrent.echo 1 → 3\n");
    site.wait("job-3", "running");
    let ready = site.journal().events().iter().filter(|e| e["event"] == "processor-ready").count();
    assert_eq!(ready, 1, "the processor goes on undisturbed");
    site.stop();
}

#[test]
fn a_lock_and_who_holds_it_is_explained() {
    let lock = "[processors.ext_locks]\ngpu = 1\n";
    let one = moody("good", "locks = [\"gpu\"]");
    let site = Site::start(&(lock.to_owned() + &one));
    site.ok("submit --echo --name job --count 2 --ticks 100000 --interval 20ms");
    site.wait("job-1", "running");
    let explained = site.ok("explain job-2").stdout;
    assert!(explained.contains("the lock `gpu` is held by job-1 (echo) since "), "{explained}");
    let status = site.status();
    assert_eq!(status["locks"][0]["holders"][0]["sector"], "job-1", "{status}");
    site.stop();
}
