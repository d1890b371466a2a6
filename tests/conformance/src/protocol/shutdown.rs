// SPDX-License-Identifier: MIT OR Apache-2.0

//! Shutdown and death: how it ends, with which code, and what is left.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure, ensure_timely},
    proc,
    session::Session,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-115", "answers-shutdown-in-a-second", &[80], answered),
    Check::must("P-116", "refuses-runs-after-shutdown", &[80], no_more_runs),
    Check::must("P-117", "drain-finishes-open-tasks", &[81], drain).long(),
    Check::must("P-118", "interrupt-ends-open-tasks", &[82], interrupt),
    Check::must("P-119", "exits-with-0-after-shutdown", &[83, 86], exit_0),
    Check::must("P-120", "end-of-stdin-cuts-a-drain-short", &[82, 83], drain_cut_short),
    Check::must("P-121", "answers-a-second-shutdown", &[14, 80], second_shutdown),
    Check::must("P-122", "exits-with-1-at-the-end-of-stdin", &[84, 86], idle_eof),
    Check::must("P-123", "stops-within-the-grace-at-the-end-of-stdin", &[84], busy_eof),
    Check::must("P-124", "exits-with-1-at-an-end-before-initialize", &[84], early_eof),
    Check::should("P-125", "takes-sigterm-like-the-end-of-stdin", &[84], sigterm),
    Check::must("P-126", "stays-in-its-process-group", &[85], group),
    Check::must("P-127", "leaves-nothing-running", &[85], nothing_left),
    Check::must("P-128", "leaves-nothing-running-when-killed", &[85], nothing_left_killed),
    Check::must("P-129", "answers-ping-and-cancel-while-it-drains", &[70, 71, 81], while_draining),
];

fn open(bench: &Bench, session: &mut Session, task_id: &str) -> Verdict<Value> {
    let id = session.ask("task/run", bench.lasting(task_id)?)?;
    session.lives()?;
    Ok(id)
}

/// Opens a task, and gives it the time to start processes of its own.
fn open_with_helpers(bench: &Bench, session: &mut Session) -> Verdict {
    open(bench, session, "open")?;
    std::thread::sleep(bench.limits.quiet());
    session.subject.settle(bench.limits.settle());
    Ok(())
}

fn answered(bench: &Bench) -> Verdict {
    for mode in ["drain", "interrupt"] {
        let mut session = bench.session()?;
        open(bench, &mut session, "open")?;
        let id = session.ask("shutdown", json!({"mode": mode}))?;
        let result = session.result(&id, bench.limits.answer())?;
        let open = &result["openTasks"];
        // With `interrupt` it may have ended before it was counted.
        ensure!(
            *open == 1 || (mode == "interrupt" && *open == 0),
            "one task is open, `shutdown` with `{mode}` says {result}"
        );
    }
    Ok(())
}

fn no_more_runs(bench: &Bench) -> Verdict {
    for mode in ["drain", "interrupt"] {
        let mut session = bench.session()?;
        session.ask("shutdown", json!({"mode": mode}))?;
        session.ask_error("task/run", bench.brief("late")?, &[1003])?;
    }
    Ok(())
}

fn drain(bench: &Bench) -> Verdict {
    // Twice as long as the grace, which does not bound it.
    let ticks = u64::try_from(2 * bench.limits.grace().as_millis() / 100).unwrap_or(u64::MAX);
    let params = json!({"payload": "whole", "ticks": ticks, "intervalMs": 100});
    let params = bench.echo("drained", params)?;
    let mut session = bench.session()?;
    let id = session.ask("task/run", params)?;
    session.ask("shutdown", json!({"mode": "drain"}))?;
    session.result(&id, 2 * bench.limits.grace() + bench.limits.brief_task()).map(drop)
}

fn interrupt(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = open(bench, &mut session, "open")?;
    session.ask("shutdown", json!({"mode": "interrupt"}))?;
    session.error(&id, &[1011], bench.limits.grace_is_over()).map(drop)
}

fn exit_0(bench: &Bench) -> Verdict {
    for mode in ["drain", "interrupt"] {
        let mut session = bench.session()?;
        let id = session.ask("shutdown", json!({"mode": mode}))?;
        session.answer(&id, bench.limits.answer())?;
        session.subject.close_stdin();
        session.ends_with(0, bench.limits.exit())?;
    }
    Ok(())
}

fn drain_cut_short(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = open(bench, &mut session, "cut-short")?;
    let shutdown = session.ask("shutdown", json!({"mode": "drain"}))?;
    session.answer(&shutdown, bench.limits.answer())?;
    session.subject.close_stdin();
    session.error(&id, &[1011], bench.limits.grace_is_over())?;
    session.ends_with(0, bench.limits.exit())
}

fn second_shutdown(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open(bench, &mut session, "open")?;
    session.ask_result("shutdown", json!({"mode": "drain"}))?;
    session.ask_result("shutdown", json!({"mode": "drain"}))?;
    session.ask_result("shutdown", json!({"mode": "interrupt"}))?;
    session.subject.close_stdin();
    session.ends_with(0, bench.limits.grace_is_over())
}

fn idle_eof(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    session.subject.close_stdin();
    session.ends_with(1, bench.limits.grace_is_over())
}

fn busy_eof(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open(bench, &mut session, "open")?;
    session.subject.close_stdin();
    session.ends_with(1, bench.limits.grace_is_over())
}

fn early_eof(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    session.subject.close_stdin();
    session.ends_with(1, bench.limits.start_and_exit())
}

fn sigterm(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open(bench, &mut session, "open")?;
    session.subject.signal(Signal::TERM)?;
    session.ends_with(1, bench.limits.grace_is_over())
}

fn group(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open_with_helpers(bench, &mut session)?;
    let own = session.subject.pid();
    for pid in session.subject.processes() {
        let group = proc::group(pid);
        ensure!(
            group.is_none_or(|group| group == own),
            "{pid} is in the process group {group:?}, started in {own}"
        );
    }
    Ok(())
}

/// Waits until nothing of it is there any more.
fn all_gone(bench: &Bench, session: &mut Session) -> Verdict {
    let gone = session.subject.wait_exit(bench.limits.grace_is_over())?;
    ensure_timely!(gone.is_some(), "it has not ended");
    let deadline = Instant::now() + bench.limits.answer();
    loop {
        let left = session.subject.processes();
        if left.is_empty() {
            return Ok(());
        }
        ensure_timely!(Instant::now() < deadline, "still there after its end: {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn nothing_left(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open_with_helpers(bench, &mut session)?;
    session.subject.close_stdin();
    all_gone(bench, &mut session)?;
    let mut session = bench.session()?;
    open_with_helpers(bench, &mut session)?;
    let id = session.ask("shutdown", json!({"mode": "interrupt"}))?;
    session.answer(&id, bench.limits.answer())?;
    session.subject.close_stdin();
    all_gone(bench, &mut session)
}

fn nothing_left_killed(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    open_with_helpers(bench, &mut session)?;
    session.subject.signal(Signal::KILL)?;
    all_gone(bench, &mut session)
}

fn while_draining(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = open(bench, &mut session, "open")?;
    session.ask("shutdown", json!({"mode": "drain"}))?;
    let open = session.ask_result("ping", json!({}))?;
    ensure!(open["openTasks"] == 1, "one task is open, it says {open}");
    let result = session.ask_result("task/cancel", json!({"taskId": "open"}))?;
    ensure!(result["open"] == true, "expected `open` to be true, got {result}");
    session.error(&id, &[-32800], bench.limits.cancelled_at_last()).map(drop)
}
