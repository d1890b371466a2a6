// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tasks: their names over several tries, and which outcome counts.

use serde_json::{Value, json};

use super::{
    script::{Act, Life},
    site::{Ended, Setting, run, unharmed},
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-070", "keeps-the-name-and-raises-the-attempt", &[50, 92], after_an_error),
    Check::must("W-071", "does-so-after-a-death", &[50, 86], after_a_death),
    Check::must("W-072", "ignores-an-error-after-the-result", &[59, 16], error_after_result),
    Check::must("W-073", "ignores-a-result-after-the-error", &[59, 16], result_after_error),
    Check::must("W-074", "ignores-a-second-result", &[59, 16], second_result),
];

/// An error as a reply.
pub fn error(code: i64, data: Option<Value>) -> Act {
    let mut error = json!({"code": code, "message": "as the suite wants"});
    if let Some(data) = data {
        error["data"] = data;
    }
    Act::Reply(json!({"error": error}))
}

/// Every try has the same name and a higher number.
pub fn attempts_rise(ended: &Ended, tries: usize) -> Verdict {
    let runs = ended.runs();
    ensure!(runs.len() == tries, "{} tries, expected {tries}: {}", runs.len(), ended.how());
    for pair in runs.windows(2) {
        let names = [pair[0].at("/params/taskId"), pair[1].at("/params/taskId")];
        ensure!(names[0] == names[1], "a task is called {} first, then {}", names[0], names[1]);
        let numbers = [pair[0].at("/params/attempt"), pair[1].at("/params/attempt")];
        let rises = numbers[0].as_u64() < numbers[1].as_u64();
        ensure!(rises, "attempt {} comes after {}", numbers[1], numbers[0]);
    }
    Ok(())
}

fn after_an_error(bench: &Bench) -> Verdict {
    let again = vec![error(1003, Some(json!({"class": "temporary"})))];
    let life = Life { runs: vec![again.clone(), again, vec![Act::Answer]], ..Life::default() };
    let ended = run(bench, &Setting::new([life]))?;
    attempts_rise(&ended, 3)?;
    ended.succeeds()
}

fn after_a_death(bench: &Bench) -> Verdict {
    let lives = [Life::run([Act::Die]), Life::default()];
    let ended = run(bench, &Setting::new(lives))?;
    attempts_rise(&ended, 2)?;
    ended.succeeds()
}

fn refusal() -> String {
    let data = json!({"class": "critical"});
    let error = json!({"code": 1010, "message": "too late", "data": data});
    format!("{{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{error}}}")
}

fn error_after_result(bench: &Bench) -> Verdict {
    unharmed(bench, Life::run([Act::Answer, Act::Say(refusal()), Act::Say(refusal())])).map(drop)
}

fn result_after_error(bench: &Bench) -> Verdict {
    let permanent = error(1006, Some(json!({"class": "permanent"})));
    let ended = run(bench, &Setting::new([Life::run([permanent, Act::Answer])]))?;
    attempts_rise(&ended, 1)?;
    ended.fails()
}

fn second_result(bench: &Bench) -> Verdict {
    let other = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"wrong\":true}}";
    unharmed(bench, Life::run([Act::Answer, Act::Answer, Act::Say(other.into())])).map(drop)
}
