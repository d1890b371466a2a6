// SPDX-License-Identifier: MIT OR Apache-2.0

//! Progress, silence, and a cancel's place.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::{
    record::Seen,
    script::{Act, Life},
    site::{Run, Setting, run, side_by_side, unharmed},
    tasks::attempts_rise,
    transport::log,
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-080", "silence-means-stalled", &[63, 85], silence),
    Check::must("W-081", "any-message-is-a-sign-of-life", &[61, 63], signs_of_life),
    Check::should("W-082", "bounds-how-long-done-stands-still", &[64], stands_still),
    Check::must("W-083", "odd-progress-does-no-harm", &[7, 61, 62], odd_progress),
    Check::must("W-084", "stalled-while-it-does-not-read", &[10, 63], does_not_read),
    Check::must("W-090", "cancels-nothing-before-its-run", &[11, 73], cancels),
];

/// The silence that is allowed in these checks.
fn stalled_after(bench: &Bench) -> Duration {
    Duration::from_secs(2).mul_f64(bench.limits.slow)
}

/// A line of `task/progress` about the task at hand.
fn progress(done: u64, total: u64) -> String {
    let params = json!({
        "taskId": "$TASK", "attempt": "$", "phase": "on", "done": done, "total": total,
        "unit": "bytes",
    });
    let params = params.to_string().replace("\"$\"", "$ATTEMPT");
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"task/progress\",\"params\":{params}}}")
}

/// The first life is ended, and the task is done in the second.
fn ended_and_again(bench: &Bench, setting: &Setting, what: &str) -> Verdict {
    let mut run = Run::start(bench, setting)?;
    let began = |lives: &[Seen]| lives.first().and_then(|life| life.marked("begun")).map(drop);
    run.expect("gives it a task", bench.limits.soon(), began)?;
    let gone = |lives: &[Seen]| lives.first().filter(|life| life.alive().is_empty()).map(drop);
    run.expect(what, bench.limits.soon() * 2, gone)?;
    let ended = run.end()?;
    attempts_rise(&ended, 2)?;
    ensure!(!ended.said.trim().is_empty(), "does not say so");
    ended.succeeds()
}

fn silence(bench: &Bench) -> Verdict {
    let silent = Life::run([Act::Mark("begun".into()), Act::Sleep(600_000)]).stubborn();
    let lives = [silent, Life::default()];
    let setting = Setting { stalled_after: Some(stalled_after(bench)), ..Setting::new(lives) };
    ended_and_again(bench, &setting, "ends a process that is silent with a task open")
}

fn signs_of_life(bench: &Bench) -> Verdict {
    // Longer than silence is allowed, by logs alone, and by progress that never advances.
    let limit = stalled_after(bench) * 2;
    let pause = u64::try_from(limit.as_millis() / 8).unwrap_or(u64::MAX);
    let signs = [("logs", log("still here")), ("progress", progress(1, 2))];
    side_by_side(&signs, |(name, sign)| {
        let acts = (0..12).flat_map(|_| [Act::Sleep(pause), Act::Say(sign.clone())]);
        let life = Life::run(acts.chain([Act::Answer]).collect::<Vec<_>>());
        let setting = Setting { stalled_after: Some(limit), ..Setting::new([life]) };
        run(bench, &setting)?.is_unharmed(1).map_err(|failure| failure.within(name))
    })
}

fn stands_still(bench: &Bench) -> Verdict {
    let mut acts = vec![Act::Mark("begun".into()), Act::Say(progress(1, 2))];
    acts.extend((0..3_000).flat_map(|_| [Act::Sleep(200), Act::Say(progress(1, 2))]));
    let lives = [Life::run(acts).stubborn(), Life::default()];
    let setting = Setting { stuck_after: Some(stalled_after(bench)), ..Setting::new(lives) };
    ended_and_again(bench, &setting, "ends a process whose task stands still")
}

fn odd_progress(bench: &Bench) -> Verdict {
    let tell = |params: serde_json::Value| {
        let line = json!({"jsonrpc": "2.0", "method": "task/progress", "params": params});
        Act::Say(line.to_string())
    };
    let odd = vec![
        // Of a task that there is not, of an attempt that there is not.
        tell(json!({
            "taskId": "no-such", "attempt": 1, "phase": "on", "done": 1, "total": 2, "unit": "b",
        })),
        Act::Say(progress(1, 2).replace("$ATTEMPT", "4000000000")),
        // Falls, and passes the total.
        Act::Say(progress(2, 3)),
        Act::Say(progress(1, 3)),
        Act::Say(progress(9, 3)),
        Act::Say(progress(0, 0)),
        // Does not fit.
        tell(json!({})),
        tell(json!({"taskId": 1, "attempt": "x", "done": -1})),
        Act::Say("{\"jsonrpc\":\"2.0\",\"method\":\"processor/status\",\"params\":{}}".into()),
        Act::Say("{\"jsonrpc\":\"2.0\",\"method\":\"log/message\",\"params\":[1]}".into()),
    ];
    let after = odd.clone();
    let life = Life::run(odd.into_iter().chain([Act::Answer]).chain(after).collect::<Vec<_>>());
    unharmed(bench, life).map(drop)
}

fn does_not_read(bench: &Bench) -> Verdict {
    // What the worker wants to say never arrives, and it hears nothing either.
    let mut deaf = Life::initialize([
        Act::Mark("begun".into()),
        Act::StopReading,
        Act::FillStdin,
        Act::Answer,
    ]);
    deaf = deaf.stubborn();
    let lives = [deaf, Life::default()];
    let setting = Setting { stalled_after: Some(stalled_after(bench)), ..Setting::new(lives) };
    let mut run = Run::start(bench, &setting)?;
    let gone = |lives: &[Seen]| lives.first().filter(|life| life.alive().is_empty()).map(drop);
    run.expect("ends a process that does not read", bench.limits.soon() * 2, gone)?;
    let ended = run.end()?;
    ended.succeeds()
}

fn cancels(bench: &Bench) -> Verdict {
    // A worker that is told to stop may cancel what is open; one that never cancels passes.
    let life = Life {
        initialize: vec![Act::Answer],
        runs: vec![vec![Act::Mark("begun".into()), Act::Sleep(600_000)]],
        ..Life::default()
    };
    let mut run = Run::start(bench, &Setting { tasks: 1, ..Setting::new([life]) })?;
    let began = |lives: &[Seen]| lives.first().and_then(|life| life.marked("begun")).map(drop);
    run.expect("gives it a task", bench.limits.soon(), began)?;
    run.signal(Signal::TERM)?;
    let ended = run.end()?;
    for life in &ended.lives {
        let lines = life.lines();
        for (index, cancel) in lines.iter().enumerate().filter(|(_, said)| said.is("task/cancel")) {
            let task = cancel.at("/params/taskId");
            let run = lines[..index]
                .iter()
                .any(|said| said.is("task/run") && said.at("/params/taskId") == task);
            ensure!(run, "cancels {task} before it is run");
        }
    }
    Ok(())
}
