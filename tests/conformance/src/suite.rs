// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs checks, many at a time, and gathers how they ended.
//!
//! A check that fails by time alone is run again, by itself and with limits twice as long, before it
//! is believed: on a busy machine a processor is late that keeps every rule.

use std::{
    ffi::OsString,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    bench::Bench,
    check::{Check, Failure, Level, Pace},
    limits::Limits,
    protocol,
    scratch::Scratch,
    stage::{self, setting::Setting},
};

/// Checks that run at a time, unless told otherwise: they wait more than they compute.
pub const DEFAULT_JOBS: usize = 16;

/// Heavy checks that run at a time, in this process.
const HEAVY_JOBS: usize = 3;

/// Heavy checks that run.
static HEAVY: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Keeps other heavy checks waiting as long as it lives.
struct Heavy;

impl Heavy {
    fn begin() -> Self {
        let running = HEAVY.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = HEAVY.1.wait_while(running, |running| *running >= HEAVY_JOBS);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        *HEAVY.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        HEAVY.1.notify_one();
    }
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// The rule is kept.
    Passed,
    /// A MUST is broken.
    Failed,
    /// A SHOULD is broken.
    Warned,
    /// It says nothing here.
    Skipped,
    /// The harness itself failed.
    Fault,
}

impl Status {
    /// For tables and machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Warned => "warned",
            Self::Skipped => "skipped",
            Self::Fault => "fault",
        }
    }
}

/// Late checks that are late again: after so many the others are believed, since it is not the
/// machine. Each may wait for a minute.
const MOST_LATE_AGAIN: usize = 3;

/// What all limits of a second look are multiplied by.
const SECOND_LOOK: f64 = 2.0;

/// A check and how it ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The check.
    pub check: Check,
    /// How.
    pub status: Status,
    /// Why, unless it passed at the first look.
    pub detail: String,
    /// How long the look took that is believed.
    pub took: Duration,
    /// Whether it failed by time alone.
    pub late: bool,
    /// How often it was run.
    pub looks: u32,
}

impl Outcome {
    /// Whether a rule was seen broken, be it a MUST or a SHOULD.
    pub fn is_broken(&self) -> bool {
        matches!(self.status, Status::Failed | Status::Warned)
    }
}

/// What is run.
#[derive(Clone)]
pub struct Plan {
    /// The program and arguments that are tested.
    pub command: Vec<OsString>,
    /// The stage.
    pub stage: String,
    /// What is chosen for the stage's own checks.
    pub setting: Setting,
    /// For checks of a worker: the program of this suite, which the worker starts.
    pub hostile: Option<PathBuf>,
    /// How long to wait.
    pub limits: Limits,
    /// Checks at a time.
    pub jobs: usize,
    /// Which checks, in the order of the report.
    pub checks: Vec<Check>,
}

impl Default for Plan {
    /// No check of no program: the rest is as it is unless told otherwise.
    fn default() -> Self {
        Self {
            command: Vec::new(),
            stage: "echo".to_owned(),
            setting: Setting::default(),
            hostile: None,
            limits: Limits::default(),
            jobs: DEFAULT_JOBS,
            checks: Vec::new(),
        }
    }
}

/// All checks for a processor of `stage`, patient ones too.
pub fn checks(stage: &str) -> Vec<Check> {
    let mut all = protocol::checks();
    all.extend(stage::checks(stage));
    all
}

/// What happens in a run.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A check has ended.
    Ended(&'a Outcome),
    /// A check was late and is run again.
    Again(&'a Check),
}

/// Who is told.
pub type Watch<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// Runs them, the late ones twice; the outcomes are in the order of the plan.
///
/// # Errors
/// When there is no place for scratch files.
pub fn run(plan: &Plan) -> Result<Vec<Outcome>, Failure> {
    run_watched(plan, &|_| ())
}

/// The same; `watch` is told what happens, from several threads.
///
/// # Errors
/// As [`run`].
pub fn run_watched(plan: &Plan, watch: Watch<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = run_once(plan, watch)?;
    let mut late_again = 0;
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.late) {
        if late_again == MOST_LATE_AGAIN {
            break;
        }
        watch(Event::Again(&outcome.check));
        let first = std::mem::take(&mut outcome.detail);
        *outcome = look_again(plan, outcome.check)?;
        if outcome.status == Status::Passed {
            outcome.detail =
                format!("only by itself and with limits twice as long; at first: {first}");
        }
        late_again += usize::from(outcome.late);
    }
    Ok(outcomes)
}

/// Runs one check by itself and with limits twice as long.
///
/// # Errors
/// When there is no place for scratch files.
pub fn look_again(plan: &Plan, check: Check) -> Result<Outcome, Failure> {
    let slow = plan.limits.slow * SECOND_LOOK;
    let limits = Limits { slow, ..plan.limits };
    let again = Plan { limits, jobs: 1, checks: vec![check], ..plan.clone() };
    let mut outcomes = run_once(&again, &|_| ())?;
    let outcome = outcomes.pop().ok_or_else(|| Failure::Harness("a check was lost".into()))?;
    Ok(Outcome { looks: 2, ..outcome })
}

/// Runs them once; the outcomes are in the order of the plan.
///
/// # Errors
/// When there is no place for scratch files.
pub fn run_once(plan: &Plan, watch: Watch<'_>) -> Result<Vec<Outcome>, Failure> {
    let scratch =
        Scratch::new().map_err(|e| Failure::harness("cannot make a scratch directory", e))?;
    let bench = Bench::new(plan, scratch.path());
    let outcomes = Mutex::new(vec![None; plan.checks.len()]);
    // The slowest begin first, so that none is left for the end.
    let mut order: Vec<usize> = (0..plan.checks.len()).collect();
    order.sort_by_key(|index| match plan.checks[*index].pace {
        Pace::Patient => 0,
        Pace::Long => 1,
        Pace::Heavy => 2,
        Pace::Quick => 3,
    });
    let queue = Mutex::new(order.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..plan.jobs.clamp(1, plan.checks.len().max(1)) {
            scope.spawn(|| {
                while let Some(index) = next() {
                    let outcome = run_one(&plan.checks[index], &bench);
                    watch(Event::Ended(&outcome));
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(outcomes.into_iter().flatten().collect())
}

fn run_one(check: &Check, bench: &Bench) -> Outcome {
    let turn = (check.pace == Pace::Heavy).then(Heavy::begin);
    let began = Instant::now();
    let verdict = catch_unwind(AssertUnwindSafe(|| (check.run)(bench)))
        .unwrap_or_else(|_| Err(Failure::Harness("the check panicked".into())));
    drop(turn);
    let broken = match check.level {
        Level::Must => Status::Failed,
        Level::Should => Status::Warned,
    };
    let late = matches!(verdict, Err(Failure::Untimely(_)));
    let (status, detail) = match verdict {
        Ok(()) => (Status::Passed, String::new()),
        Err(Failure::Broken(why) | Failure::Untimely(why)) => (broken, why),
        Err(Failure::Skipped(why)) => (Status::Skipped, why),
        Err(Failure::Harness(why)) => (Status::Fault, why),
    };
    Outcome { check: *check, status, detail, took: began.elapsed(), late, looks: 1 }
}
