// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ping and cancel: answered in a second, whatever else runs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure, ensure_timely, skip},
    session::{Session, seconds},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-100", "answers-ping-in-a-second", &[70], ping),
    Check::must("P-101", "answers-ping-under-full-load", &[10, 70], ping_loaded),
    Check::must("P-102", "counts-its-open-tasks", &[70], open_tasks),
    Check::must("P-103", "cancel-is-answered-in-a-second", &[71], cancel),
    Check::must("P-104", "a-cancelled-run-ends-as-cancelled", &[72], cancelled),
    Check::should("P-105", "a-cancelled-run-ends-in-ten-seconds", &[72], cancelled_soon),
    Check::must("P-106", "cancel-of-an-unknown-task-is-no-error", &[71], cancel_unknown),
    Check::must("P-107", "cancel-of-a-finished-task-is-no-error", &[71], cancel_finished),
    Check::must("P-108", "cancel-has-no-effect-on-a-later-run", &[71], cancel_before),
    Check::must("P-109", "cancel-twice-is-cancel", &[14, 71, 72], cancel_twice),
    Check::must("P-110", "cancel-means-the-newest-attempt", &[71], cancel_newest),
    Check::must("P-111", "cancel-in-the-same-write-as-its-run", &[71, 72], cancel_at_once),
    Check::must("P-112", "cancel-leaves-other-tasks-alone", &[71], cancel_one),
    Check::must("P-113", "a-cancelled-task-can-run-again", &[71, 74], run_again),
];

fn ping(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for _ in 0..10 {
        session.ask_result("ping", json!({}))?;
    }
    Ok(())
}

/// Opens as many tasks as it takes, but no more than a few dozen; how many.
fn load(bench: &Bench, session: &mut Session) -> Verdict<usize> {
    let most = session.max_concurrent(bench.stage())?.min(64);
    for number in 0..most {
        session.ask("task/run", bench.lasting(&format!("load-{number}"))?)?;
    }
    Ok(most)
}

fn ping_loaded(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    load(bench, &mut session)?;
    for _ in 0..10 {
        session.ask_result("ping", json!({}))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn open_tasks(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let expect = |session: &mut Session, expected: usize| -> Verdict {
        let open = session.ask_result("ping", json!({}))?;
        ensure!(open["openTasks"] == expected, "{expected} tasks are open, it says {open}");
        Ok(())
    };
    expect(&mut session, 0)?;
    let most = load(bench, &mut session)?;
    expect(&mut session, most)?;
    let id = session.ask("task/run", bench.brief("one-more")?)?;
    session.answer(&id, bench.limits.brief_task())?;
    expect(&mut session, most)
}

/// Opens a task that lasts; the id of the request.
fn open(bench: &Bench, session: &mut Session, task_id: &str, attempt: u64) -> Verdict<Value> {
    let mut params = bench.lasting(task_id)?;
    params["attempt"] = attempt.into();
    session.ask("task/run", params)
}

/// Cancels, and expects to be told whether it was open.
fn cancel_is(session: &mut Session, task_id: &str, open: bool) -> Verdict {
    let result = session.ask_result("task/cancel", json!({"taskId": task_id}))?;
    ensure!(result["open"] == open, "expected `open` to be {open}, got {result}");
    Ok(())
}

fn cancel(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open(bench, &mut session, "c", 1)?;
    cancel_is(&mut session, "c", true)
}

fn cancelled(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = open(bench, &mut session, "c", 1)?;
    session.lives()?;
    session.ask("task/cancel", json!({"taskId": "c"}))?;
    session.error(&id, &[-32800], bench.limits.cancelled_at_last()).map(drop)
}

fn cancelled_soon(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = open(bench, &mut session, "c", 1)?;
    session.lives()?;
    session.ask("task/cancel", json!({"taskId": "c"}))?;
    let within = bench.limits.cancelled();
    let end = session.take(within, |heard| heard.answers(&id))?;
    ensure_timely!(end.is_some(), "the cancelled run is still open after {}", seconds(within));
    Ok(())
}

fn cancel_unknown(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    cancel_is(&mut session, "nobody", false)?;
    cancel_is(&mut session, "nobody", false)
}

fn cancel_finished(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = session.ask("task/run", bench.brief("done")?)?;
    session.result(&id, bench.limits.brief_task())?;
    cancel_is(&mut session, "done", false)?;
    session.is_quiet()
}

fn cancel_before(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    session.ask("task/cancel", json!({"taskId": "later"}))?;
    let id = session.ask("task/run", bench.brief("later")?)?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}

fn cancel_twice(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let run = open(bench, &mut session, "c", 1)?;
    let first = session.ask("task/cancel", json!({"taskId": "c"}))?;
    let second = session.ask("task/cancel", json!({"taskId": "c"}))?;
    session.result(&first, bench.limits.answer())?;
    session.result(&second, bench.limits.answer())?;
    session.error(&run, &[-32800], bench.limits.cancelled_at_last())?;
    cancel_is(&mut session, "c", false)?;
    session.is_quiet()
}

fn cancel_newest(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    if session.max_concurrent(bench.stage())? < 2 || bench.stage() != "echo" {
        skip!("needs the stage `echo`, two tasks at a time");
    }
    let older = open(bench, &mut session, "c", 1)?;
    let newer = open(bench, &mut session, "c", 2)?;
    cancel_is(&mut session, "c", true)?;
    session.error(&newer, &[-32800], bench.limits.cancelled_at_last())?;
    let early = session.stray(|heard| heard.answers(&older))?;
    ensure!(early.is_none(), "the older attempt has ended as well");
    Ok(())
}

fn cancel_at_once(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let run = json!({
        "jsonrpc": "2.0", "id": 901, "method": "task/run", "params": bench.lasting("c")?
    });
    let cancel = json!({
        "jsonrpc": "2.0", "id": 902, "method": "task/cancel", "params": {"taskId": "c"}
    });
    session.say_bytes(format!("{run}\n{cancel}\n").as_bytes())?;
    let result = session.result(&902.into(), bench.limits.answer())?;
    ensure!(result["open"] == true, "the run before it in the same write is not open: {result}");
    session.error(&901.into(), &[-32800], bench.limits.cancelled_at_last()).map(drop)
}

fn cancel_one(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    if session.max_concurrent(bench.stage())? < 2 {
        skip!("it runs one task at a time");
    }
    let other = open(bench, &mut session, "other", 1)?;
    let id = open(bench, &mut session, "c", 1)?;
    session.ask("task/cancel", json!({"taskId": "c"}))?;
    session.answer(&id, bench.limits.cancelled_at_last())?;
    let early = session.stray(|heard| heard.answers(&other))?;
    ensure!(early.is_none(), "another task has ended as well");
    Ok(())
}

fn run_again(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for attempt in 1..=3 {
        let id = open(bench, &mut session, "c", attempt)?;
        session.ask("task/cancel", json!({"taskId": "c"}))?;
        session.error(&id, &[-32800], bench.limits.cancelled_at_last())?;
    }
    let mut params = bench.brief("c")?;
    params["attempt"] = 4.into();
    let id = session.ask("task/run", params)?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}
