// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transport: what is a message and what is none, ids, and one answer for each request.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict, ensure},
    session::Heard,
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-020", "refuses-what-is-not-json", &[6], not_json),
    Check::must("P-021", "refuses-what-is-not-utf-8", &[3, 6], not_utf8),
    Check::must("P-022", "survives-a-byte-order-mark", &[3, 6], byte_order_mark),
    Check::must("P-023", "refuses-batches", &[6], batches),
    Check::must("P-024", "refuses-what-is-no-request", &[6], no_request),
    Check::must("P-025", "refuses-odd-ids", &[6, 12], odd_ids),
    Check::must("P-026", "survives-deep-nesting", &[6, 14], deep),
    Check::must("P-027", "survives-huge-numbers", &[6, 14, 101], huge_numbers),
    Check::must("P-028", "does-not-answer-responses", &[6, 16], responses),
    Check::must("P-029", "gives-ids-back-as-they-came", &[12], ids),
    Check::must("P-030", "answers-each-of-two-requests-with-one-id", &[12, 14], duplicate_ids),
    Check::must("P-031", "params-are-an-object-or-absent", &[13], params_kind),
    Check::must("P-032", "ignores-unknown-members", &[13], unknown_members),
    Check::must("P-033", "takes-null-as-absent", &[13], null_members),
    Check::must("P-034", "answers-unknown-requests", &[15], unknown_requests),
    Check::must("P-035", "ignores-unknown-notifications", &[15], unknown_notifications),
    Check::must("P-036", "answers-every-request-once", &[14], once),
    Check::must("P-037", "answers-after-an-exception", &[14], exception),
    Check::must("P-038", "sends-no-requests", &[15], no_requests),
];

fn not_json(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for line in [
        "hello",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#,
        r#"{'jsonrpc':'2.0','id':1,'method':'ping'}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"pi\xng"}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}",
        "\0",
        "Content-Length: 2",
    ] {
        session.refused(line.as_bytes(), &[-32700], &[Value::Null])?;
    }
    session.lives_and_is_quiet()
}

fn not_utf8(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for line in [
        &b"\xff\xfe"[..],
        b"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\",\"params\":{\"a\":\"\xc3\x28\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\",\"params\":{\"a\":\"\xed\xa0\x80\"}}",
    ] {
        session.refused(line, &[-32700], &[Value::Null])?;
    }
    session.lives_and_is_quiet()
}

fn byte_order_mark(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let ping = json!({"jsonrpc": "2.0", "id": "bom", "method": "ping", "params": {}});
    session.say_line(format!("\u{feff}{ping}"))?;
    let what = "a line that begins with a byte order mark";
    session.hear(what, bench.limits.answer(), |heard| {
        heard.answers(&Value::Null) || heard.answers(&"bom".into())
    })?;
    session.lives_and_is_quiet()
}

fn batches(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for line in [
        r#"[{"jsonrpc":"2.0","id":901,"method":"ping"}]"#,
        r#"[{"jsonrpc":"2.0","id":901,"method":"ping"},{"jsonrpc":"2.0","id":902,"method":"ping"}]"#,
        "[]",
        "[1]",
        r#"[{"jsonrpc":"2.0","method":"no/such"}]"#,
    ] {
        session.refused(line.as_bytes(), &[-32600], &[Value::Null])?;
    }
    session.lives_and_is_quiet()
}

fn no_request(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let null = [Value::Null];
    for line in ["7", "null", "true", "\"ping\"", "{}", r#"{"jsonrpc":"2.0"}"#] {
        session.refused(line.as_bytes(), &[-32600], &null)?;
    }
    let id = [Value::from(77)];
    for line in [
        r#"{"jsonrpc":"2.0","id":77}"#,
        r#"{"id":77,"method":"ping","params":{}}"#,
        r#"{"jsonrpc":"1.0","id":77,"method":"ping","params":{}}"#,
        r#"{"jsonrpc":2.0,"id":77,"method":"ping","params":{}}"#,
        r#"{"jsonrpc":null,"id":77,"method":"ping","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":77,"method":7,"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":77,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":77,"method":["ping"]}"#,
    ] {
        session.refused(line.as_bytes(), &[-32600], &id)?;
    }
    session.lives_and_is_quiet()
}

fn odd_ids(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for id in ["null", "true", "-1", "1.5", "[]", "[1]", "{}", "{\"a\":1}"] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{{}}}}"#);
        let same: Value = serde_json::from_str(id).unwrap_or(Value::Null);
        session.refused(line.as_bytes(), &[-32600], &[Value::Null, same])?;
    }
    session.lives_and_is_quiet()
}

/// Whatever it makes of a line, it says one thing, and lives.
fn one_answer(bench: &Bench, lines: &[String]) -> Verdict {
    let mut session = bench.session()?;
    for line in lines {
        session.say_line(line)?;
        let what = crate::session::excerpt(line.as_bytes());
        session.hear(&what, bench.limits.bulk(), Heard::is_response)?;
    }
    session.lives_and_is_quiet()
}

fn deep(bench: &Bench) -> Verdict {
    const DEPTH: usize = 100_000;
    let (open, close) = ("[".repeat(DEPTH), "]".repeat(DEPTH));
    let nested = format!("{}1{}", r#"{"a":"#.repeat(DEPTH), "}".repeat(DEPTH));
    one_answer(
        bench,
        &[
            open.clone(),
            format!("{open}{close}"),
            format!(r#"{{"jsonrpc":"2.0","id":5,"method":"ping","params":{{"a":{open}{close}}}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":{open}{close},"method":"ping"}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":5,"method":"task/run","params":{nested}}}"#),
        ],
    )
}

fn huge_numbers(bench: &Bench) -> Verdict {
    let digits = "9".repeat(5_000);
    let mut lines = Vec::new();
    for number in ["1e400", "-1e400", "18446744073709551616", "9007199254740993", &digits] {
        lines.push(format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"ping"}}"#));
        lines.push(format!(
            r#"{{"jsonrpc":"2.0","id":5,"method":"ping","params":{{"x":{number}}}}}"#
        ));
        lines.push(format!(
            r#"{{"jsonrpc":"2.0","id":5,"method":"task/run","params":{{"attempt":{number}}}}}"#
        ));
    }
    one_answer(bench, &lines)
}

fn responses(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for line in [
        r#"{"jsonrpc":"2.0","id":null,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":4711,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":"nobody","error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","result":7}"#,
        r#"{"jsonrpc":"2.0","id":4712,"error":"odd"}"#,
        r#"{"jsonrpc":"2.0","id":4713,"error":{"message":7}}"#,
        r#"{"jsonrpc":"2.0","id":4714,"result":1,"error":{"code":1,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":[1],"result":1}"#,
        r#"{"id":4715,"result":1}"#,
    ] {
        session.say_line(line)?;
    }
    session.lives_and_is_quiet()
}

fn ids(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for id in [
        json!(0),
        json!(1_000_001),
        json!(sealpipe_protocol::MAX_INTEGER),
        json!("1"),
        json!(""),
        json!("a b\t\"\\\u{7f}"),
        json!("é–𝄞\u{0}"),
        json!("null"),
        json!("i".repeat(1_000)),
    ] {
        session.say(&json!({"jsonrpc": "2.0", "id": id, "method": "ping", "params": {}}))?;
        session.answer(&id, bench.limits.answer())?;
        session.say(&json!({"jsonrpc": "2.0", "id": id, "method": "no/such", "params": {}}))?;
        session.error(&id, &[-32601], bench.limits.answer())?;
    }
    session.say_line(r#"{"jsonrpc":"2.0","id":"\u0041\/","method":"ping"}"#)?;
    session.answer(&"A/".into(), bench.limits.answer()).map(drop)
}

fn duplicate_ids(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = session.ask("task/run", bench.lasting("first")?)?;
    session.say(&json!({"jsonrpc": "2.0", "id": id, "method": "ping", "params": {}}))?;
    let second = session.answer(&id, bench.limits.answer())?;
    ensure!(
        second.code() == Some(-32600) || second.at("/result/openTasks").is_u64(),
        "expected -32600 or the answer to `ping`, got {}",
        second.excerpt()
    );
    session.ask("task/cancel", json!({"taskId": "first"}))?;
    session.error(&id, &[-32800], bench.limits.cancelled_at_last())?;
    let third = session.stray(|heard| heard.answers(&id))?;
    ensure!(third.is_none(), "a third answer to two requests with the id {id}");
    Ok(())
}

fn params_kind(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for params in ["[]", "[1]", "3", "\"x\"", "true", "[{}]"] {
        for method in ["ping", "task/run"] {
            let line =
                format!(r#"{{"jsonrpc":"2.0","id":88,"method":"{method}","params":{params}}}"#);
            session.refused(line.as_bytes(), &[-32600, -32602], &[88.into()])?;
        }
    }
    // What a record's members are by position.
    for (method, params) in [
        ("task/cancel", json!(["nobody"])),
        ("shutdown", json!(["drain"])),
        ("task/run", json!(["by-position", 1, bench.stage(), "1.0", {}])),
    ] {
        let line = json!({"jsonrpc": "2.0", "id": 88, "method": method, "params": params});
        session.refused(line.to_string().as_bytes(), &[-32600, -32602], &[88.into()])?;
    }
    session.say_line(r#"{"jsonrpc":"2.0","id":"none","method":"ping"}"#)?;
    session.result(&"none".into(), bench.limits.answer()).map(drop)
}

/// Adds a member that nobody knows to every object within.
fn with_unknown_members(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(with_unknown_members);
            members.insert("x-unknown".into(), json!({"later": [1, null]}));
        }
        Value::Array(items) => items.iter_mut().for_each(with_unknown_members),
        _ => {}
    }
}

fn unknown_members(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let mut params = bench.initialize_params();
    params["placement"] = json!({});
    params["capabilities"] = json!({});
    let mut initialize =
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    with_unknown_members(&mut initialize);
    session.say(&initialize)?;
    session.result(&1.into(), bench.limits.initialize())?;
    // What is in a stage's parameters may be data, of which any member is known.
    let mut run = bench.brief("unknown-members")?;
    run["x-unknown"] = json!(1);
    run["params"]["x-unknown"] = json!([]);
    for (id, method, params) in [
        (2, "task/run", run),
        (3, "task/cancel", json!({"taskId": "nobody", "x-unknown": 7})),
        (4, "ping", json!({"x-unknown": 7})),
        (5, "shutdown", json!({"mode": "drain", "x-unknown": 7})),
    ] {
        session.say(&json!({
            "jsonrpc": "2.0", "id": id, "method": method, "params": params, "x-unknown": {}
        }))?;
        let within = bench.limits.brief_task();
        session.result(&id.into(), within).map_err(|failure| failure.within(method))?;
    }
    Ok(())
}

fn null_members(bench: &Bench) -> Verdict {
    let mut params = bench.initialize_params();
    params["entry"] = Value::Null;
    params["limits"]["concurrent"] = Value::Null;
    params["placement"] =
        json!({"cpus": null, "memoryNode": null, "memoryPolicy": null, "gpus": null});
    let mut session = bench.session_with(params)?;
    if bench.stage() != "echo" {
        return Ok(());
    }
    let params = bench.echo("null", json!({"payload": null, "fail": null}))?;
    let id = session.ask("task/run", params)?;
    let result = session.result(&id, bench.limits.brief_task())?;
    ensure!(result["output"]["payload"].is_null(), "expected a null payload, got {result}");
    Ok(())
}

fn unknown_requests(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for method in [
        "no/such",
        "",
        "$/cancelRequest",
        "exit",
        "Ping",
        "ping ",
        "task/progress",
        "log/message",
        "processor/status",
    ] {
        session.ask_error(method, json!({}), &[-32601])?;
    }
    session.lives_and_is_quiet()
}

fn unknown_notifications(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for method in ["no/such", "", "$/cancelRequest", "exit", "initialized"] {
        session.tell(method, json!({}))?;
    }
    // What only a processor says.
    session.tell("processor/status", json!({"state": "draining"}))?;
    session.tell("log/message", json!({"level": "info", "message": "hello"}))?;
    // Requests in the form of a notification are not among those that exist.
    session.tell("ping", json!({}))?;
    session.tell("task/run", bench.lasting("no-request")?)?;
    session.tell("shutdown", json!({"mode": "interrupt"}))?;
    session.lives_and_is_quiet()?;
    let open = session.ask_result("ping", json!({}))?;
    ensure!(open["openTasks"] == 0, "a notification has opened a task: {open}");
    let id = session.ask("task/run", bench.brief("after")?)?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}

fn once(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let mut ids = Vec::new();
    for round in 0..5 {
        ids.push(session.ask("ping", json!({}))?);
        ids.push(session.ask("no/such", json!({}))?);
        ids.push(session.ask("task/cancel", json!({"taskId": "nobody"}))?);
        ids.push(session.ask("task/run", bench.brief(&format!("once-{round}"))?)?);
        ids.push(session.ask("task/run", json!({}))?);
    }
    for id in &ids {
        session.answer(id, bench.limits.brief_task())?;
    }
    let lasting = session.ask("task/run", bench.lasting("once")?)?;
    let cancel = session.ask("task/cancel", json!({"taskId": "once"}))?;
    session.answer(&cancel, bench.limits.answer())?;
    session.answer(&lasting, bench.limits.cancelled_at_last())?;
    session.is_quiet()
}

fn exception(bench: &Bench) -> Verdict {
    let params = bench.echo("panic", json!({"payload": 1, "fail": "panic"}))?;
    let mut session = bench.session()?;
    let id = session.ask("task/run", params)?;
    let heard = session.answer(&id, bench.limits.brief_task())?;
    ensure!(heard.code().is_some(), "expected an error, got {}", heard.excerpt());
    let id = session.ask("task/run", bench.brief("after-panic")?)?;
    session.result(&id, bench.limits.brief_task()).map(drop)
}

fn no_requests(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let id = session.ask("task/run", bench.brief("quiet")?)?;
    let _ = session.take(bench.limits.brief_task(), |heard| heard.answers(&id))?;
    let id = session.ask("shutdown", json!({"mode": "drain"}))?;
    let _ = session.take(bench.limits.answer(), |heard| heard.answers(&id))?;
    let request = session.take(Duration::ZERO, |heard| {
        heard.message.get("method").is_some() && heard.message.get("id").is_some()
    })?;
    match request {
        Some(request) => Err(Failure::Broken(format!("a request: {}", request.excerpt()))),
        None => Ok(()),
    }
}
