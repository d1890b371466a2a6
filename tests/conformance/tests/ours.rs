// SPDX-License-Identifier: MIT OR Apache-2.0

//! Our own processors keep the protocol: the SDK's example, the reference, and those of a stage.

use std::{ffi::OsString, path::Path};

use sealpipe_conformance::{
    check::{Check, Pace},
    limits::Limits,
    stage::{self, setting::Setting},
    suite::{self, Outcome, Plan, Status},
};
use sealpipe_tests::{make_parameters, program};

/// Time limits are longer than usual: other tests run beside these.
const SLOW: f64 = 2.0;

/// Checks at a time.
const JOBS: usize = 8;

/// The same, of a stage: these compute more than they wait.
const STAGE_JOBS: usize = 3;

/// Checks that may be skipped: they take the right to mount. `REQUIRE_MOUNT=1` makes that a failure.
const MAY_SKIP: [&str; 3] = ["S-030", "S-031", "S-032"];

/// Checks that make proofs: they have commands of their own, which README.md names, since they take minutes.
const PROVE: [&str; 2] = ["S-050", "S-051"];

fn keeps_the_protocol(command: Vec<OsString>) {
    let setting = Setting::default();
    let checks = suite::checks("echo");
    // What is granted depends on the machine: one cpu alone, or no choice of memory. And the
    // reference has no stage that it does not offer (P-080).
    let says_nothing = |check: &Check| check.rules.contains(&33) || check.id == "P-080";
    let may = |o: &Outcome| o.status == Status::Skipped && says_nothing(&o.check);
    passes(command, "echo", setting, JOBS, checks, may);
}

/// All checks pass but for those that are patient, and those of which `may` says so.
fn passes(
    command: Vec<OsString>,
    stage: &str,
    setting: Setting,
    jobs: usize,
    mut checks: Vec<Check>,
    may: impl Fn(&Outcome) -> bool,
) {
    checks.retain(|check| check.pace != Pace::Patient);
    let limits = Limits { slow: SLOW, ..Limits::default() };
    let stage = stage.into();
    let plan = Plan { command, stage, setting, limits, jobs, checks, ..Plan::default() };
    let outcomes = suite::run(&plan).unwrap();
    let bad: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.status != Status::Passed && !may(outcome))
        .map(|o| format!("{} {} {}: {}", o.check.id, o.check.name, o.status.name(), o.detail))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn the_example_of_the_sdk_keeps_the_protocol() {
    keeps_the_protocol(vec![program("examples/echo").into()]);
}

#[test]
fn the_reference_keeps_the_protocol() {
    let reference = program("sealpipe-reference");
    keeps_the_protocol(vec![reference.into(), "processor".into(), "echo".into()]);
}

/// The reference passes the stage's own checks; the protocol's it has passed as `echo`.
fn the_reference_passes(stage: &str) {
    passes_stage(&program("sealpipe-reference"), stage, &[]);
}

/// The answers of random tasks are the reference's.
fn passes_stage(processor: &Path, stage: &str, more: &[&str]) {
    let mut command = vec![processor.into(), "processor".into(), stage.into()];
    command.extend(more.iter().map(OsString::from));
    let reference = Some(program("sealpipe-reference"));
    let setting = Setting { reference, ..Setting::default() };
    println!("seed: {:016x}", setting.seed);
    if ["c2", "verify"].contains(&stage) {
        make_parameters();
    }
    let mut checks = stage::checks(stage);
    checks.retain(|check| !PROVE.contains(&check.id));
    let has_to_mount = std::env::var_os("REQUIRE_MOUNT").is_some();
    passes(command, stage, setting, STAGE_JOBS, checks, |outcome| {
        let may_skip = MAY_SKIP.contains(&outcome.check.id) && !has_to_mount;
        if may_skip && outcome.status == Status::Skipped {
            eprintln!("SKIPPED {}: {}", outcome.check.id, outcome.detail);
        }
        may_skip && outcome.status == Status::Skipped
    });
}

#[test]
fn the_reference_adds_pieces() {
    the_reference_passes("add_pieces");
}

#[test]
fn the_reference_builds_tree_d() {
    the_reference_passes("tree_d");
}

#[test]
fn the_reference_labels() {
    the_reference_passes("pc1");
}

#[test]
fn the_reference_encodes() {
    the_reference_passes("pc2");
}

#[test]
fn the_reference_opens() {
    the_reference_passes("c1");
}

#[test]
fn the_reference_verifies() {
    the_reference_passes("verify");
}

#[test]
fn the_reference_unseals() {
    the_reference_passes("unseal");
}

#[test]
fn our_pc1_labels() {
    passes_stage(&program("sealpipe-pc1"), "pc1", &[]);
}

#[test]
fn our_pc1_builds_tree_d() {
    passes_stage(&program("sealpipe-pc1"), "tree_d", &[]);
}

#[test]
fn our_pc2_encodes_on_the_cpu() {
    passes_stage(&program("sealpipe-pc2"), "pc2", &["--device", "cpu"]);
}

#[test]
fn our_c2_refuses_on_the_cpu() {
    passes_stage(&program("sealpipe-c2"), "c2", &["--device", "cpu"]);
}
