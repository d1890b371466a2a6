// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tasks: names, attempts, how many, and parameters that do not fit.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::mutation::{self, Mutation};
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure, skip},
    session::Session,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-070", "echo-gives-its-payload-back", &[14], payload),
    Check::must("P-071", "does-not-interpret-task-ids", &[50], task_ids),
    Check::must("P-072", "takes-attempts-up-to-the-last", &[50], attempts),
    Check::must("P-073", "refuses-an-old-attempt", &[51], old_attempt),
    Check::must("P-074", "refuses-an-attempt-that-is-open", &[51], open_attempt),
    Check::should("P-075", "remembers-10000-tasks", &[51], remembers).heavy(),
    Check::must("P-076", "runs-max-concurrent-tasks-and-no-more", &[52], one_more),
    Check::must("P-077", "has-no-hidden-queue", &[52], no_queue),
    Check::must("P-078", "takes-a-run-right-after-initialize", &[53], at_once),
    Check::must("P-079", "refuses-unknown-stages", &[54], unknown_stage),
    Check::must("P-080", "refuses-stages-that-it-does-not-offer", &[54], not_offered),
    Check::must("P-081", "refuses-wrong-types-in-task-run", &[24, 50, 54], wrong_run),
    Check::must("P-082", "refuses-wrong-types-in-stage-params", &[24, 54, 101], wrong_stage_params),
    Check::must("P-083", "refuses-wrong-types-in-cancel-and-shutdown", &[24, 50], wrong_others),
    Check::must("P-084", "starts-again-after-a-kill", &[56], second_start),
    Check::must("P-085", "answers-out-of-order", &[10, 14, 52], out_of_order),
    Check::must("P-086", "two-attempts-are-two-runs", &[51, 52], two_attempts),
    Check::must("P-087", "takes-a-finished-attempt-again", &[51, 58], again),
    Check::must("P-088", "refuses-arrays-for-objects-in-stage-params", &[13, 54], positional),
];

/// Parameters that were taken and do not fit, of which so many are shown.
const MOST_SHOWN: usize = 4;

/// Most tasks that are opened to see where the limit is.
const MOST_TASKS: usize = 512;

fn payload(bench: &Bench) -> Verdict {
    let payloads = [
        json!(null),
        json!(true),
        json!(-7),
        json!(sealpipe_protocol::MAX_INTEGER),
        json!(1.5),
        json!(""),
        json!("é–𝄞 \u{0} \" \\ \u{2028} \r\n"),
        json!([1, [2, [3, {}]], null]),
        json!({"": {"a": [], "method": "ping", "id": 1}}),
        json!("x".repeat(100_000)),
    ];
    let mut session = bench.session()?;
    for (number, payload) in payloads.into_iter().enumerate() {
        let params = bench.echo(&format!("payload-{number}"), json!({"payload": payload}))?;
        let id = session.ask("task/run", params)?;
        let result = session.result(&id, bench.limits.brief_task())?;
        let got = result["output"].get("payload");
        let shown = crate::session::excerpt(result.to_string().as_bytes());
        ensure!(got == Some(&payload), "another payload came back: {shown}");
    }
    Ok(())
}

fn task_ids(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for task_id in [
        "a",
        "../../etc/passwd",
        "/",
        "a b\tc\n",
        "\u{0}",
        "%s%n {} $HOME ;'\"\\",
        "é–𝄞",
        "1",
        "null",
        &"é".repeat(128),
    ] {
        let id = session.ask("task/run", bench.brief(task_id)?)?;
        let result = session.result(&id, bench.limits.brief_task());
        result.map_err(|failure| failure.within(&format!("the task {task_id:?}")))?;
    }
    Ok(())
}

fn attempt(mut params: Value, attempt: u64) -> Value {
    params["attempt"] = attempt.into();
    params
}

fn attempts(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for number in [1, 2, 65_536, u64::from(u32::MAX)] {
        let id = session.ask("task/run", attempt(bench.brief("attempts")?, number))?;
        let result = session.result(&id, bench.limits.brief_task());
        result.map_err(|failure| failure.within(&format!("the attempt {number}")))?;
    }
    Ok(())
}

fn old_attempt(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = session.ask("task/run", attempt(bench.brief("old")?, 7))?;
    session.result(&id, bench.limits.brief_task())?;
    session.ask_error("task/run", attempt(bench.brief("old")?, 6), &[1006])?;
    session.ask_error("task/run", attempt(bench.brief("old")?, 1), &[1006])?;
    let id = session.ask("task/run", attempt(bench.brief("old")?, 8))?;
    session.result(&id, bench.limits.brief_task())?;
    // Another task's attempts are its own.
    let id = session.ask("task/run", attempt(bench.brief("other")?, 1))?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}

fn open_attempt(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let params = attempt(bench.lasting("open")?, 3);
    session.ask("task/run", params.clone())?;
    // Where one task is all that runs, both reasons to refuse it are true.
    let codes: &[i64] =
        if session.max_concurrent(bench.stage())? == 1 { &[1006, 1003] } else { &[1006] };
    session.ask_error("task/run", params, codes)?;
    if session.max_concurrent(bench.stage())? > 1 {
        session.ask_error("task/run", attempt(bench.lasting("open")?, 2), &[1006])?;
    }
    Ok(())
}

fn remembers(bench: &Bench) -> Verdict {
    const TASKS: usize = 10_000;
    const AT_A_TIME: usize = 200;
    if bench.stage() != "echo" {
        skip!("needs the stage `echo`");
    }
    let mut session = bench.session()?;
    let most = session.max_concurrent(bench.stage())?.div_ceil(2).min(AT_A_TIME);
    let mut number = 0;
    while number < TASKS {
        let chunk = number..(number + most).min(TASKS);
        number = chunk.end;
        let mut lines = String::new();
        let mut ids = Vec::new();
        for task in chunk {
            let id = session.fresh_id();
            ids.push(Value::from(id));
            let params = attempt(bench.brief(&format!("task-{task}"))?, 2);
            let run = json!({"jsonrpc": "2.0", "id": id, "method": "task/run", "params": params});
            lines.push_str(&format!("{run}\n"));
        }
        session.say_bytes(lines.as_bytes())?;
        for id in ids {
            session.result(&id, bench.limits.brief_task())?;
        }
    }
    for task in [0, 1, TASKS / 2, TASKS - 1] {
        let params = attempt(bench.brief(&format!("task-{task}"))?, 1);
        session.ask_error("task/run", params, &[1006])?;
    }
    Ok(())
}

/// Opens as many tasks as it takes; their ids.
fn fill(bench: &Bench, session: &mut Session) -> Verdict<Vec<Value>> {
    let most = session.max_concurrent(bench.stage())?;
    if most > MOST_TASKS {
        skip!("it runs {most} tasks at a time, and no more than {MOST_TASKS} are tried");
    }
    let runs = (0..most).map(|number| {
        let params = bench.lasting(&format!("full-{number}"))?;
        session.ask("task/run", params)
    });
    let runs: Vec<Value> = runs.collect::<Verdict<_>>()?;
    let early = session.stray(|heard| heard.is_response())?;
    if let Some(early) = early {
        return Err(Failure::Broken(format!(
            "of {most} tasks that it takes at a time one ended: {}",
            early.excerpt()
        )));
    }
    Ok(runs)
}

fn one_more(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    fill(bench, &mut session)?;
    session.ask_error("task/run", bench.brief("one-more")?, &[1003])?;
    session.ask_error("task/run", bench.lasting("two-more")?, &[1003]).map(drop)
}

fn no_queue(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let runs = fill(bench, &mut session)?;
    session.ask_error("task/run", bench.brief("refused")?, &[1003])?;
    session.ask("task/cancel", json!({"taskId": "full-0"}))?;
    session.answer(&runs[0], bench.limits.cancelled_at_last())?;
    // Now there is room, and what was refused does not come back.
    let id = session.ask("task/run", bench.brief("fits")?)?;
    session.result(&id, bench.limits.brief_task())?;
    let late = session.stray(|heard| heard.at("/params/taskId") == "refused")?;
    ensure!(late.is_none(), "a refused run has begun");
    Ok(())
}

fn at_once(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let ask = |id: u64, method: &str, params: Value| {
        format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    };
    let both = ask(1, "initialize", bench.initialize_params())
        + &ask(2, "task/run", bench.brief("at-once")?);
    session.say_bytes(both.as_bytes())?;
    session.result(&1.into(), bench.limits.initialize())?;
    session.result(&2.into(), bench.limits.brief_task()).map(drop)
}

fn unknown_stage(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for (number, stage) in ["no_such", "", "ECHO", "pc99"].into_iter().enumerate() {
        let mut params = bench.brief(&format!("stage-{number}"))?;
        params["stage"] = stage.into();
        session.ask_error("task/run", params, &[1002])?;
    }
    Ok(())
}

fn not_offered(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let stages = session.offer["stages"].as_array().cloned().unwrap_or_default();
    let missing = sealpipe_protocol::Stage::ALL
        .iter()
        .find(|stage| !stages.iter().any(|offer| offer["stage"] == stage.name()));
    let Some(missing) = missing else { skip!("it offers all stages of 1.0") };
    let mut params = bench.brief("not-offered")?;
    params["stage"] = missing.name().into();
    session.ask_error("task/run", params, &[1002]).map(drop)
}

/// Each of these is answered with -32602.
fn all_refused(
    session: &mut Session,
    method: &str,
    mutations: impl IntoIterator<Item = (String, Value)>,
) -> Verdict {
    let mut taken = Vec::new();
    for (what, params) in mutations {
        let refused = session.ask_error(method, params, &[-32602]);
        match refused.map_err(|failure| failure.within(&what)) {
            Ok(_) => {}
            Err(Failure::Broken(text)) if taken.len() < MOST_SHOWN => taken.push(text),
            Err(failure) => return Err(failure),
        }
    }
    ensure!(taken.is_empty(), "{}", taken.join("; "));
    session.lives_and_is_quiet()
}

fn wrong_run(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let mutations = mutation::all("task-run.params", &bench.brief("wrong")?)?;
    ensure!(mutations.len() > 30, "the schema of `task/run` yields {}", mutations.len());
    let mutations = mutations.into_iter().map(|mutation| (mutation.what, mutation.value));
    all_refused(&mut session, "task/run", mutations)
}

fn wrong_stage_params(bench: &Bench) -> Verdict {
    stage_params_refused(bench, mutation::all)
}

fn positional(bench: &Bench) -> Verdict {
    stage_params_refused(bench, mutation::positional)
}

/// Whatever becomes of the stage's parameters, it is refused.
fn stage_params_refused(
    bench: &Bench,
    mutate: fn(&str, &Value) -> Verdict<Vec<Mutation>>,
) -> Verdict {
    let mut session = bench.session()?;
    let valid = bench.brief("wrong-params")?;
    let file = format!("stage.{}.params", bench.stage().replace('_', "-"));
    let mutations = mutate(&file, &valid["params"])?;
    ensure!(!mutations.is_empty(), "the schema {file} yields nothing");
    let mutations = mutations.into_iter().map(|mutation| {
        let mut params = valid.clone();
        params["params"] = mutation.value;
        (format!("params{}", mutation.what), params)
    });
    all_refused(&mut session, "task/run", mutations)
}

fn wrong_others(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for (method, file, valid) in [
        ("task/cancel", "task-cancel.params", json!({"taskId": "nobody"})),
        ("shutdown", "shutdown.params", json!({"mode": "drain"})),
    ] {
        let mutations = mutation::all(file, &valid)?;
        ensure!(mutations.len() > 8, "the schema of `{method}` yields {}", mutations.len());
        let mutations = mutations.into_iter().map(|mutation| (mutation.what, mutation.value));
        all_refused(&mut session, method, mutations)?;
    }
    Ok(())
}

fn second_start(bench: &Bench) -> Verdict {
    let params = bench.lasting("killed")?;
    for number in 1..=2 {
        let mut session = bench.session()?;
        session.ask("task/run", attempt(params.clone(), number))?;
        session.lives()?;
        session.subject.signal(Signal::KILL)?;
        let gone = session.subject.wait_exit(bench.limits.exit())?;
        ensure!(gone.is_some(), "SIGKILL has not ended it");
    }
    let mut session = bench.session()?;
    let id = session.ask("task/run", attempt(params, 3))?;
    session.lives()?;
    let refused = session.stray(|heard| heard.answers(&id))?;
    let shown = refused.map(|heard| heard.excerpt()).unwrap_or_default();
    ensure!(shown.is_empty(), "the next process does not run it: {shown}");
    session.ask("task/cancel", json!({"taskId": "killed"}))?;
    session.answer(&id, bench.limits.cancelled_at_last()).map(drop)
}

fn out_of_order(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    if session.max_concurrent(bench.stage())? < 2 {
        skip!("it runs one task at a time");
    }
    let slow = session.ask("task/run", bench.lasting("slow")?)?;
    let quick = session.ask("task/run", bench.brief("quick")?)?;
    session.result(&quick, bench.limits.brief_task())?;
    let early = session.stray(|heard| heard.answers(&slow))?;
    ensure!(early.is_none(), "the task that lasts has ended");
    Ok(())
}

fn two_attempts(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    if session.max_concurrent(bench.stage())? < 2 || bench.stage() != "echo" {
        skip!("needs the stage `echo`, two tasks at a time");
    }
    let first = session.ask("task/run", attempt(bench.lasting("both")?, 1))?;
    let second = session.ask("task/run", attempt(bench.brief("both")?, 2))?;
    session.result(&second, bench.limits.brief_task())?;
    let early = session.stray(|heard| heard.answers(&first))?;
    ensure!(early.is_none(), "the second attempt has ended the first");
    Ok(())
}

fn again(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for payload in ["one", "two"] {
        let params = bench.echo("again", json!({"payload": payload}))?;
        let id = session.ask("task/run", params)?;
        let result = session.result(&id, bench.limits.brief_task())?;
        let got = &result["output"]["payload"];
        ensure!(got == payload, "expected {payload:?}, got {got}: an answer from memory");
    }
    Ok(())
}
