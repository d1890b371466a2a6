// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processors that end when nobody has asked them to.

use super::{
    record::Seen,
    script::{Act, Life},
    site::{Run, Setting, run},
    tasks::attempts_rise,
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-120", "dies-at-once", &[86], at_once),
    Check::must("W-121", "dies-before-it-answers-initialize", &[86], before_the_answer),
    Check::must("W-122", "dies-before-its-first-task", &[86], before_a_task),
    Check::must("W-123", "ends-with-0-and-a-task-open", &[86], exit_0),
    Check::must("W-124", "dies-with-half-a-result", &[3, 86], half_a_result),
    Check::must("W-125", "dies-when-its-task-is-done", &[59, 86], after_the_task),
    Check::must("W-126", "closes-stdout-and-lives", &[85, 86], closes_stdout),
    Check::must("W-127", "reaps-what-has-died", &[85], reaps),
    Check::must("W-128", "bounds-its-tries-of-what-dies", &[92], always_dies),
];

fn dies_for_good(bench: &Bench, life: Life) -> Verdict {
    let ended = run(bench, &Setting::new([life]))?;
    ensure!(ended.runs().is_empty(), "gives it a task");
    ended.fails()
}

fn at_once(bench: &Bench) -> Verdict {
    dies_for_good(bench, Life { start: vec![Act::Exit(Some(0))], ..Life::default() })
}

fn before_the_answer(bench: &Bench) -> Verdict {
    dies_for_good(bench, Life::initialize([Act::Exit(Some(0))]))
}

fn again(bench: &Bench, life: Life) -> Verdict {
    let ended = run(bench, &Setting::new([life, Life::default()]))?;
    let lives = ended.lives.len();
    ensure!(lives == 2, "starts {lives} processes, expected 2: {}", ended.how());
    let tries = ended.runs().len();
    if tries > 1 {
        attempts_rise(&ended, tries)?;
    }
    ended.succeeds()
}

fn before_a_task(bench: &Bench) -> Verdict {
    again(bench, Life::initialize([Act::StopReading, Act::Answer, Act::Die]))
}

fn exit_0(bench: &Bench) -> Verdict {
    again(bench, Life::run([Act::Exit(Some(0))]))
}

fn half_a_result(bench: &Bench) -> Verdict {
    again(bench, Life::run([Act::Cut("{\"jsonrpc\":\"2.0\",\"id\":$ID,\"resu".into()), Act::Die]))
}

fn after_the_task(bench: &Bench) -> Verdict {
    let ended = run(bench, &Setting::new([Life::run([Act::Answer, Act::Die])]))?;
    let tries = ended.runs().len();
    ensure!(tries == 1, "{tries} tries of a task that was done: {}", ended.how());
    ended.succeeds()
}

fn closes_stdout(bench: &Bench) -> Verdict {
    let life = Life::run([Act::Mark("begun".into()), Act::CloseStdout, Act::Sleep(600_000)]);
    let mut run = Run::start(bench, &Setting::new([life.stubborn(), Life::default()]))?;
    let began = |lives: &[Seen]| lives.first().and_then(|life| life.marked("begun")).map(drop);
    run.expect("gives it a task", bench.limits.soon(), began)?;
    let gone = |lives: &[Seen]| lives.first().filter(|life| life.alive().is_empty()).map(drop);
    run.expect("ends a process that has closed stdout", bench.limits.soon(), gone)?;
    let ended = run.end()?;
    attempts_rise(&ended, 2)?;
    ended.succeeds()
}

fn reaps(bench: &Bench) -> Verdict {
    let within = u64::try_from(bench.limits.soon().as_millis()).unwrap_or(u64::MAX);
    let second = Life::run([Act::AwaitGone { life: 1, within }, Act::Answer]);
    let ended = run(bench, &Setting::new([Life::run([Act::Die]), second]))?;
    ended.succeeds()?;
    let gone = ended.lives.iter().find_map(|life| life.find("gone")).map(|event| &event.what);
    let is_gone = gone.is_some_and(|gone| gone["gone"] == true);
    ensure!(is_gone, "does not reap a process that has died: {}", gone.unwrap_or_default());
    Ok(())
}

fn always_dies(bench: &Bench) -> Verdict {
    let ended = run(bench, &Setting::new([Life::run([Act::Die])]))?;
    let tries = ended.runs().len();
    ensure!(tries > 0, "gives it no task");
    attempts_rise(&ended, tries)?;
    ended.fails()
}
