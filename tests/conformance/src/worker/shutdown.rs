// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a worker lets its processors go: nothing is left, whatever they do.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    ordinary,
    record::Seen,
    script::{Act, Life},
    site::{Run, Setting},
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-100", "closes-stdin-when-all-is-answered", &[83], closes_stdin),
    Check::should("W-101", "asks-before-it-closes", &[80, 86], asks_first),
    Check::must("W-102", "waits-for-the-grace", &[82, 84, 85], waits),
    Check::must("W-103", "kills-when-the-grace-is-over", &[85], kills),
    Check::must("W-104", "kills-the-children-too", &[85], kills_children),
    Check::must("W-105", "kills-children-of-what-has-ended", &[85], kills_orphans),
    Check::must("W-106", "a-group-of-its-own", &[85], own_group),
    Check::should("W-107", "hands-over-no-other-descriptors", &[83], descriptors),
    Check::must("W-108", "leaves-none-when-it-is-told-to-end", &[85], told_to_end),
    Check::must("W-109", "stdin-ends-with-the-worker", &[84], killed),
    Check::must("W-110", "does-not-wait-for-a-silent-shutdown", &[80, 85], no_answer),
];

fn closes_stdin(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let closed = life.find("end").map(|event| event.ms);
    ensure!(closed.is_some(), "does not close stdin");
    let answered = life.find("answered").map(|event| event.ms);
    ensure!(answered.is_some() && answered <= closed, "closes stdin with the task open");
    Ok(())
}

fn asks_first(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let asked = life.asked("shutdown").first().map(|said| said.ms);
    ensure!(asked.is_some(), "closes stdin without `shutdown`");
    Ok(())
}

fn waits(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let ended = life.marked("stopped").is_some() && life.find("exit").is_some();
    ensure!(ended, "does not give it two fifths of the grace");
    let told = life.find("sigterm").is_some();
    ensure!(!told, "sends SIGTERM within two fifths of the grace");
    Ok(())
}

/// A worker whose processor does its task and then does not end; what is left of it afterwards.
fn what_is_left(bench: &Bench, life: Life) -> Verdict {
    let mut run = Run::start(bench, &Setting::new([life]))?;
    run.wait_end()?;
    let left = run.left_over(bench.limits.soon());
    ensure!(left.is_empty(), "leaves processes behind: {}", describe(&left));
    let ended = run.end()?;
    ensure!(ended.runs().len() == 1, "{} tries of the task: {}", ended.runs().len(), ended.how());
    ended.succeeds()
}

fn describe(pids: &[i32]) -> String {
    let name = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("{pid} ({})", name.trim())
    };
    pids.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn kills(bench: &Bench) -> Verdict {
    what_is_left(bench, Life::default().stubborn())
}

fn kills_children(bench: &Bench) -> Verdict {
    what_is_left(bench, Life::run([Act::Child, Act::Answer]).stubborn())
}

fn kills_orphans(bench: &Bench) -> Verdict {
    // It ends as it should, and leaves a child in its group.
    what_is_left(bench, Life::run([Act::Child, Act::Answer]))?;
    // It dies and leaves one.
    let lives = [Life::run([Act::Child, Act::Die]), Life::default()];
    let mut run = Run::start(bench, &Setting::new(lives))?;
    run.wait_end()?;
    let left = run.left_over(bench.limits.soon());
    ensure!(left.is_empty(), "leaves children of what has died: {}", describe(&left));
    Ok(())
}

fn own_group(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let start = life.start()?;
    ensure!(start["group"] != start["parentGroup"], "starts it in its own process group");
    Ok(())
}

fn descriptors(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    // What this suite has been handed itself, and hands on, is not the worker's.
    let own = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let own: Vec<String> = own
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string()))
        .collect();
    let open = life.start()?["descriptors"].as_array().cloned().unwrap_or_default();
    let open: Vec<&str> = open.iter().filter_map(Value::as_str).collect();
    let odd: Vec<_> = open.iter().filter(|to| !own.iter().any(|own| own == *to)).collect();
    ensure!(odd.is_empty(), "hands over the descriptors of {odd:?}");
    Ok(())
}

/// Waits until the task has begun.
fn begin(bench: &Bench, run: &mut Run<'_>) -> Verdict {
    let began = |lives: &[Seen]| lives.first().and_then(|life| life.marked("begun")).map(drop);
    run.expect("gives it a task", bench.limits.soon(), began)
}

fn told_to_end(bench: &Bench) -> Verdict {
    let acts = [Act::Child, Act::Mark("begun".into()), Act::Sleep(600_000)];
    let mut run = Run::start(bench, &Setting::new([Life::run(acts).stubborn()]))?;
    begin(bench, &mut run)?;
    run.signal(Signal::TERM)?;
    run.wait_end()?;
    let left = run.left_over(bench.limits.soon());
    ensure!(left.is_empty(), "leaves processes behind after SIGTERM: {}", describe(&left));
    Ok(())
}

fn killed(bench: &Bench) -> Verdict {
    let acts = [Act::Mark("begun".into()), Act::Sleep(600_000)];
    let mut run = Run::start(bench, &Setting::new([Life::run(acts).stubborn()]))?;
    begin(bench, &mut run)?;
    run.signal(Signal::KILL)?;
    run.wait_end()?;
    let ended = |lives: &[Seen]| lives.first().and_then(|life| life.find("end")).map(drop);
    run.keep_looking("stdin ends with the worker", bench.limits.soon(), ended)
}

fn no_answer(bench: &Bench) -> Verdict {
    let life = Life { shutdown: Vec::new(), ..Life::default() };
    what_is_left(bench, life.stubborn())?;
    // One that answers with an error is let go like any other.
    let error = json!({"error": {"code": -32603, "message": "no", "data": {"class": "temporary"}}});
    what_is_left(bench, Life { shutdown: vec![Act::Reply(error)], ..Life::default() })
}
