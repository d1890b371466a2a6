// SPDX-License-Identifier: MIT OR Apache-2.0

//! Our own worker keeps the protocol, whatever its processor does; and the program that finds out
//! as its users meet it.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, Output},
};

use sealpipe_conformance::{
    limits::Limits,
    suite::{self, Plan, Status},
    worker,
};
use sealpipe_tests::program;

/// Time limits are longer than usual: other tests run beside these.
const SLOW: f64 = 2.0;

/// Checks at a time: all of them wait more than they compute.
const JOBS: usize = 32;

fn conformance() -> PathBuf {
    env!("CARGO_BIN_EXE_sealpipe-conformance").into()
}

#[test]
fn our_worker_keeps_the_protocol() {
    let words = "seal --size 2KiB --until {stage} --config {config} --count {tasks} \
                 --out {dir}/sector";
    let mut command: Vec<OsString> = vec![program("sealpipe").into()];
    command.extend(words.split_whitespace().map(OsString::from));
    let limits = Limits { slow: SLOW, ..Limits::default() };
    let stage = "add_pieces".to_owned();
    let (hostile, checks) = (Some(conformance()), worker::checks());
    let plan = Plan { command, stage, hostile, limits, jobs: JOBS, checks, ..Plan::default() };
    let outcomes = suite::run(&plan).unwrap();
    // Whether anything can be granted depends on the machine: one cpu alone, or no choice of memory.
    let is_of_placement = |outcome: &suite::Outcome| outcome.check.id.starts_with("W-06");
    let is_bad = |outcome: &&suite::Outcome| match outcome.status {
        Status::Passed => false,
        Status::Skipped => !is_of_placement(outcome),
        _ => true,
    };
    let bad: Vec<_> = outcomes
        .iter()
        .filter(is_bad)
        .map(|o| format!("{} {} {}: {}", o.check.id, o.check.name, o.status.name(), o.detail))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn start(arguments: &[&str]) -> Output {
    Command::new(conformance()).arg("worker").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn all_checks_are_listed_with_their_rules() {
    let output = start(&["--list"]);
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output.stdout);
    assert_eq!(text.lines().count(), worker::checks().len(), "{text}");
    assert!(text.lines().all(|line| line.starts_with("W-") && line.contains(" R-")), "{text}");
}

#[test]
fn a_program_that_is_no_worker_does_not_conform() {
    let output = start(&["--only", "W-001,W-101,W-151", "--json", "--", "true", "{processor}"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    let output = start(&["--only", "W-001,W-107", "--json", "--", "true", "{processor}"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["failed"], &report["warned"]), (&1.into(), &1.into()), "{report}");
}

#[test]
fn what_a_command_line_cannot_say_is_skipped() {
    let output = start(&["--only", "W-080", "--", "sh", "-c", "{processor} < /dev/null"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("no {stalled_ms}"), "{}", text(&output.stdout));
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for arguments in [
        &[][..],
        &["--", "true"],
        &["--only", "W-999", "--", "true", "{processor}"],
        &["--stage", "pc2", "--", "true", "{processor}"],
        &["--slow=-1", "--", "true", "{processor}"],
    ] {
        let output = start(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
    let output = start(&["--only", "W-001", "--", "./no-such-program", "{processor}"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
}
