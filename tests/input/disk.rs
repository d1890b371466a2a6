// SPDX-License-Identifier: MIT OR Apache-2.0

//! A disk that is too small, and one that fills up on the way.

use std::path::Path;

use sealpipe_tests::{Bench, Vector, disk::Disk};

/// Room for an 8 MiB sector, and little more.
const ENOUGH: &str = "88m";

#[test]
fn a_disk_that_is_too_small_is_found_before_anything_is_done() {
    let bench = Bench::new();
    let Some(_disk) = Disk::mount(&bench, "disk", "60m") else { return };
    let args = ["seal", "--size", "8MiB", "--until", "c1", "--out", "disk/a/sector"];
    bench.run(&args).fails_with(&[
        "error: no space for a 8MiB sector on the disk of ",
        "MiB on its way, 60 MiB are free",
        "hint: free some space, or give an --out on another disk",
    ]);
    assert!(!bench.path("disk/a").exists());
}

/// The disk fills up when `stage` has begun. The sector stops with what to do, and once there is
/// space again it goes on to the golden end.
fn check(stage: &str) {
    let bench = Bench::new();
    let Some(disk) = Disk::mount(&bench, "disk", ENOUGH) else { return };
    let vector = Vector::read("8MiB-data");
    let args = vector.seal(&bench, "disk/sector");
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut run = bench.start(&args);
    bench.journal("disk/sector").wait_for_start(&mut run, stage);
    disk.fill();
    let ended = run.end().code(1).says(&["error: ", "hint: "]);
    let says = ["space", "disk is full", "mapped file"];
    let told = says.iter().any(|words| ended.stderr.contains(words));
    ended.check(told, "it says that the disk is full");
    bench.check_nothing_is_left();
    disk.free();
    bench.run(&args).ok();
    vector.check(Path::new(&bench.path("disk/sector")));
    bench.check_nothing_is_left();
}

#[test]
fn a_disk_that_fills_up_in_pc1_stops_the_sector_and_loses_nothing() {
    check("pc1");
}

#[test]
fn a_disk_that_fills_up_in_pc2_stops_the_sector_and_loses_nothing() {
    check("pc2");
}
