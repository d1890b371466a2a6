// SPDX-License-Identifier: MIT OR Apache-2.0

//! Progress, status and logs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, ensure_timely, skip},
    session::{Heard, Session, seconds},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-090", "sends-progress-once-a-second-at-most", &[60], not_too_often).long(),
    Check::must("P-091", "sends-progress-once-a-minute-at-least", &[60], often_enough).patient(),
    Check::must("P-092", "progress-belongs-to-an-open-task", &[60, 62], belongs),
    Check::must("P-093", "done-is-at-most-total", &[61], within_total),
    Check::should("P-094", "done-does-not-fall", &[61], monotonous).long(),
    Check::must("P-095", "says-nothing-of-a-task-after-its-answer", &[11, 62], after_answer).long(),
    Check::must("P-096", "says-nothing-of-a-task-after-its-cancel", &[62, 72], after_cancel),
    Check::should("P-097", "says-that-it-drains", &[65], draining),
];

/// Runs an `echo` of so many ticks and gathers its progress, and the answer.
fn run(bench: &Bench, session: &mut Session, ticks: u64, interval_ms: u64) -> Verdict<Vec<Heard>> {
    let params = json!({"payload": 1, "ticks": ticks, "intervalMs": interval_ms});
    let id = session.ask("task/run", bench.echo("ticks", params)?)?;
    let within = bench.limits.brief_task() + Duration::from_millis(ticks * interval_ms);
    let answer = session.answer(&id, within)?;
    let mut all = session.earlier();
    all.retain(|heard| heard.notifies("task/progress"));
    all.push(answer);
    Ok(all)
}

fn not_too_often(bench: &Bench) -> Verdict {
    // What is read late seems to come closer to the next.
    let tolerance = bench.limits.answer().as_secs_f64() / 2.0;
    let mut session = bench.session()?;
    let all = run(bench, &mut session, 24, 100)?;
    let progress = &all[..all.len() - 1];
    let [first, .., last] = progress else { return Ok(()) };
    let span = last.line.at.duration_since(first.line.at);
    ensure_timely!(
        (progress.len() - 1) as f64 <= span.as_secs_f64() + tolerance,
        "{} messages within {}",
        progress.len(),
        seconds(span)
    );
    Ok(())
}

fn often_enough(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let params = if bench.stage() == "echo" {
        // Nothing of its own to say for ten minutes.
        bench.echo("minute", json!({"payload": 1, "ticks": 1, "intervalMs": 600_000}))?
    } else {
        bench.lasting("minute")?
    };
    let id = session.ask("task/run", params)?;
    let began = Instant::now();
    let minute = Duration::from_secs(60) + bench.limits.answer();
    let progress =
        session.take(minute, |heard| heard.answers(&id) || heard.notifies("task/progress"))?;
    let Some(heard) = progress else {
        let text = format!("no progress in {}", seconds(began.elapsed()));
        return Err(Failure::Untimely(text));
    };
    if heard.is_response() {
        skip!("the task ended before a minute was over");
    }
    Ok(())
}

fn belongs(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let mut params = bench.echo("ticks-é/", json!({"payload": 1, "ticks": 3, "intervalMs": 30}))?;
    params["attempt"] = 5.into();
    let id = session.ask("task/run", params)?;
    session.result(&id, bench.limits.brief_task())?;
    let all = session.earlier();
    let mut progress = all.iter().filter(|heard| heard.notifies("task/progress"));
    let stranger = progress
        .find(|heard| heard.at("/params/taskId") != "ticks-é/" || heard.at("/params/attempt") != 5);
    let shown = stranger.map(Heard::excerpt).unwrap_or_default();
    ensure!(shown.is_empty(), "no such run is open: {shown}");
    Ok(())
}

fn within_total(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for heard in run(bench, &mut session, 3, 30)?.iter().filter(|heard| !heard.is_response()) {
        let (done, total) = (heard.at("/params/done"), heard.at("/params/total"));
        ensure!(
            done.as_u64() <= total.as_u64() && done.is_u64(),
            "done {done} of {total}: {}",
            heard.excerpt()
        );
    }
    Ok(())
}

fn monotonous(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let all = run(bench, &mut session, 24, 100)?;
    let done: Vec<u64> = all.iter().filter_map(|heard| heard.at("/params/done").as_u64()).collect();
    ensure!(done.is_sorted(), "`done` falls: {done:?}");
    Ok(())
}

/// What is said of a task once it is answered.
fn later(session: &mut Session, task_id: &str) -> Verdict<Option<Heard>> {
    // Anything that was on its way has come when a later request is answered.
    session.lives()?;
    session.stray(|heard| {
        heard.message.get("method").is_some() && heard.at("/params/taskId") == task_id
    })
}

fn after_answer(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    run(bench, &mut session, 12, 100)?;
    let late = later(&mut session, "ticks")?;
    ensure!(late.is_none(), "after the answer: {}", late.map(|h| h.excerpt()).unwrap_or_default());
    Ok(())
}

fn after_cancel(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = session.ask("task/run", bench.lasting("gone")?)?;
    session.take(bench.limits.quiet(), |heard| heard.notifies("task/progress"))?;
    session.ask("task/cancel", json!({"taskId": "gone"}))?;
    session.answer(&id, bench.limits.cancelled_at_last())?;
    session.earlier();
    let late = later(&mut session, "gone")?;
    ensure!(late.is_none(), "after the answer: {}", late.map(|h| h.excerpt()).unwrap_or_default());
    Ok(())
}

fn draining(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    session.ask_result("shutdown", json!({"mode": "drain"}))?;
    let status = session.take(bench.limits.answer(), |heard| {
        heard.notifies("processor/status") && heard.at("/params/state") == &Value::from("draining")
    })?;
    ensure_timely!(status.is_some(), "no `processor/status` with `draining`");
    Ok(())
}
