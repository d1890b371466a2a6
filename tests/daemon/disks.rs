// SPDX-License-Identifier: MIT OR Apache-2.0

//! Full disks: that of the sectors, and that of the daemon itself.

use sealpipe_tests::{
    Bench,
    disk::Disk,
    site::{Site, moody},
    text,
};

/// Room for two sectors of 8 MiB on their way, and not for three.
const TWO: &str = "200m";

/// Room for the daemon's own files.
const SMALL: &str = "16m";

#[test]
fn sectors_begin_only_where_there_is_room_for_all_that_run() {
    let bench = Bench::new();
    let Some(_disk) = Disk::mount(&bench, "disk", TWO) else { return };
    // Neither gets on, so that both keep what is promised to them.
    let site = Site::start_in(bench, "[processors.limitation.concurrent]\npc1 = 0\n");
    site.ok("submit --size 8MiB --count 3 --until pc1 --out disk");
    let explained = site.until("the third one waits for room", || {
        let explained = site.ok("explain t01000-3").stdout;
        explained.contains("it needs").then_some(explained)
    });
    assert!(explained.contains("t01000-3 is queued"), "{explained}");
    assert!(explained.contains("hint: free some space on its disk"), "{explained}");
    site.until("two have begun", || {
        let waiting = site.ok("explain t01000-2").stdout;
        waiting.contains("`limitation.concurrent.pc1` is 0").then_some(())
    });
    assert!(!site.bench.path("disk/t01000-3").exists());
    site.until("the disk is looked at again", || {
        (site.status()["disks"][0]["promisedBytes"].as_u64()? > 0).then_some(())
    });
    assert_eq!(site.sector("t01000-3")["state"], "queued");
    // One that leaves makes room.
    site.ok("cancel t01000-1");
    std::fs::remove_dir_all(site.bench.path("disk/t01000-1")).unwrap();
    site.until("the third one begins", || {
        site.bench.path("disk/t01000-3/unsealed").exists().then_some(())
    });
    site.stop();
}

#[test]
fn a_daemon_that_cannot_write_stops_acting_loses_nothing_and_goes_on_by_itself() {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(&bench, "state", SMALL) else { return };
    let mut site = Site::start_in(bench, &moody("good", ""));
    site.ok("submit --echo --name long --steps 50 --ticks 2 --interval 50ms");
    site.until("it runs", || {
        let started = site.events("long", "stage-started");
        (!started.is_empty()).then_some(())
    });
    disk.fill();
    let trouble = site.until("it notices", || {
        // Orders need room; what runs does not always.
        site.run(&["submit", "--echo", "--payload", &format!("\"{}\"", "x".repeat(60_000))]);
        let status = site.status();
        let trouble = text(&status["daemon"], "trouble").to_owned();
        (!trouble.is_empty()).then_some(trouble)
    });
    assert!(trouble.contains("jobs.redb cannot be"), "{trouble}");
    let refused = site.run(&["submit", "--echo", "--name", "late"]);
    refused.fails_with(&["jobs.redb", "hint: free some space on its disk"]);
    disk.free();
    site.wait("long", "done");
    assert_eq!(site.status()["daemon"]["trouble"], serde_json::Value::Null);
    site.ok("submit --echo --name late --wait");
    site.kill();
    site.begin();
    assert_eq!(site.sector("long")["state"], "done");
    assert_eq!(site.sector("late")["state"], "done");
    site.stop();
}
