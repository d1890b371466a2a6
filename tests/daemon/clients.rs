// SPDX-License-Identifier: MIT OR Apache-2.0

//! Clients that vanish, send rubbish, or are too many harm nobody.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
};

use rustix::process::Signal;
use sealpipe_tests::{
    Bench, LIMIT, Process,
    control::{Control, request},
    site::{Site, moody},
};
use serde_json::{Value, json};

fn connect(site: &Site) -> Control {
    Control::connect(&site.socket()).unwrap()
}

#[test]
fn only_the_owner_speaks_to_the_daemon() {
    let site = Site::start("");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(site.bench.path("state/control.sock")), 0o600);
    assert_eq!(mode(site.bench.path("state")), 0o700);
    site.stop();
}

#[test]
fn rubbish_is_answered_and_the_connection_lives() {
    let site = Site::start("");
    let mut stream = connect(&site);
    let hello = stream.ask("hello", json!({ "versions": [1] }));
    assert_eq!(hello["result"]["version"], 1, "{hello}");
    let code = |answer: Value| answer["error"]["code"].as_i64();
    assert_eq!(code(stream.exchange("rubbish")), Some(-32700));
    assert_eq!(code(stream.exchange("[1,2]")), Some(-32600));
    assert_eq!(code(stream.ask("no/such", json!({}))), Some(-32601));
    assert_eq!(code(stream.ask("submit", json!({ "orders": 7 }))), Some(-32602));
    assert_eq!(code(stream.ask("explain", json!({}))), Some(-32602));
    assert_eq!(code(stream.ask("hello", json!({ "versions": [99] }))), Some(1001));
    let long = format!("\"{}\"", "x".repeat(17 << 20));
    assert_eq!(code(stream.exchange(&long)), Some(-32600));
    let status = stream.ask("status", json!({}));
    assert_eq!(status["result"]["daemon"]["paused"], false, "{status}");
    site.stop();
}

#[test]
fn clients_that_vanish_or_do_not_read_harm_nobody() {
    let site = Site::start(&moody("good", ""));
    let before = Process::resident_bytes(site.pid()).unwrap();
    let status = request("status", &json!({ "all": true }));
    for round in 0..20 {
        let mut stream = connect(&site).into_stream();
        // In the middle of a line, or with answers on their way.
        match round % 2 {
            0 => stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth").unwrap(),
            _ => (0..50).for_each(|_| writeln!(stream, "{}", status).unwrap()),
        }
    }
    // One that asks and never reads: its answers wait in a bounded box.
    let mut deaf = connect(&site).into_stream();
    deaf.set_nonblocking(true).unwrap();
    for _ in 0..20_000 {
        if writeln!(deaf, "{status}").is_err() {
            break;
        }
    }
    site.ok("submit --echo --name after --wait");
    let grown = Process::resident_bytes(site.pid()).unwrap().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MiB more", grown >> 20);
    site.stop();
}

#[test]
fn too_many_clients_are_turned_away_and_those_who_are_there_are_served() {
    let site = Site::start("");
    let mut crowd: Vec<Control> = (0..80).map(|_| connect(&site)).collect();
    let mut last = crowd.pop().unwrap().into_stream();
    // Turned away: its connection ends.
    assert_eq!(last.read(&mut [0; 16]).unwrap_or(0), 0);
    site.run(&["status"]).fails_with(&["hint: ", "unless 64 clients are connected already"]);
    let status = crowd[0].ask("status", json!({}));
    assert!(status["result"]["counts"].is_object(), "{status}");
    drop(crowd);
    site.until("there is room again", || {
        let ended = site.run(&["status"]);
        ended.stdout.contains("no sectors").then_some(())
    });
    site.stop();
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_ends() {
    let bench = Bench::new();
    let path = bench.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let daemon = bench.start_with(&["run", "--state", "state", "--socket", "socket"], &variables);
    let told = || {
        let mut text = [0; 64];
        let length = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    assert_eq!(told(), "READY=1");
    Control::connect(bench.path("socket").to_str().unwrap()).unwrap();
    daemon.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    daemon.end().ok();
    bench.check_nothing_is_left();
}
