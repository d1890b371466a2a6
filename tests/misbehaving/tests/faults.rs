// SPDX-License-Identifier: MIT OR Apache-2.0

//! The test of the tests: each fault is seen by the checks that its row declares and by no others,
//! each check sees a fault, and without a fault everything passes.
//!
//! What is not as declared is looked at again, by itself and with limits twice as long, before it is
//! believed, and said to have been. `SEALPIPE_FAULTS=a,b` looks at these faults only.

mod second_look;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use sealpipe_conformance::{
    check::{Check, Pace},
    limits::Limits,
    suite::{self, Outcome, Plan, Status},
};
use sealpipe_misbehaving::faults::{Fault, Seen};

/// Faults that are looked at at a time.
const FAULTS_AT_A_TIME: usize = 14;

/// Checks of one fault at a time.
const JOBS: usize = 8;

/// Time limits are longer than usual: many processes share few cores.
const SLOW: f64 = 2.0;

/// How long `initialize` may take: it is quick here, or never answered.
const STABLE_WAIT: Duration = Duration::from_secs(2);

/// A fault, or none.
type Subject = Option<Fault>;

fn name(subject: Subject) -> &'static str {
    subject.map_or("none", Fault::name)
}

/// Whether this process may run on several cpus: on one alone faults of placement do not show.
fn has_several_cpus() -> bool {
    thread::available_parallelism().is_ok_and(|n| n.get() > 1)
}

fn subjects() -> Vec<Subject> {
    let chosen = std::env::var("SEALPIPE_FAULTS").ok();
    let is_chosen = |name: &str| {
        chosen.as_deref().is_none_or(|list| list.split(',').any(|chosen| chosen == name))
    };
    let mut all: Vec<Subject> = vec![None];
    all.extend(Fault::ALL.iter().copied().map(Some));
    all.retain(|subject| is_chosen(name(*subject)));
    assert!(!all.is_empty(), "no fault is called {}", chosen.unwrap_or_default());
    if !has_several_cpus() {
        println!("skipped: three faults of placement, which do not show on one cpu");
        let of_placement = [Fault::UnpinsThreads, Fault::ObservesTooEarly, Fault::PinsUnasked];
        all.retain(|subject| subject.is_none_or(|fault| !of_placement.contains(&fault)));
    }
    all.retain(|subject| {
        let shows = subject.is_none() || !declared(*subject).is_empty();
        if !shows {
            println!("skipped: {}, which does not show on this system", name(*subject));
        }
        shows
    });
    // What breaks much makes many checks wait in vain: it begins first.
    all.sort_by_key(|subject| Reverse(declared(*subject).len()));
    all
}

fn plan(subject: Subject, checks: Vec<Check>) -> Plan {
    let mut command: Vec<OsString> = vec![env!("CARGO_BIN_EXE_sealpipe-misbehaving").into()];
    if let Some(fault) = subject {
        command.extend(["--fault".into(), fault.name().into()]);
    }
    let limits = Limits { slow: SLOW, stable_wait: STABLE_WAIT };
    Plan { command, stage: "echo".into(), limits, jobs: JOBS, checks, ..Plan::default() }
}

/// All outcomes of all subjects.
fn run_all(subjects: &[Subject]) -> BTreeMap<&'static str, Vec<Outcome>> {
    let (patient, others): (Vec<Check>, Vec<Check>) =
        checks().into_iter().partition(|check| check.pace == Pace::Patient);
    let all = Mutex::new(BTreeMap::<_, Vec<Outcome>>::new());
    let run = |subject, checks: &[Check]| {
        let outcomes = suite::run_once(&plan(subject, checks.to_vec()), &|_| ()).unwrap();
        all.lock().unwrap().entry(name(subject)).or_default().extend(outcomes);
    };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        // These only wait, all at the same time.
        for subject in subjects {
            let (run, patient) = (&run, &patient);
            scope.spawn(move || run(*subject, patient));
        }
        for _ in 0..FAULTS_AT_A_TIME {
            scope.spawn(|| {
                while let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(*subject, &others);
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// The checks that say something on this system: some do not let a program choose its memory.
fn checks() -> Vec<Check> {
    const OF_MEMORY: [&str; 2] = ["P-063", "P-067"];
    static SKIPPED: OnceLock<Vec<&str>> = OnceLock::new();
    let mut checks = suite::checks("echo");
    let skipped = SKIPPED.get_or_init(|| {
        let mut of_memory = checks.clone();
        of_memory.retain(|check| OF_MEMORY.contains(&check.id));
        let outcomes = suite::run(&plan(None, of_memory)).unwrap();
        let skipped = outcomes.iter().filter(|outcome| outcome.status == Status::Skipped);
        skipped
            .inspect(|o| println!("skipped: {}: {}", o.check.id, o.detail))
            .map(|outcome| outcome.check.id)
            .collect()
    });
    checks.retain(|check| !skipped.contains(&check.id));
    checks
}

/// The checks that must see it.
fn declared(subject: Subject) -> BTreeSet<&'static str> {
    let all = checks().into_iter().map(|check| check.id);
    match subject.map_or(Seen::By(&[]), Fault::seen) {
        Seen::By(ids) => all.filter(|id| ids.contains(id)).collect(),
        Seen::ByAllBut(ids) => all.filter(|id| !ids.contains(id)).collect(),
    }
}

/// Whether the check ended as the subject's row says.
fn is_declared(subject: Subject, outcome: &Outcome) -> bool {
    let ended = matches!(outcome.status, Status::Passed | Status::Failed | Status::Warned);
    ended && outcome.is_broken() == declared(subject).contains(outcome.check.id)
}

/// A line about an outcome.
fn line(subject: Subject, outcome: &Outcome) -> String {
    let (id, status) = (outcome.check.id, outcome.status.name());
    let expected = if declared(subject).contains(id) { "sees it" } else { "does not see it" };
    format!("{} {id} {status}, declared: {expected}. {}", name(subject), outcome.detail)
}

/// Looks once more at what is not as declared.
fn look_again(subjects: &[Subject], all: &mut BTreeMap<&'static str, Vec<Outcome>>) {
    let mut again = Vec::new();
    for (name, outcomes) in all {
        let Some(subject) = subjects.iter().find(|subject| self::name(**subject) == *name) else {
            continue;
        };
        let odd = outcomes.iter_mut().filter(|outcome| !is_declared(*subject, outcome));
        again.extend(odd.map(|o| ((*name).to_owned(), plan(*subject, Vec::new()), o)));
    }
    second_look::look_again(again);
}

#[test]
fn every_fault_is_seen_by_the_declared_checks_and_every_check_sees_one() {
    let subjects = subjects();
    let mut all = run_all(&subjects);
    look_again(&subjects, &mut all);
    let mut wrong = Vec::new();
    let mut sees: BTreeSet<&str> = BTreeSet::new();
    for subject in &subjects {
        let outcomes = &all[name(*subject)];
        let seen = outcomes.iter().filter(|outcome| outcome.is_broken());
        sees.extend(seen.clone().map(|outcome| outcome.check.id));
        if subject.is_some() && seen.count() == 0 {
            wrong.push(format!("{}: nobody sees it", name(*subject)));
        }
        let odd = outcomes.iter().filter(|outcome| !is_declared(*subject, outcome));
        wrong.extend(odd.map(|outcome| line(*subject, outcome)));
    }
    if subjects.len() > Fault::ALL.len() {
        let blind = checks().into_iter().filter(|check| !sees.contains(check.id));
        wrong.extend(blind.map(|check| format!("{} {} sees no fault", check.id, check.name)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn faults_have_names_of_their_own_and_words() {
    let names: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names.len(), Fault::ALL.len());
    assert!(Fault::ALL.len() >= 60);
    assert!(Fault::ALL.iter().all(|fault| fault.about().ends_with('.')));
    assert!(!names.contains("none"));
}

#[test]
fn declared_checks_exist() {
    let checks: BTreeSet<_> = suite::checks("echo").into_iter().map(|check| check.id).collect();
    for fault in Fault::ALL {
        let (Seen::By(ids) | Seen::ByAllBut(ids)) = fault.seen();
        let unknown: Vec<_> = ids.iter().filter(|id| !checks.contains(*id)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", fault.name());
    }
}
