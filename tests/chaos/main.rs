// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes are killed in the middle of stages, at random moments. The sector ends as the golden
//! one, and nothing that was finished is done again.
//!
//! `SEALPIPE_CHAOS_KILLS` is the number of kills that have to hit each stage for each kind of
//! process, and `SEALPIPE_CHAOS_SEED` repeats a run's random numbers.

mod siege;

use sealpipe_tests::{Process, random};

use self::siege::{Siege, Victim};

/// Kills of a stage that hit, unless `SEALPIPE_CHAOS_KILLS` says otherwise.
const DEFAULT_KILLS: u64 = 2;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, got {value:?}")))
}

fn check(victim: Victim) {
    let kills = setting("SEALPIPE_CHAOS_KILLS").unwrap_or(DEFAULT_KILLS);
    let seed = setting("SEALPIPE_CHAOS_SEED").unwrap_or_else(random::seed);
    println!("{victim:?}: SEALPIPE_CHAOS_SEED={seed} SEALPIPE_CHAOS_KILLS={kills}");
    let mut siege = Siege::new(victim, seed);
    while siege.hits.values().any(|hits| *hits < kills) {
        siege.sector(kills);
    }
    println!("{victim:?}: hit {:?} in {} sectors", siege.hits, siege.n_sectors);
}

#[test]
fn a_processor_that_is_killed_is_started_again_and_goes_on() {
    check(Victim::Processor);
}

#[test]
fn a_task_whose_helper_process_is_killed_is_tried_again() {
    check(Victim::Helper);
}

#[test]
fn a_worker_that_is_killed_and_started_again_goes_on() {
    check(Victim::Worker);
}

/// What is killed in a stage that `processor` runs; `None` when it is gone already.
fn aim(victim: Victim, processes: Vec<Process>, worker: i32, processor: i32) -> Option<Process> {
    processes.into_iter().find(|process| match victim {
        Victim::Worker => process.pid == worker,
        Victim::Processor => process.pid == processor,
        Victim::Helper => process.parent == processor,
    })
}
