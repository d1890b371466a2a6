// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test of the tests of a worker: each fault is seen by the checks that its row declares and by
//! no others, each check sees a fault, and without a fault everything passes.
//!
//! `SEALPIPE_FAULTS=a,b` looks at these faults only.

mod second_look;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use sealpipe_conformance::{
    proc,
    suite::{self, Outcome, Plan, Status},
    worker,
};
use sealpipe_misbehaving::{
    faults::Seen,
    worker::faults::{Fault, has},
};
use sealpipe_tests::program;

/// Faults that are looked at at a time.
const FAULTS_AT_A_TIME: usize = 12;

/// Checks of one fault at a time.
const JOBS: usize = 16;

/// A fault, or none.
type Subject = Option<Fault>;

fn name(subject: Subject) -> &'static str {
    subject.map_or("none", Fault::name)
}

fn command(subject: Subject) -> Vec<OsString> {
    let mut command: Vec<OsString> =
        vec![env!("CARGO_BIN_EXE_sealpipe-misbehaving").into(), "worker".into()];
    if let Some(fault) = subject {
        command.extend(["--fault".into(), fault.name().into()]);
    }
    let words = "--processor={processor} --stage={stage} --dir={dir} --tasks={tasks} \
                 --concurrent={concurrent} --stable-wait-ms={stable_wait_ms} \
                 --stalled-ms={stalled_ms} --stuck-ms={stuck_ms} --cpus={cpus} \
                 --memory-node={memory_node} --pinning={pinning}";
    command.extend(words.split_whitespace().map(OsString::from));
    command
}

fn plan(subject: Subject) -> Plan {
    Plan {
        command: command(subject),
        stage: "add_pieces".into(),
        hostile: Some(program("sealpipe-conformance")),
        jobs: JOBS,
        checks: worker::checks(),
        ..Plan::default()
    }
}

/// Checks that say nothing on this machine, and so see nothing: they need two cpus, or NUMA.
fn blind() -> BTreeSet<&'static str> {
    let mut blind = BTreeSet::new();
    if thread::available_parallelism().is_ok_and(|n| n.get() < 2) {
        blind.extend(["W-060", "W-061", "W-062", "W-064", "W-065"]);
    }
    if proc::memory_policies(i32::try_from(std::process::id()).unwrap()).is_none() {
        blind.insert("W-063");
    }
    blind
}

fn declared(subject: Subject) -> BTreeSet<&'static str> {
    let all = worker::checks().into_iter().map(|check| check.id);
    match subject.map_or(Seen::By(&[]), Fault::seen) {
        Seen::By(ids) => ids.iter().copied().collect(),
        Seen::ByAllBut(ids) => all.filter(|id| !ids.contains(id)).collect(),
    }
}

fn subjects() -> Vec<Subject> {
    let chosen = std::env::var("SEALPIPE_FAULTS").ok();
    let is_chosen = |name: &str| {
        chosen.as_deref().is_none_or(|list| list.split(',').any(|chosen| chosen == name))
    };
    let mut all: Vec<Subject> = vec![None];
    all.extend(Fault::ALL.iter().copied().map(Some));
    all.retain(|subject| is_chosen(name(*subject)));
    // What breaks much makes many checks wait in vain: it begins first.
    all.sort_by_key(|subject| Reverse(declared(*subject).len()));
    all
}

fn run_all(subjects: &[Subject]) -> BTreeMap<&'static str, Vec<Outcome>> {
    let all = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..FAULTS_AT_A_TIME {
            scope.spawn(|| {
                while let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcomes = suite::run(&plan(*subject)).unwrap();
                    all.lock().unwrap().insert(name(*subject), outcomes);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// Whether the check ended as the subject's row says.
fn is_declared(subject: Subject, outcome: &Outcome) -> bool {
    let id = outcome.check.id;
    match outcome.status {
        Status::Fault => false,
        Status::Skipped => blind().contains(id),
        _ => outcome.is_broken() == (declared(subject).contains(id) && !blind().contains(id)),
    }
}

/// Looks once more at what is not as declared.
fn look_again(subjects: &[Subject], all: &mut BTreeMap<&'static str, Vec<Outcome>>) {
    let mut again = Vec::new();
    for (name, outcomes) in all {
        let Some(subject) = subjects.iter().find(|subject| self::name(**subject) == *name) else {
            continue;
        };
        let odd = outcomes.iter_mut().filter(|outcome| !is_declared(*subject, outcome));
        again.extend(odd.map(|outcome| ((*name).to_owned(), plan(*subject), outcome)));
    }
    second_look::look_again(again);
}

#[test]
fn every_fault_is_seen_by_the_declared_checks_and_every_check_sees_one() {
    let subjects = subjects();
    let mut all = run_all(&subjects);
    look_again(&subjects, &mut all);
    let blind = blind();
    let mut wrong = Vec::new();
    let mut sees: BTreeSet<&str> = BTreeSet::new();
    for subject in &subjects {
        let outcomes = &all[name(*subject)];
        sees.extend(outcomes.iter().filter(|o| o.is_broken()).map(|o| o.check.id));
        for outcome in outcomes.iter().filter(|outcome| !is_declared(*subject, outcome)) {
            let (id, status) = (outcome.check.id, outcome.status.name());
            let expected = if declared(*subject).contains(id) { "seen" } else { "not seen" };
            let name = name(*subject);
            wrong.push(format!("{name} {id} {status}, declared {expected}: {}", outcome.detail));
        }
    }
    if subjects.len() > Fault::ALL.len() {
        let sees_none = |check: &&sealpipe_conformance::check::Check| {
            !sees.contains(check.id) && !blind.contains(check.id)
        };
        let checks = worker::checks();
        let unseeing = checks.iter().filter(sees_none);
        wrong.extend(unseeing.map(|check| format!("{} {} sees no fault", check.id, check.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_worker_of_another_stage_is_tested_as_well() {
    let mut checks = worker::checks();
    // What is about the files of `add_pieces` says nothing here.
    checks.retain(|check| ["W-001", "W-021", "W-031", "W-070", "W-141"].contains(&check.id));
    let plan = Plan {
        command: command(None),
        stage: "echo".into(),
        hostile: Some(program("sealpipe-conformance")),
        jobs: JOBS,
        checks,
        ..Plan::default()
    };
    let outcomes = suite::run(&plan).unwrap();
    assert_eq!(outcomes.len(), 5);
    let bad: Vec<_> = outcomes.iter().filter(|o| o.status != Status::Passed).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn faults_have_names_of_their_own_and_words() {
    let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    assert!(Fault::ALL.iter().all(|fault| fault.about().ends_with('.')));
    // None is chosen in this process.
    assert!(!names.contains("none") && !has(Fault::NoEnvironment));
}
