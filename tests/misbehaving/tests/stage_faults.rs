// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test of the stages' checks: each fault is seen by the checks that its row declares and by no
//! others of its stage, each check sees a fault, and the reference processor behind the same relay
//! passes.
//!
//! `SEALPIPE_FAULTS=a,b` looks at these faults only.

mod second_look;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use sealpipe_conformance::{
    check::{Check, Pace},
    limits::Limits,
    stage::{self, setting::Setting},
    suite::{self, Outcome, Plan, Status},
};
use sealpipe_misbehaving::stage::faults::StageFault;
use sealpipe_protocol::stage::proof::SealProof;
use sealpipe_tests::{make_parameters, program};

/// Faults that are looked at at a time.
const FAULTS_AT_A_TIME: usize = 3;

/// Checks of one fault at a time.
const JOBS: usize = 3;

/// Time limits are longer than usual: many processes share few cores.
const SLOW: f64 = 4.0;

/// The random sectors of this test.
const SEED: u64 = 0x5ea1;

/// These take the right to mount: without it nothing is said. `REQUIRE_MOUNT=1` makes that a failure.
const MAY_SKIP: [&str; 3] = ["S-030", "S-031", "S-032"];

/// A fault or none, at a stage.
type Subject = (Option<StageFault>, &'static str);

fn checks(stage: &str) -> Vec<Check> {
    let mut checks = stage::checks(stage);
    // A proof takes a minute and more: they have a command of their own.
    checks.retain(|check| check.pace != Pace::Patient);
    checks
}

fn subjects() -> Vec<Subject> {
    let chosen = std::env::var("SEALPIPE_FAULTS").ok();
    let is_chosen = |name: &str| {
        chosen.as_deref().is_none_or(|list| list.split(',').any(|chosen| chosen == name))
    };
    let mut all: Vec<Subject> = Vec::new();
    for fault in StageFault::ALL {
        if is_chosen(fault.name()) {
            all.push((Some(*fault), fault.stage()));
        }
    }
    // Behind the same relay nothing breaks by itself; c2 is not asked for real proofs here.
    let stages: BTreeSet<&str> = StageFault::ALL.iter().map(|fault| fault.stage()).collect();
    let whole = stages.into_iter().filter(|stage| *stage != "c2" && is_chosen("none"));
    all.extend(whole.map(|stage| (None, stage)));
    all
}

fn name((fault, stage): Subject) -> String {
    format!("{} of {stage}", fault.map_or("none", StageFault::name))
}

fn plan((fault, stage): Subject, reference: &Path) -> Plan {
    let mut command: Vec<OsString> = vec![env!("CARGO_BIN_EXE_sealpipe-misbehaving-stage").into()];
    if let Some(fault) = fault {
        command.extend(["--fault".into(), fault.name().into()]);
    }
    command.extend(["--".into(), reference.into(), "processor".into(), stage.into()]);
    let setting = Setting {
        size: SealProof::StackedDrg2KiBV1_1,
        seed: SEED,
        reference: Some(reference.to_owned()),
    };
    let limits = Limits { slow: SLOW, ..Limits::default() };
    let (checks, stage) = (checks(stage), stage.into());
    Plan { command, stage, setting, limits, jobs: JOBS, checks, ..Plan::default() }
}

fn run_all(subjects: &[Subject], reference: &Path) -> BTreeMap<String, Vec<Outcome>> {
    let all = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..FAULTS_AT_A_TIME {
            scope.spawn(|| {
                while let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcomes = suite::run(&plan(*subject, reference)).unwrap();
                    all.lock().unwrap().insert(name(*subject), outcomes);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// Whether the check ended as the subject's row says.
fn is_declared((fault, _): Subject, outcome: &Outcome) -> bool {
    let id = outcome.check.id;
    match outcome.status {
        Status::Fault => false,
        Status::Skipped => MAY_SKIP.contains(&id) && std::env::var_os("REQUIRE_MOUNT").is_none(),
        _ => outcome.is_broken() == fault.is_some_and(|fault| fault.seen().contains(&id)),
    }
}

/// Looks once more at what is not as declared.
fn look_again(subjects: &[Subject], all: &mut BTreeMap<String, Vec<Outcome>>, reference: &Path) {
    let mut again = Vec::new();
    for (name, outcomes) in all {
        let Some(subject) = subjects.iter().find(|subject| self::name(**subject) == *name) else {
            continue;
        };
        let odd = outcomes.iter_mut().filter(|outcome| !is_declared(*subject, outcome));
        again.extend(odd.map(|outcome| (name.clone(), plan(*subject, reference), outcome)));
    }
    second_look::look_again(again);
}

#[test]
fn every_fault_is_seen_by_the_declared_checks_and_every_check_sees_one() {
    let reference = program("sealpipe-reference");
    make_parameters();
    let subjects = subjects();
    let mut all = run_all(&subjects, &reference);
    look_again(&subjects, &mut all, &reference);
    let mut wrong = Vec::new();
    let (mut sees, mut skipped) = (BTreeSet::new(), BTreeSet::new());
    for subject in &subjects {
        let outcomes = &all[&name(*subject)];
        for outcome in outcomes {
            let id = outcome.check.id;
            if outcome.is_broken() {
                sees.insert(id);
            } else if outcome.status == Status::Skipped {
                skipped.insert(id);
            }
            if !is_declared(*subject, outcome) {
                let (name, status) = (name(*subject), outcome.status.name());
                wrong.push(format!("{name}: {id} {status}: {}", outcome.detail));
            }
        }
    }
    if !skipped.is_empty() {
        eprintln!("SKIPPED, for they take the right to mount: {skipped:?}");
    }
    if subjects.len() > StageFault::ALL.len() {
        let stages = StageFault::ALL.iter().map(|fault| fault.stage());
        let known: BTreeSet<&str> = stages.flat_map(checks).map(|check| check.id).collect();
        let blind = known.iter().filter(|id| !sees.contains(*id) && !skipped.contains(*id));
        wrong.extend(blind.map(|id| format!("{id} sees no fault")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn faults_have_names_of_their_own_and_words() {
    let names: BTreeSet<_> = StageFault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), StageFault::ALL.len());
    assert!(StageFault::ALL.iter().all(|fault| fault.about().ends_with('.')));
    assert!(!names.contains("none"));
    for fault in StageFault::ALL {
        let known: BTreeSet<_> = checks(fault.stage()).iter().map(|check| check.id).collect();
        assert!(fault.seen().iter().all(|id| known.contains(id)), "{}", fault.name());
    }
}
