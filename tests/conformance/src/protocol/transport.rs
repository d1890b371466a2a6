// SPDX-License-Identifier: MIT OR Apache-2.0

//! Transport: lines, how long they may be, how they may come, and that nobody blocks anybody.

use std::time::Duration;

use rustix::process::Signal;
use sealpipe_protocol::INITIAL_FRAME_BYTES;
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Check, Verdict, ensure, skip},
    proc,
    session::{Session, excerpt},
};

/// The checks.
pub const CHECKS: &[Check] = &[
    Check::must("P-001", "speaks-after-the-worker", &[1], speaks_second),
    Check::must("P-002", "stdout-carries-frames-only", &[1, 3, 8], frames_only),
    Check::should("P-003", "descriptor-1-is-moved-away", &[8], descriptor_1),
    Check::must("P-004", "takes-carriage-returns", &[3], carriage_returns),
    Check::must("P-005", "skips-empty-lines", &[3], empty_lines),
    Check::must("P-006", "does-not-act-on-a-line-cut-off-by-the-end", &[3], cut_off),
    Check::must("P-007", "takes-frames-split-at-every-byte", &[3], split),
    Check::must("P-008", "takes-many-frames-in-one-write", &[3, 14], many_at_once),
    Check::must("P-009", "takes-a-frame-of-65537-bytes", &[4], past_the_pipe),
    Check::must("P-010", "takes-a-first-frame-at-the-limit", &[4], first_at_limit),
    Check::must("P-011", "refuses-a-first-frame-over-the-limit", &[4, 5, 6], first_over_limit),
    Check::must("P-012", "takes-a-frame-at-its-limit", &[4], at_limit).heavy(),
    Check::must("P-013", "refuses-a-frame-over-its-limit", &[4, 5, 6], over_limit).heavy(),
    Check::must("P-014", "does-not-keep-a-line-over-the-limit", &[5], not_kept).heavy(),
    Check::must("P-015", "sends-no-frame-over-the-workers-limit", &[4, 14], worker_limit),
    Check::must("P-016", "reads-while-nobody-reads-it", &[10], stalled_reader).heavy(),
    Check::must("P-017", "reads-while-a-task-runs", &[10], reads_during_task),
    Check::should("P-018", "small-frames-overtake-bulk-ones", &[11], overtaking).heavy(),
];

fn speaks_second(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let mut line = session.subject.read_line(2 * bench.limits.quiet())?;
    if line.is_none() {
        session.subject.settle(bench.limits.settle());
        line = session.subject.read_line(Duration::ZERO)?;
    }
    let words = line.map_or_else(|| session.subject.partial().to_vec(), |line| line.bytes);
    ensure!(words.is_empty(), "spoke first: {}", excerpt(&words));
    Ok(())
}

/// A session in which there is a lot to say, to its end; the lines that were heard.
fn frames_only(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    session.say(&json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": bench.initialize_params()
    }))?;
    let first = session.hear("the first line", bench.limits.initialize(), |_| true)?;
    for (id, params) in [(2, bench.brief("a")?), (3, bench.brief("b")?)] {
        session
            .say(&json!({"jsonrpc": "2.0", "id": id, "method": "task/run", "params": params}))?;
        let _ = session.take(bench.limits.brief_task(), |heard| heard.answers(&id.into()))?;
    }
    session.say(&json!({
        "jsonrpc": "2.0", "id": 4, "method": "shutdown", "params": {"mode": "drain"}
    }))?;
    let _ = session.take(bench.limits.answer(), |heard| heard.answers(&4.into()))?;
    session.subject.close_stdin();
    session.subject.wait_exit(bench.limits.exit())?;
    let rest = session.take_all(bench.limits.quiet())?;
    for heard in [first].iter().chain(&rest) {
        let bytes = &heard.line.bytes;
        ensure!(std::str::from_utf8(bytes).is_ok(), "not UTF-8: {}", heard.excerpt());
        ensure!(!bytes.starts_with(b"\xef\xbb\xbf"), "a byte order mark: {}", heard.excerpt());
        ensure!(
            heard.message.is_object() || bytes.is_empty(),
            "a line that is no JSON object: {}",
            heard.excerpt()
        );
    }
    let partial = session.subject.partial();
    ensure!(partial.is_empty(), "a last line without its end: {}", excerpt(partial));
    Ok(())
}

fn descriptor_1(bench: &Bench) -> Verdict {
    let session = bench.session()?;
    let target = |fd: u8| std::fs::read_link(format!("/proc/{}/fd/{fd}", session.subject.pid()));
    let (Ok(out), Ok(err)) = (target(1), target(2)) else {
        skip!("the kernel does not show its descriptors")
    };
    ensure!(out == err, "descriptor 1 is {}, stderr {}", out.display(), err.display());
    Ok(())
}

fn carriage_returns(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let line = json!({
        "jsonrpc": "2.0", "id": "cr", "method": "initialize", "params": bench.initialize_params()
    });
    session.say_bytes(format!("{line}\r\n").as_bytes())?;
    session.result(&"cr".into(), bench.limits.initialize())?;
    let line = json!({"jsonrpc": "2.0", "id": "cr2", "method": "ping", "params": {}});
    session.say_bytes(format!("{line}\r\n").as_bytes())?;
    session.result(&"cr2".into(), bench.limits.answer()).map(drop)
}

fn empty_lines(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    session.say_bytes(b"\n\r\n\n")?;
    session.initialize(bench.initialize_params())?;
    session.say_bytes(b"\n\n\r\n\r\n")?;
    session.lives_and_is_quiet()
}

fn cut_off(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let params = bench.brief("cut-off")?;
    session.say_bytes(
        json!({"jsonrpc": "2.0", "id": "cut", "method": "task/run", "params": params})
            .to_string()
            .as_bytes(),
    )?;
    session.subject.close_stdin();
    session.subject.wait_exit(bench.limits.grace_is_over())?;
    let all = session.take_all(bench.limits.quiet())?;
    let acted = all.iter().find(|heard| heard.answers(&"cut".into()));
    ensure!(acted.is_none(), "acted upon: {}", acted.map(|h| h.excerpt()).unwrap_or_default());
    Ok(())
}

fn split(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let params = bench.initialize_params();
    let line = json!({"jsonrpc": "2.0", "id": "split", "method": "initialize", "params": params});
    for byte in format!("{line}\n").as_bytes() {
        session.say_bytes(&[*byte])?;
    }
    session.result(&"split".into(), bench.limits.initialize())?;
    // In every pair of pieces, within characters of several bytes too.
    let line =
        format!("{}\n", json!({"jsonrpc": "2.0", "id": "é–𝄞", "method": "ping", "params": {}}));
    for at in 1..line.len() {
        session.say_bytes(&line.as_bytes()[..at])?;
        std::thread::yield_now();
        session.say_bytes(&line.as_bytes()[at..])?;
        session.result(&"é–𝄞".into(), bench.limits.answer())?;
    }
    Ok(())
}

fn many_at_once(bench: &Bench) -> Verdict {
    const PINGS: u64 = 200;
    let mut session = bench.silent_session()?;
    let ask = |id: Value, method: &str, params: Value| {
        format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    };
    let mut all = ask(1.into(), "initialize", bench.initialize_params());
    all.extend((2..PINGS).map(|id| ask(id.into(), "ping", json!({}))));
    session.say_bytes(all.as_bytes())?;
    session.result(&1.into(), bench.limits.initialize())?;
    for id in 2..PINGS {
        session.result(&id.into(), bench.limits.answer())?;
    }
    session.is_quiet()
}

/// A ping of exactly so many bytes without the line end: what it does not know it ignores.
fn padded_ping(id: u64, bytes: usize) -> Vec<u8> {
    let line = |pad: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": "ping", "params": {"pad": pad}}).to_string()
    };
    let pad = "x".repeat(bytes.saturating_sub(line("").len()));
    line(&pad).into_bytes()
}

fn past_the_pipe(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    for bytes in [65_535, 65_536, 65_537] {
        let id = session.fresh_id();
        session.say_line(padded_ping(id, bytes))?;
        session.result(&id.into(), bench.limits.answer())?;
    }
    Ok(())
}

/// `initialize` of exactly so many bytes without the line end.
fn padded_initialize(bench: &Bench, bytes: usize) -> Vec<u8> {
    let line = |pad: &str| {
        let mut params = bench.initialize_params();
        params["pad"] = pad.into();
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}).to_string()
    };
    let pad = "x".repeat(bytes.saturating_sub(line("").len()));
    line(&pad).into_bytes()
}

fn first_at_limit(bench: &Bench) -> Verdict {
    for line_end in ["\n", "\r\n"] {
        let mut session = bench.silent_session()?;
        let mut line = padded_initialize(bench, INITIAL_FRAME_BYTES);
        line.extend_from_slice(line_end.as_bytes());
        session.say_bytes(&line)?;
        session.result(&1.into(), bench.limits.initialize())?;
    }
    Ok(())
}

fn first_over_limit(bench: &Bench) -> Verdict {
    let mut session = bench.silent_session()?;
    let line = padded_initialize(bench, INITIAL_FRAME_BYTES + 1);
    session.refused(&line, &[-32600], &[Value::Null, 1.into()])?;
    session.initialize(bench.initialize_params())?;
    session.lives_and_is_quiet()
}

/// The most that is sent to see where a limit is.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The limit that it announced; skipped when it is too far to go there.
fn limit(session: &Session) -> Verdict<usize> {
    let limit = session.max_frame_bytes();
    ensure!(limit >= 65_536, "announces a limit of {limit} bytes, at least 65536 are required");
    if limit > MOST_BYTES {
        skip!("it announces {limit} bytes, and more than {MOST_BYTES} are not tried");
    }
    Ok(limit)
}

fn at_limit(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let bytes = limit(&session)?;
    let id = session.fresh_id();
    session.say_line(padded_ping(id, bytes))?;
    session.result(&id.into(), bench.limits.bulk())?;
    session.is_quiet()
}

fn over_limit(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let bytes = limit(&session)? + 1;
    let id = session.fresh_id();
    session.say_line(padded_ping(id, bytes))?;
    let what = format!("a line of {bytes} bytes");
    let heard = session.hear(&what, bench.limits.bulk(), |heard| {
        heard.answers(&Value::Null) || heard.answers(&id.into())
    })?;
    ensure!(heard.code() == Some(-32600), "expected -32600, got {}", heard.excerpt());
    session.lives_and_is_quiet()
}

fn not_kept(bench: &Bench) -> Verdict {
    // Before `initialize` the limit is 1 MiB.
    const LINE_BYTES: usize = 64 * 1024 * 1024;
    const MAY_GROW_BYTES: u64 = 48 * 1024 * 1024;
    let mut session = bench.silent_session()?;
    session.say_line(b"")?;
    std::thread::sleep(bench.limits.quiet());
    session.subject.settle(bench.limits.settle());
    let pid = session.subject.pid();
    let Some(before) = proc::peak_resident_bytes(pid) else { skip!("no VmHWM in /proc") };
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..LINE_BYTES / piece.len() {
        session.say_bytes(&piece)?;
    }
    let after = proc::peak_resident_bytes(pid).unwrap_or(before);
    let grown = after.saturating_sub(before);
    ensure!(
        grown <= MAY_GROW_BYTES,
        "its memory grew by {grown} bytes while it skipped a line of {LINE_BYTES}, which is over its \
         limit; {MAY_GROW_BYTES} at most are for buffers that wait for a garbage collector"
    );
    session.say_bytes(b"\n")?;
    session.initialize(bench.initialize_params())
}

fn worker_limit(bench: &Bench) -> Verdict {
    const LIMIT: usize = 65_536;
    let params = bench.echo("large", json!({"payload": "x".repeat(100_000)}))?;
    let mut granted = bench.initialize_params();
    granted["limits"]["maxFrameBytes"] = LIMIT.into();
    let mut session = bench.session_with(granted)?;
    let id = session.ask("task/run", params)?;
    let heard = session.answer(&id, bench.limits.bulk())?;
    let bytes = heard.line.bytes.len();
    ensure!(bytes <= LIMIT, "sent {bytes} bytes to a worker that takes {LIMIT}");
    ensure!(heard.code().is_some(), "expected an error, got {}", heard.excerpt());
    session.lives()
}

fn stalled_reader(bench: &Bench) -> Verdict {
    // What it says to this fills any pipe; what it is told fills the pipe the other way.
    const PINGS: usize = 4_096;
    const PIECES: usize = 16;
    let mut session = bench.session()?;
    let within = bench.limits.bulk();
    let mut pings = Vec::new();
    let first = session.fresh_id();
    for number in 0..PINGS {
        let id = if number == 0 { first } else { session.fresh_id() };
        let ping = json!({"jsonrpc": "2.0", "id": id, "method": "ping", "params": {}});
        pings.extend_from_slice(format!("{ping}\n").as_bytes());
    }
    session.subject.write(&pings, within, true)?;
    let bulk = json!({"jsonrpc": "2.0", "method": "no/such", "params": {"x": "y".repeat(1 << 20)}});
    let bulk = format!("{bulk}\n");
    for _ in 0..PIECES {
        session.subject.write(bulk.as_bytes(), within, true)?;
    }
    for number in 0..PINGS {
        session.result(&(first + number as u64).into(), within)?;
    }
    session.lives()
}

fn reads_during_task(bench: &Bench) -> Verdict {
    let mut session = bench.session()?;
    let run = session.ask("task/run", bench.lasting("runs")?)?;
    session.ask_error("no/such", json!({}), &[-32601])?;
    session.ask_error("no/such", json!({}), &[-32601])?;
    let early = session.take(Duration::ZERO, |heard| heard.answers(&run))?;
    ensure!(early.is_none(), "the task ended: {}", early.map(|h| h.excerpt()).unwrap_or_default());
    Ok(())
}

fn overtaking(bench: &Bench) -> Verdict {
    const TASKS: usize = 2;
    // More than any pipe holds.
    let payload = "x".repeat(2 << 20);
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| bench.echo(&format!("bulk-{number}"), json!({"payload": payload})))
        .collect::<Verdict<_>>()?;
    let mut session = bench.session()?;
    if session.max_concurrent(bench.stage())? < TASKS {
        skip!("it runs fewer than {TASKS} tasks at a time");
    }
    let mut bulk = Vec::new();
    for params in tasks {
        let id = session.fresh_id();
        bulk.push(Value::from(id));
        let run = json!({"jsonrpc": "2.0", "id": id, "method": "task/run", "params": params});
        session.subject.write(format!("{run}\n").as_bytes(), bench.limits.bulk(), true)?;
    }
    // Both answers wait now, one of them half in the pipe.
    std::thread::sleep(3 * bench.limits.quiet());
    session.subject.settle(bench.limits.bulk());
    let ping = session.fresh_id();
    let line = json!({"jsonrpc": "2.0", "id": ping, "method": "ping", "params": {}});
    session.subject.write(format!("{line}\n").as_bytes(), bench.limits.answer(), true)?;
    std::thread::sleep(bench.limits.quiet());
    session.subject.settle(bench.limits.bulk());
    let mut order = Vec::new();
    for _ in 0..=TASKS {
        let heard = session.take(bench.limits.bulk(), |heard| heard.is_response())?;
        order.extend(heard.map(|heard| heard.at("/id").clone()));
    }
    let last = order.last().is_some_and(|id| bulk.contains(id));
    ensure!(last, "`ping` was answered after all bulk: {order:?}");
    session.subject.signal(Signal::TERM)
}
