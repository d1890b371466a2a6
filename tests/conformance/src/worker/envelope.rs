// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is a message, what belongs to what, and what does no harm.

use serde_json::{Value, json};

use super::{
    record::{Said, Seen},
    script::{Act, Life},
    site::{Ended, Run, Setting, run, side_by_side, unharmed},
    transport::{log, result},
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure},
    protocol,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-020", "ids-and-names-are-distinct", &[12, 50], distinct),
    Check::must("W-021", "answers-unknown-requests", &[12, 14, 15], unknown_requests),
    Check::must("W-022", "ignores-unknown-notifications", &[15], unknown_notifications),
    Check::must("W-023", "ignores-unknown-members", &[13, 23], unknown_members),
    Check::must("W-024", "takes-null-for-absent", &[13], nulls),
    Check::must("W-025", "ignores-answers-to-nobody", &[12, 16], nobody),
    Check::must("W-026", "does-not-answer-rubbish", &[7], rubbish),
    Check::should("W-027", "ends-what-prints-rubbish", &[7], much_rubbish),
    Check::should("W-028", "ends-what-greets-with-rubbish", &[7], rubbish_at_first),
    Check::must("W-029", "takes-answers-in-any-order", &[14], any_order),
    Check::must("W-030", "takes-no-answer-of-another-shape", &[13, 100], other_shapes),
    Check::must("W-031", "requests-fit-their-schemas", &[13, 21, 50, 100, 101], schemas),
    Check::must("W-032", "paths-and-pieces-are-right", &[103, 104, 105], values),
    Check::must("W-033", "makes-the-directories", &[113], directories),
];

/// A run of several tasks, all of them open at a time if the worker likes.
fn several(bench: &Bench, tasks: usize, life: Life) -> Verdict<Ended> {
    let setting = Setting { tasks, ..Setting::new([life]) };
    let ended = run(bench, &setting)?;
    ended.is_unharmed(tasks)?;
    Ok(ended)
}

/// Runs that do something first, and are then answered in the order in which they came.
pub fn answered_in_order(runs: usize, first: Act) -> Vec<Vec<Act>> {
    let before = |nth| Act::AwaitAnswered { runs: nth, within: 5_000 };
    (0..runs).map(|nth| vec![first.clone(), before(nth), Act::Answer]).collect()
}

/// Milliseconds for a worker to open what it wants to open.
fn to_open(bench: &Bench) -> u64 {
    u64::try_from((bench.limits.quiet() * 4).as_millis()).unwrap_or(u64::MAX)
}

fn distinct(bench: &Bench) -> Verdict {
    let runs = answered_in_order(3, Act::AwaitRuns { runs: 3, within: to_open(bench) });
    let ended = several(bench, 3, Life { runs, ..Life::default() })?;
    let requests: Vec<Said> = ended.lives.iter().flat_map(Seen::lines).collect();
    let ids: Vec<&Value> = requests.iter().filter_map(|said| said.message.get("id")).collect();
    for id in &ids {
        let integer = id.as_u64().is_some_and(|id| id <= sealpipe_protocol::MAX_INTEGER);
        ensure!(id.is_string() || integer, "an id {id}");
    }
    // All runs are open at a time; ids of what is answered may be used again.
    let runs = ended.runs();
    for (index, one) in runs.iter().enumerate() {
        for other in &runs[..index] {
            ensure!(
                one.at("/id") != other.at("/id"),
                "two open runs have the id {}",
                one.at("/id")
            );
            let names = [one.at("/params/taskId"), other.at("/params/taskId")];
            ensure!(names[0] != names[1], "two tasks are called {}", names[0]);
        }
    }
    Ok(())
}

fn unknown_requests(bench: &Bench) -> Verdict {
    let ask =
        |id: &str| Act::Say(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"no/such\"}}"));
    let life = Life {
        initialize: vec![Act::Answer, ask("7"), ask("\"seven\"")],
        // Known as a notification, which a request is not.
        runs: vec![vec![
            Act::Say(log("asked").replace("\"method\"", "\"id\":9007199254740991,\"method\"")),
            Act::AwaitLine("9007199254740991".into(), to_open(bench) * 20),
            Act::Answer,
        ]],
        ..Life::default()
    };
    let ended = unharmed(bench, life)?;
    let responses: Vec<Said> = ended.lives.iter().flat_map(Seen::responses).collect();
    for id in [json!(7), json!("seven"), json!(9_007_199_254_740_991_u64)] {
        let answers: Vec<_> = responses.iter().filter(|said| *said.at("/id") == id).collect();
        ensure!(answers.len() == 1, "{} answers to an unknown request {id}", answers.len());
        let code = answers[0].at("/error/code");
        ensure!(*code == -32601, "answers an unknown request with {}", answers[0].text);
    }
    Ok(())
}

fn quiet_lines(bench: &Bench, life: Life) -> Verdict {
    let ended = unharmed(bench, life)?;
    let answer = ended.lives.iter().flat_map(Seen::responses).next();
    ensure!(answer.is_none(), "answers: {}", answer.map_or(String::new(), |said| said.text));
    Ok(())
}

fn unknown_notifications(bench: &Bench) -> Verdict {
    let tell =
        || Act::Say("{\"jsonrpc\":\"2.0\",\"method\":\"no/such\",\"params\":{\"a\":1}}".into());
    let life = Life {
        initialize: vec![tell(), Act::Answer, tell()],
        runs: vec![vec![tell(), Act::Answer, tell()]],
        ..Life::default()
    };
    quiet_lines(bench, life)
}

fn unknown_members(bench: &Bench) -> Verdict {
    let later = json!({"deep": [1, {"null": null}]});
    let patch = json!({
        "later": later, "limits": {"later": later}, "placement": {"later": later},
        "processor": {"later": later}, "capabilities": {"no.such": later},
        "stages": [
            {"stage": bench.stage(), "schemaVersion": "1.0", "maxConcurrent": 2, "later": later},
            {"stage": "no_such", "schemaVersion": "7.3", "maxConcurrent": 1, "later": later},
        ],
    });
    let status = json!({
        "jsonrpc": "2.0", "later": later, "method": "processor/status",
        "params": {"state": "ready", "later": later},
    });
    let log = json!({
        "jsonrpc": "2.0", "later": later, "method": "log/message",
        "params": {"level": "info", "message": "later", "fields": later, "later": later},
    });
    let life = Life {
        initialize: vec![Act::Patch(patch), Act::Say(status.to_string())],
        runs: vec![vec![Act::Say(log.to_string()), Act::Patch(json!({"later": later}))]],
        ..Life::default()
    };
    unharmed(bench, life).map(drop)
}

fn nulls(bench: &Bench) -> Verdict {
    let patch = json!({
        "stages": [{
            "stage": bench.stage(), "schemaVersion": "1.0", "maxConcurrent": 2,
            "device": null, "implementation": null,
        }],
        "placement": {"cpus": null, "memoryNode": null, "memoryPolicy": null, "gpus": null},
    });
    let status = json!({
        "jsonrpc": "2.0", "method": "processor/status",
        "params": {"state": "ready", "reason": null},
    });
    let life = Life {
        initialize: vec![Act::Patch(patch), Act::Say(status.to_string())],
        runs: vec![vec![Act::Patch(json!({"resumedFrom": null}))]],
        ..Life::default()
    };
    unharmed(bench, life).map(drop)
}

fn nobody(bench: &Bench) -> Verdict {
    let refusal = |id: &str| {
        let error = "{\"code\":1006,\"message\":\"no\",\"data\":{\"class\":\"permanent\"}}";
        Act::Say(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}"))
    };
    let wrong = |id: &str| Act::Say(result(&json!({"wrong": true}), id));
    // The id of the request at hand, of another type: nobody's.
    let other_type = || Act::SayOtherType(json!({"result": {"wrong": true}}));
    let strays = || {
        let nobodys = [refusal("null"), wrong("null"), refusal("900001"), wrong("\"nobody\"")];
        nobodys.into_iter().chain([other_type()])
    };
    let life = Life {
        initialize: strays().chain([Act::Answer]).chain(strays()).collect(),
        runs: vec![strays().chain([Act::Answer]).chain(strays()).collect()],
        shutdown: strays().chain([Act::Answer]).collect(),
        ..Life::default()
    };
    unharmed(bench, life).map(drop)
}

/// Lines that are no messages, each for another reason.
fn odd_lines() -> Vec<Act> {
    let mut lines: Vec<Vec<u8>> = [
        "a library prints",
        "{",
        "[]",
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
        "null",
        "\"text\"",
        "{\"id\":1}",
        "{\"jsonrpc\":\"1.0\",\"id\":900009,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"ping\"}",
        "{\"jsonrpc\":\"2.0\",\"id\":1e400,\"result\":{}}",
    ]
    .iter()
    .map(|line| line.as_bytes().to_vec())
    .collect();
    lines.push(
        b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"method\":\"log/message\",\"params\":{}}".to_vec(),
    );
    lines.push(
        b"{\"jsonrpc\":\"2.0\",\"method\":\"log/message\",\"params\":{\"message\":\"\xff\"}}"
            .to_vec(),
    );
    lines.push("[".repeat(100_000).into_bytes());
    lines
        .into_iter()
        .map(|mut line| {
            line.push(b'\n');
            Act::Bytes(line)
        })
        .collect()
}

fn rubbish(bench: &Bench) -> Verdict {
    // Fewer than the budget of 20 before `initialize` is answered.
    let life = Life {
        initialize: odd_lines().into_iter().chain([Act::Answer]).chain(odd_lines()).collect(),
        runs: vec![odd_lines().into_iter().chain([Act::Answer]).collect()],
        ..Life::default()
    };
    quiet_lines(bench, life)
}

/// Waits until the first process has been ended.
fn is_ended(bench: &Bench, mut run: Run<'_>, what: &str) -> Verdict {
    let gone = |lives: &[Seen]| lives.first().filter(|life| life.alive().is_empty()).map(drop);
    let began = |lives: &[Seen]| lives.first().and_then(|life| life.marked("rubbish")).map(drop);
    run.expect("gives it something to do", bench.limits.soon(), began)?;
    run.expect(what, bench.limits.soon(), gone)?;
    run.end().map(drop)
}

fn much_rubbish(bench: &Bench) -> Verdict {
    let line = "this is no message".to_owned();
    let life = Life::run([
        Act::Mark("rubbish".into()),
        Act::Flood { line, times: 600, rounds: 3 },
        Act::Sleep(600_000),
    ]);
    let run = Run::start(bench, &Setting::new([life.stubborn(), Life::default()]))?;
    is_ended(bench, run, "ends a process that printed 1800 lines of rubbish")
}

fn rubbish_at_first(bench: &Bench) -> Verdict {
    let line = "this is no message".to_owned();
    let life = Life::initialize([
        Act::Mark("rubbish".into()),
        Act::Flood { line, times: 20, rounds: 3 },
        Act::Sleep(600_000),
    ]);
    let run = Run::start(bench, &Setting::new([life.stubborn(), Life::default()]))?;
    is_ended(bench, run, "ends a process that greeted with 60 lines of rubbish")
}

fn any_order(bench: &Bench) -> Verdict {
    let both = || Act::AwaitRuns { runs: 2, within: to_open(bench) };
    // A worker that opens one at a time gets its answer a little later.
    let second = Act::AwaitAnswered { runs: 1, within: 3_000 };
    let first = vec![both(), second, Act::Answer];
    let life = Life { runs: vec![first, vec![both(), Act::Answer]], ..Life::default() };
    several(bench, 2, life).map(drop)
}

fn other_shapes(bench: &Bench) -> Verdict {
    let upper = json!({"pieces": [{"commP": "AB".repeat(32), "pieceSize": 2048}]});
    let numbers = json!({"pieces": [{"commP": vec![171; 32], "pieceSize": 2048}]});
    let mut shapes = vec![json!(null), json!([]), json!("done"), json!({})];
    if bench.stage() == "add_pieces" {
        let outputs = [json!(null), json!({}), json!({"pieces": null}), upper, numbers];
        shapes.extend(outputs.map(|output| json!({"output": output})));
    }
    side_by_side(&shapes, |shape| {
        let life = Life::run([Act::Reply(json!({"result": shape}))]);
        let ended = run(bench, &Setting::new([life]))?;
        ended.fails().map_err(|failure| failure.within(&format!("the result {shape}")))
    })
}

fn schemas(bench: &Bench) -> Verdict {
    let life = super::ordinary::life(bench)?;
    for said in life.lines() {
        let Some(method) = said.at("/method").as_str() else { continue };
        let params = said.message.get("params").cloned().unwrap_or_else(|| json!({}));
        let mut schemas = vec![(format!("{}.params", method.replace('/', "-")), params.clone())];
        if method == "task/run" {
            let stage = params["stage"].as_str().unwrap_or_default().replace('_', "-");
            schemas.push((format!("stage.{stage}.params"), params["params"].clone()));
        }
        for (name, value) in schemas {
            let faults = protocol::shape::faults(&name, &value)?;
            ensure!(faults.is_empty(), "does not fit {name}.schema.json: {faults}: {value}");
        }
    }
    Ok(())
}

/// The parameters of the first run.
fn task(bench: &Bench) -> Verdict<Value> {
    let life = super::ordinary::life(bench)?;
    let runs = life.asked("task/run");
    ensure!(!runs.is_empty(), "gives no task to an honest processor");
    Ok(runs[0].at("/params/params").clone())
}

fn values(bench: &Bench) -> Verdict {
    let params = task(bench)?;
    let mut paths = vec![&params["unsealedPath"]];
    let pieces = params["pieces"].as_array().cloned().unwrap_or_default();
    paths.extend(pieces.iter().filter_map(|piece| piece["source"].get("path")));
    for path in paths.into_iter().filter_map(Value::as_str) {
        let good = path.starts_with('/') && !path.split('/').any(|part| part == "..");
        ensure!(good, "a path {path}");
    }
    let Some(proof) = params["proof"].as_str() else { return Ok(()) };
    let sectors = [("StackedDrg2KiBV1_1", 2048), ("StackedDrg8MiBV1_1", 8_388_608)];
    let sector = sectors.iter().find(|(name, _)| *name == proof).map(|(_, bytes)| *bytes);
    let mut end: u64 = 0;
    for piece in &pieces {
        let size = piece["pieceSize"].as_u64().unwrap_or(0);
        let payload = piece["payloadSize"].as_u64().unwrap_or(0);
        ensure!(size >= 128 && size.is_power_of_two(), "a piece of {size} bytes");
        ensure!(end.is_multiple_of(size), "a piece of {size} bytes begins at {end}");
        ensure!(payload <= size / 128 * 127, "{payload} bytes in a piece of {size}");
        end += size;
    }
    ensure!(sector.is_none_or(|bytes| bytes == end), "pieces of {end} bytes for {proof}");
    Ok(())
}

fn directories(bench: &Bench) -> Verdict {
    let ended = super::ordinary::run(bench)?;
    task(bench)?;
    let cannot = ended.lives.iter().find_map(|life| life.find("cannot"));
    ensure!(
        cannot.is_none(),
        "a task cannot be done: {}",
        cannot.map_or(&Value::Null, |e| &e.what)
    );
    Ok(())
}
