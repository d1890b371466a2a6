// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines, their length, and who waits for whom.

use sealpipe_protocol::{DEFAULT_FRAME_BYTES, INITIAL_FRAME_BYTES};
use serde_json::json;

use super::{
    ordinary,
    script::{Act, Life},
    site::{Run, Setting, run, unharmed},
};
use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure, skip},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("W-001", "speaks-first", &[1, 30], speaks_first),
    Check::must("W-002", "environment-lists-the-versions", &[2, 20, 21], environment),
    Check::must("W-003", "frames-are-lines-of-json", &[3, 13], frames),
    Check::must("W-004", "takes-cr-lf-and-empty-lines", &[3], line_ends),
    Check::must("W-005", "does-not-act-on-a-cut-off-line", &[3, 86], cut_off),
    Check::must("W-006", "sends-no-longer-frame-than-is-taken", &[4], announced),
    Check::must("W-007", "takes-a-frame-of-1-mib-at-first", &[4], first_limit),
    Check::must("W-008", "takes-a-frame-of-its-own-limit", &[4], own_limit).heavy(),
    Check::must("W-009", "skips-a-longer-line-at-first", &[5, 7], longer_at_first),
    Check::must("W-010", "skips-a-longer-line-afterwards", &[5, 7], longer).heavy(),
    Check::must("W-011", "keeps-nothing-of-a-long-line", &[5], memory).heavy(),
    Check::must("W-012", "drains-stderr", &[9], drains_stderr),
    Check::should("W-013", "shows-the-last-words", &[9], last_words),
    Check::must("W-014", "reads-while-it-cannot-write", &[10], reads_on),
    Check::must("W-015", "reads-whatever-is-said", &[10, 60], flood),
];

fn speaks_first(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let lines = life.lines();
    ensure!(!lines.is_empty(), "says nothing to a processor that waits for it");
    ensure!(lines[0].is("initialize"), "begins with {}", lines[0].text);
    Ok(())
}

fn environment(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    let listed = life.start()?["protocol"].clone();
    let initialize = life.asked("initialize");
    let offered = initialize.first().map(|said| said.at("/params/protocolVersions").clone());
    let offered = offered.and_then(|list| list.as_array().cloned()).unwrap_or_default();
    let words: Vec<_> = offered.iter().map(|v| v.as_str().unwrap_or_default()).collect();
    ensure!(!words.is_empty(), "offers no version");
    ensure!(
        listed == words.join(",").as_str(),
        "SEALPIPE_PROTOCOL is {listed}, and the versions offered are {words:?}"
    );
    Ok(())
}

fn frames(bench: &Bench) -> Verdict {
    let life = ordinary::life(bench)?;
    if let Some(bytes) = life.find("bytes") {
        ensure!(false, "a line that is not UTF-8: {}", bytes.what);
    }
    for said in life.lines() {
        ensure!(said.message.is_object(), "a line that is no JSON object: {}", said.text);
        ensure!(said.at("/jsonrpc") == "2.0", "`jsonrpc` is not \"2.0\" in {}", said.text);
        let params = said.message.get("params");
        ensure!(params.is_none_or(|p| p.is_object()), "`params` is no object in {}", said.text);
    }
    if let Some(end) = life.find("end") {
        ensure!(end.what == "", "ends without a line end: {}", end.what);
    }
    Ok(())
}

fn line_ends(bench: &Bench) -> Verdict {
    let empty = || Act::Bytes(b"\r\n\n\r\n".to_vec());
    let life = Life {
        initialize: vec![Act::CrLf, empty(), Act::Answer, empty()],
        runs: vec![vec![empty(), Act::Say(log("one")), empty(), Act::Answer, empty()]],
        ..Life::default()
    };
    unharmed(bench, life).map(drop)
}

fn cut_off(bench: &Bench) -> Verdict {
    // The whole answer but for its line end.
    let life = Life::run([Act::CutAnswer, Act::Die]);
    let ended = run(bench, &Setting::new([life, Life::default()]))?;
    ensure!(
        !ended.status.success() || ended.runs().len() > 1,
        "takes for an answer what the end of the stream has cut off"
    );
    Ok(())
}

fn announced(bench: &Bench) -> Verdict {
    const LIMIT: usize = 100;
    let life = Life::initialize([Act::Patch(json!({"limits": {"maxFrameBytes": LIMIT}}))]);
    let ended = run(bench, &Setting::new([life]))?;
    for life in &ended.lives {
        for said in life.lines().iter().skip(1) {
            let bytes = said.text.len();
            ensure!(bytes <= LIMIT, "sends {bytes} bytes to a processor that takes {LIMIT}");
        }
    }
    Ok(())
}

fn first_limit(bench: &Bench) -> Verdict {
    let whole = Act::Padded { reply: None, bytes: INITIAL_FRAME_BYTES };
    unharmed(bench, Life::initialize([whole])).map(drop)
}

/// The frames that the worker takes, in bytes.
fn worker_limit(bench: &Bench) -> Verdict<usize> {
    /// A larger limit is not tried out.
    const MOST: u64 = 64 * 1024 * 1024;
    let life = ordinary::life(bench)?;
    let initialize = life.asked("initialize");
    let announced =
        initialize.first().and_then(|said| said.at("/params/limits/maxFrameBytes").as_u64());
    let limit = announced.unwrap_or(DEFAULT_FRAME_BYTES as u64);
    if limit > MOST {
        skip!("the worker takes frames of {limit} bytes");
    }
    usize::try_from(limit).map_err(|e| crate::check::Failure::harness("a limit", e))
}

fn own_limit(bench: &Bench) -> Verdict {
    let whole = Act::Padded { reply: None, bytes: worker_limit(bench)? };
    unharmed(bench, Life::run([whole])).map(drop)
}

/// A refusal that nobody may act on, since its line is over the limit.
fn refusal(bytes: usize) -> Act {
    let data = json!({"class": "permanent"});
    let reply = json!({"error": {"code": 1006, "message": "no", "data": data}});
    Act::Padded { reply: Some(reply), bytes }
}

fn longer_at_first(bench: &Bench) -> Verdict {
    let life = Life::initialize([refusal(INITIAL_FRAME_BYTES + 1), Act::Answer]);
    unharmed(bench, life).map(drop)
}

fn longer(bench: &Bench) -> Verdict {
    let life = Life::run([refusal(worker_limit(bench)? + 1), Act::Answer]);
    unharmed(bench, life).map(drop)
}

fn memory(bench: &Bench) -> Verdict {
    /// Long enough to be seen among whatever else needs memory.
    const LINE_BYTES: usize = 64 * 1024 * 1024;
    /// What is taken at a time, and what the allocator makes of it.
    const MAY_GROW_BYTES: u64 = 32 * 1024 * 1024;
    let life = Life {
        // Before `initialize` is answered, where the limit is everybody's 1 MiB.
        initialize: vec![
            Act::Peak("before".into()),
            Act::Junk { bytes: LINE_BYTES },
            Act::Peak("after".into()),
            Act::Answer,
        ],
        ..Life::default()
    };
    let ended = unharmed(bench, life)?;
    let events = ended.lives.iter().flat_map(|life| &life.events);
    let peaks: Vec<_> = events.filter(|event| event.event == "peak").collect();
    let peaks: Vec<_> = peaks.iter().filter_map(|event| event.what["bytes"].as_u64()).collect();
    let [before, after] = peaks[..] else { skip!("no VmHWM in /proc") };
    let grown = after.saturating_sub(before);
    ensure!(
        grown <= MAY_GROW_BYTES,
        "grew by {grown} bytes over a line of {LINE_BYTES} bytes, the limit is 1 MiB"
    );
    Ok(())
}

fn drains_stderr(bench: &Bench) -> Verdict {
    // Many times what a pipe holds, without a line end.
    let much = || Act::Stderr { bytes: 2 * 1024 * 1024 };
    let life = Life {
        start: vec![much()],
        initialize: vec![much(), Act::Answer, much()],
        runs: vec![vec![much(), Act::Answer, much()]],
        shutdown: vec![much(), Act::Answer],
        ..Life::default()
    };
    let ended = unharmed(bench, life)?;
    let refused = ended.lives.iter().find_map(|life| life.find("stderr"));
    ensure!(refused.is_none(), "has closed stderr: {}", refused.map_or("", |_| "broken pipe"));
    Ok(())
}

fn last_words(bench: &Bench) -> Verdict {
    const WORDS: &str = "these are my last words";
    let life = Life::run([Act::StderrLine(WORDS.into()), Act::Die]);
    let ended = run(bench, &Setting::new([life]))?;
    ensure!(ended.said.contains(WORDS), "does not show what a processor said before it died");
    Ok(())
}

fn reads_on(bench: &Bench) -> Verdict {
    // 3 MiB, in the course of a second and a half: the worker meets a full pipe in between.
    let flood = Act::Flood { line: log("and on"), times: 1_000, rounds: 30 };
    let life = Life::initialize([
        Act::StopReading,
        Act::FillStdin,
        Act::Answer,
        flood,
        Act::Mark("read".into()),
        Act::Read,
    ]);
    let mut run = Run::start(bench, &Setting::new([life]))?;
    let what = "reads on while its own words are not read";
    let read = run.expect(what, bench.limits.soon() * 2, |lives| {
        let life = lives.first()?;
        let unfilled = life.find("unfilled").map(|_| false);
        unfilled.or_else(|| life.marked("read").map(|_| true))
    })?;
    if !read {
        skip!("its stdin is no pipe");
    }
    run.end()?.is_unharmed(1)
}

fn flood(bench: &Bench) -> Verdict {
    // More often than once a second, which is the processor's fault and no reason to end it.
    let floods = [log("and on"), progress("$TASK")];
    let floods = floods.map(|line| Act::Flood { line, times: 4_000, rounds: 2 });
    let acts: Vec<_> = floods.into_iter().chain([Act::Answer]).collect();
    unharmed(bench, Life::run(acts)).map(drop)
}

/// A line of `log/message`.
pub fn log(message: &str) -> String {
    let params = json!({"level": "debug", "message": message});
    json!({"jsonrpc": "2.0", "method": "log/message", "params": params}).to_string()
}

/// A line of `task/progress` about a task.
pub fn progress(task: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"task/progress\",\"params\":{{\"taskId\":\"{task}\",\
         \"attempt\":1,\"phase\":\"on\",\"done\":1,\"total\":2,\"unit\":\"bytes\"}}}}"
    )
}

/// A line that answers a request.
pub fn result(result: &serde_json::Value, id: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}
