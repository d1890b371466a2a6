// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the processor sends fits the schemas.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use sealpipe_protocol::{Code, schema};
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure},
    session::{Heard, Session},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-130", "results-fit-their-schemas", &[20, 39, 100, 101], results),
    Check::must("P-131", "notifications-fit-their-schemas", &[24, 60, 101], notifications),
    Check::must("P-132", "errors-of-tasks-carry-data", &[90], task_errors),
    Check::must("P-133", "error-codes-are-in-their-ranges", &[95], code_ranges),
    Check::must("P-134", "messages-are-json-rpc", &[3, 12, 14], envelopes),
    Check::must("P-135", "errors-of-initialize-carry-data", &[90], initialize_errors),
    Check::must("P-136", "echo-fails-with-the-class-asked-for", &[90, 91], classes),
];

/// A schema and what checks it, made once.
struct Known {
    schema: Value,
    validator: jsonschema::Validator,
}

fn known(name: &str) -> Verdict<&'static Known> {
    static ALL: OnceLock<Result<BTreeMap<String, Known>, String>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let made = schema::files().into_iter().map(|file| {
            let validator = jsonschema::validator_for(&file.schema).map_err(|e| e.to_string())?;
            let name = file.name.trim_end_matches(".schema.json").to_owned();
            Ok((name, Known { schema: file.schema, validator }))
        });
        made.collect()
    });
    let all = all.as_ref().map_err(|why| Failure::harness("the schemas", why))?;
    all.get(name).ok_or_else(|| Failure::Harness(format!("no schema is called {name}")))
}

/// A schema by the name of its file without the ending.
pub fn schema(name: &str) -> Verdict<&'static Value> {
    known(name).map(|known| &known.schema)
}

/// A validator of it.
pub fn validator(name: &str) -> Verdict<&'static jsonschema::Validator> {
    known(name).map(|known| &known.validator)
}

/// How a value does not fit a schema; empty when it does.
pub fn faults(name: &str, value: &Value) -> Verdict<String> {
    let validator = validator(name)?;
    let mut faults: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{} {error}", error.instance_path()))
        .collect();
    fractions(value, "", &mut faults);
    Ok(faults.join("; "))
}

/// Integers are written without fraction and exponent, which no schema can say: and no
/// message of the protocol has another number. What is the stage's is not looked at.
fn fractions(value: &Value, place: &str, faults: &mut Vec<String>) {
    match value {
        Value::Number(number) if number.is_f64() => {
            faults.push(format!("{place} is written as {number}"));
        }
        Value::Array(items) => items.iter().for_each(|item| fractions(item, place, faults)),
        Value::Object(members) => {
            for (name, member) in members {
                if !matches!(name.as_str(), "output" | "fields" | "capabilities") {
                    fractions(member, &format!("{place}/{name}"), faults);
                }
            }
        }
        _ => {}
    }
}

fn fits(name: &str, value: &Value) -> Verdict {
    let faults = faults(name, value)?;
    ensure!(faults.is_empty(), "does not fit {name}.schema.json: {faults}: {value}");
    Ok(())
}

fn results(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    fits("initialize.result", &session.offer.clone())?;
    let id = session.ask("task/run", bench.brief("shape")?)?;
    let result = session.result(&id, bench.limits.brief_task())?;
    fits("task-run.result", &result)?;
    let stage = bench.stage().replace('_', "-");
    fits(&format!("stage.{stage}.output"), &result["output"])?;
    fits("task-cancel.result", &session.ask_result("task/cancel", json!({"taskId": "shape"}))?)?;
    fits("ping.result", &session.ask_result("ping", json!({}))?)?;
    fits("shutdown.result", &session.ask_result("shutdown", json!({"mode": "drain"}))?)
}

/// What it says in a session with a bit of everything.
fn said(bench: &Bench) -> Verdict<Vec<Heard>> {
    let mut session = bench.session()?;
    let mut task = bench.lasting("said")?;
    if bench.stage() == "echo" {
        task["params"] = json!({"payload": 1, "ticks": 4, "intervalMs": 50});
    }
    let ids = [
        session.ask("task/run", task)?,
        session.ask("no/such", json!({}))?,
        session.ask("task/run", json!({}))?,
        session.ask("ping", json!({}))?,
    ];
    let mut all = Vec::new();
    for id in &ids[1..] {
        all.extend(session.take(bench.limits.answer(), |heard| heard.answers(id))?);
    }
    let wait =
        if bench.stage() == "echo" { bench.limits.brief_task() } else { bench.limits.answer() };
    all.extend(session.take(wait, |heard| heard.answers(&ids[0]))?);
    let id = session.ask("shutdown", json!({"mode": "interrupt"}))?;
    all.extend(session.take(bench.limits.answer(), |heard| heard.answers(&id))?);
    session.subject.close_stdin();
    session.subject.wait_exit(bench.limits.grace_is_over())?;
    all.extend(session.take_all(Duration::ZERO)?);
    Ok(all)
}

fn notifications(bench: &Bench) -> Verdict {
    for heard in said(bench)? {
        let Some(method) = heard.message.get("method").and_then(Value::as_str) else { continue };
        let file = match method {
            "task/progress" => "task-progress.params",
            "processor/status" => "processor-status.params",
            "log/message" => "log-message.params",
            other => {
                return Err(Failure::Broken(format!("{other:?} is no method of 1.0")));
            }
        };
        fits(file, heard.at("/params"))?;
    }
    Ok(())
}

fn envelopes(bench: &Bench) -> Verdict {
    for heard in said(bench)? {
        let message = &heard.message;
        let Some(members) = message.as_object() else { continue };
        ensure!(message["jsonrpc"] == "2.0", "no `jsonrpc`: {}", heard.excerpt());
        if members.contains_key("method") {
            let params = members.get("params");
            ensure!(
                message["method"].is_string() && params.is_none_or(Value::is_object),
                "no notification: {}",
                heard.excerpt()
            );
            continue;
        }
        let (result, error) = (members.get("result"), members.get("error"));
        ensure!(
            members.contains_key("id") && result.is_some() != error.is_some(),
            "no response: {}",
            heard.excerpt()
        );
        if let Some(error) = error {
            ensure!(
                error["code"].is_i64() && error["message"].is_string(),
                "no error of JSON-RPC: {}",
                heard.excerpt()
            );
        }
    }
    Ok(())
}

/// All errors of tasks that can be had without a file.
fn errors(bench: &Bench) -> Verdict<Vec<Heard>> {
    let mut session = bench.session()?;
    let within = bench.limits.brief_task();
    let mut wanted = vec![bench.brief("other-stage")?, bench.brief("major")?, json!({})];
    wanted[0]["stage"] = "no_such".into();
    wanted[1]["schemaVersion"] = "2.0".into();
    if bench.stage() == "echo" {
        for fail in ["temporary", "permanent", "panic"] {
            wanted.push(bench.echo(fail, json!({"payload": 1, "fail": fail}))?);
        }
    }
    let mut all = Vec::new();
    for params in wanted {
        let id = session.ask("task/run", params)?;
        all.push(session.answer(&id, within)?);
    }
    all.push(cancelled(bench, &mut session)?);
    session.ask("shutdown", json!({"mode": "drain"}))?;
    let id = session.ask("task/run", bench.brief("late")?)?;
    all.push(session.answer(&id, within)?);
    Ok(all.into_iter().filter(|heard| heard.code().is_some()).collect())
}

fn cancelled(bench: &Bench, session: &mut Session) -> Verdict<Heard> {
    let id = session.ask("task/run", bench.lasting("cancelled")?)?;
    session.ask("task/cancel", json!({"taskId": "cancelled"}))?;
    session.answer(&id, bench.limits.cancelled_at_last())
}

fn task_errors(bench: &Bench) -> Verdict {
    for heard in errors(bench)? {
        let faults = faults("error.data", heard.at("/error/data"))?;
        ensure!(faults.is_empty(), "no data of an error: {faults}: {}", heard.excerpt());
    }
    Ok(())
}

fn code_ranges(bench: &Bench) -> Verdict {
    for heard in errors(bench)? {
        let code = heard.code().unwrap_or_default();
        let own = i32::try_from(code).ok().and_then(Code::from_number).is_some();
        ensure!(own || code >= 2_000, "{code} belongs to the protocol: {}", heard.excerpt());
    }
    Ok(())
}

fn initialize_errors(bench: &Bench) -> Verdict {
    let mut params = bench.initialize_params();
    params["placement"] = json!({"cpus": "8191"});
    for params in [json!({}), params] {
        let mut session = bench.silent_session()?;
        let id = session.ask("initialize", params)?;
        let heard = session.answer(&id, bench.limits.initialize())?;
        let faults = faults("error.data", heard.at("/error/data"))?;
        ensure!(faults.is_empty(), "no data of an error: {faults}: {}", heard.excerpt());
    }
    Ok(())
}

fn classes(bench: &Bench) -> Verdict {
    let tasks = ["temporary", "permanent"]
        .map(|fail| Ok((fail, bench.echo(fail, json!({"payload": 1, "fail": fail}))?)));
    let mut session = bench.session()?;
    for task in tasks {
        let (class, params) = task?;
        let id = session.ask("task/run", params)?;
        let heard = session.answer(&id, bench.limits.brief_task())?;
        let got = heard.at("/error/data/class");
        ensure!(got == class, "asked to fail as `{class}`, got {}", heard.excerpt());
    }
    Ok(())
}
