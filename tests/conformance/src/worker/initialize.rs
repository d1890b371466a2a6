// SPDX-License-Identifier: MIT OR Apache-2.0

//! Versions, the first words, and what was offered there.

use serde_json::{Value, json};

use super::{
    envelope::answered_in_order,
    ordinary,
    record::Seen,
    script::{Act, Life},
    site::{Run, Setting, refused, run, side_by_side, unharmed},
    transport::log,
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-040", "speaks-no-version-it-has-not-offered", &[21], another_version),
    Check::must("W-041", "gives-up-where-no-version-is-common", &[22, 92], no_version),
    Check::must("W-042", "takes-unknown-words", &[24], unknown_words),
    Check::must("W-043", "sends-no-other-major-of-a-stage", &[25], another_major),
    Check::must("W-044", "takes-a-newer-minor-of-a-stage", &[25], newer_minor),
    Check::must("W-050", "says-nothing-before-the-answer", &[30, 39], waits_for_the_answer),
    Check::must("W-051", "ends-what-does-not-answer-initialize", &[31, 85], no_answer),
    Check::must("W-052", "waits-as-long-as-configured", &[31], late_answer),
    Check::must("W-053", "refuses-what-lacks-its-stage", &[39], lacks_the_stage),
    Check::must("W-054", "ignores-unknown-stages", &[39], unknown_stages),
    Check::must("W-055", "keeps-to-the-offered-concurrency", &[39], offered_concurrency),
    Check::must("W-056", "keeps-to-the-entrys-concurrency", &[39], own_concurrency),
    Check::must("W-057", "takes-a-refusal-for-an-answer", &[35, 92], refusals),
];

fn another_version(bench: &Bench) -> Verdict {
    side_by_side(&["9.0", "1.65535", "0.1"], |version| {
        let life = Life::initialize([Act::Patch(json!({"protocolVersion": version}))]);
        let ended = refused(bench, &Setting::new([life])).map(drop);
        ended.map_err(|failure| failure.within(&format!("the version {version}")))
    })
}

fn refusal(code: i64, data: Value) -> Act {
    let error = json!({"code": code, "message": "refused by the suite", "data": data});
    Act::Reply(json!({"error": error}))
}

fn no_version(bench: &Bench) -> Verdict {
    let data = json!({"class": "permanent", "supported": ["7.0"]});
    // It takes its time to end, so that a task that is sent all the same is seen.
    let wait = Act::AwaitRuns { runs: 1, within: 5_000 };
    let life = Life::initialize([refusal(1001, data), wait, Act::Exit(Some(3))]);
    let ended = refused(bench, &Setting::new([life]))?;
    let tries = ended.lives.len();
    ensure!(tries == 1, "starts what has refused for good {tries} times");
    Ok(())
}

fn unknown_words(bench: &Bench) -> Verdict {
    let status =
        "{\"jsonrpc\":\"2.0\",\"method\":\"processor/status\",\"params\":{\"state\":\"dozing\"}}";
    let loud = log("loud").replace("debug", "shout");
    let patch = json!({
        "placement": {"memoryPolicy": "woven"},
        "stages": [{
            "stage": bench.stage(), "schemaVersion": "1.0", "maxConcurrent": 1, "device": "abacus",
        }],
    });
    let life = Life {
        initialize: vec![Act::Patch(patch), Act::Say(status.into())],
        runs: vec![vec![Act::Say(loud), Act::Say(status.into()), Act::Answer]],
        ..Life::default()
    };
    unharmed(bench, life).map(drop)
}

fn offer(bench: &Bench, version: &str, most: u64) -> Act {
    let stage = bench.stage();
    Act::Patch(json!({
        "stages": [{"stage": stage, "schemaVersion": version, "maxConcurrent": most}],
    }))
}

fn another_major(bench: &Bench) -> Verdict {
    refused(bench, &Setting::new([Life::initialize([offer(bench, "2.0", 1)])])).map(drop)
}

fn newer_minor(bench: &Bench) -> Verdict {
    let ended = unharmed(bench, Life::initialize([offer(bench, "1.9", 1)]))?;
    for run in ended.runs() {
        let version = run.at("/params/schemaVersion");
        let major = version.as_str().and_then(|text| text.split_once('.')).map(|(major, _)| major);
        ensure!(major == Some("1"), "sends parameters of version {version} where 1.9 is read");
    }
    Ok(())
}

fn waits_for_the_answer(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let answered = life.marked("answers");
    let mut later = life.lines().into_iter().skip(1);
    let early = later.find(|said| answered.is_none_or(|at| said.ms < at));
    ensure!(early.is_none(), "says {} too early", early.map_or(String::new(), |said| said.text));
    Ok(())
}

fn no_answer(bench: &Bench) -> Verdict {
    let life = Life::initialize([Act::Sleep(600_000)]).stubborn();
    let setting = Setting { stable_wait: Some(bench.limits.silent()), ..Setting::new([life]) };
    let mut run = Run::start(bench, &setting)?;
    let began = |lives: &[Seen]| lives.first().filter(|l| !l.lines().is_empty()).map(drop);
    run.expect("speaks to its processor", bench.limits.soon(), began)?;
    let gone = |lives: &[Seen]| lives.first().filter(|life| life.alive().is_empty()).map(drop);
    let within = bench.limits.silent() + bench.limits.soon();
    run.expect("ends a process that does not answer `initialize`", within, gone)?;
    let ended = run.end()?;
    ensure!(ended.runs().is_empty(), "gives it a task");
    ended.fails()
}

fn late_answer(bench: &Bench) -> Verdict {
    // Longer than what is right unless configured otherwise.
    let late = Life::initialize([Act::Sleep(7_000), Act::Answer]);
    let setting = Setting { stable_wait: Some(bench.limits.start()), ..Setting::new([late]) };
    run(bench, &setting)?.is_unharmed(1)
}

fn lacks_the_stage(bench: &Bench) -> Verdict {
    let stages = json!([{"stage": "no_such", "schemaVersion": "1.0", "maxConcurrent": 1}]);
    let life = Life::initialize([Act::Patch(json!({"stages": stages}))]);
    refused(bench, &Setting::new([life])).map(drop)
}

fn unknown_stages(bench: &Bench) -> Verdict {
    let stage = |name: &str, version: &str| json!({"stage": name, "schemaVersion": version, "maxConcurrent": 1});
    let stages = [stage("no_such", "3.0"), stage(bench.stage(), "1.0"), stage("later", "1.0")];
    unharmed(bench, Life::initialize([Act::Patch(json!({"stages": stages}))])).map(drop)
}

/// How many runs are open at a time, at most.
fn most_open(life: &Seen) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for event in &life.events {
        match event.event.as_str() {
            "run" => open += 1,
            "answered" => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// All tasks are done, and never more than so many at a time.
fn never_more(bench: &Bench, offered: u64, concurrent: Option<usize>, most: usize) -> Verdict {
    let life = Life {
        initialize: vec![offer(bench, "1.0", offered)],
        // Long enough for a worker to send what it means to send.
        runs: answered_in_order(4, Act::AwaitRuns { runs: most + 1, within: 600 }),
        ..Life::default()
    };
    let ended = run(bench, &Setting { tasks: 4, concurrent, ..Setting::new([life]) })?;
    let seen = ended.lives.iter().map(most_open).max().unwrap_or(0);
    ensure!(seen <= most, "{seen} tasks are open at a time, {most} are allowed");
    ended.is_unharmed(4)
}

fn offered_concurrency(bench: &Bench) -> Verdict {
    never_more(bench, 2, Some(3), 2)
}

fn own_concurrency(bench: &Bench) -> Verdict {
    never_more(bench, 3, Some(2), 2)
}

fn refusals(bench: &Bench) -> Verdict {
    // It does not end by itself: the worker has to see to that.
    let life = Life::initialize([refusal(1004, json!({"class": "permanent"}))]).stubborn();
    let mut run = Run::start(bench, &Setting::new([life]))?;
    run.wait_end()?;
    let left = run.left_over(bench.limits.soon());
    ensure!(left.is_empty(), "leaves a process that has refused `initialize`");
    let ended = run.end()?;
    ensure!(ended.runs().is_empty(), "gives a task to a processor that has refused `initialize`");
    let tries = ended.lives.len();
    ensure!(tries == 1, "starts what has refused for good {tries} times");
    ended.fails()
}
