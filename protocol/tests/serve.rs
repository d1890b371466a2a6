// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SDK as a worker meets it: the echo example as a real process over real pipes.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

struct Echo {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

fn program() -> PathBuf {
    // target/<profile>/deps/serve-… lies beside target/<profile>/examples/echo.
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/echo")
}

fn read_lines(stdout: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let line = line.unwrap();
            let message = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Echo {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut process = Command::new(program())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo builds the examples before it runs the tests");
        let stdin = process.stdin.take();
        let lines = read_lines(process.stdout.take().unwrap());
        Self { process, stdin, lines }
    }

    fn initialized() -> Self {
        let mut echo = Self::start();
        echo.say(&initialize(json!({})));
        let answer = echo.hear();
        assert_eq!(answer["result"]["protocolVersion"], "1.0", "{answer}");
        assert_eq!(echo.hear()["method"], "processor/status");
        echo
    }

    fn say(&mut self, message: &Value) {
        self.say_raw(&format!("{message}\n"));
    }

    fn say_raw(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn run(&mut self, id: u64, task: &str, attempt: u32, params: Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": "task/run", "params": {
            "taskId": task, "attempt": attempt, "stage": "echo", "schemaVersion": "1.0",
            "params": params,
        }}));
    }

    fn hear(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("a message")
    }

    /// The response with this id, and what came before it.
    fn hear_response(&self, id: u64) -> (Value, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let message = self.hear();
            if message["id"] == id {
                return (message, before);
            }
            before.push(message);
        }
    }

    fn close_stdin(&mut self) {
        self.stdin = None;
    }

    fn exit_code(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the process does not end");
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn initialize(more: Value) -> Value {
    let mut params = json!({
        "protocolVersions": ["1.0"],
        "worker": {"name": "test", "version": "0"},
        "limits": {"graceMs": 2000},
    });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

fn error_code(message: &Value) -> i64 {
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {message}"))
}

#[test]
fn before_initialize_everything_else_is_refused() {
    let mut echo = Echo::start();
    echo.say(&json!({"jsonrpc": "2.0", "id": 5, "method": "ping", "params": {}}));
    assert_eq!(error_code(&echo.hear()), -32002);
    echo.say_raw("rubbish\n");
    assert_eq!(error_code(&echo.hear()), -32700);
    echo.say(&json!({"jsonrpc": "2.0", "id": 6, "method": "initialize", "params": {}}));
    assert_eq!(error_code(&echo.hear()), -32602);
    echo.say(&initialize(json!({"later": 1})));
    assert_eq!(echo.hear()["result"]["stages"][0]["stage"], "echo");
}

#[test]
fn a_version_that_is_not_spoken_ends_the_process_with_3() {
    let mut echo = Echo::start();
    echo.say(&initialize(json!({"protocolVersions": ["2.0", "7.1"]})));
    let answer = echo.hear();
    assert_eq!(error_code(&answer), 1001);
    assert_eq!(answer["error"]["data"]["supported"], json!(["1.0"]));
    assert_eq!(echo.exit_code(), 3);
}

#[test]
fn a_placement_that_cannot_be_had_ends_the_process_with_4() {
    let mut echo = Echo::start();
    echo.say(&initialize(json!({"placement": {"cpus": "8000"}})));
    assert_eq!(error_code(&echo.hear()), 1004);
    assert_eq!(echo.exit_code(), 4);
}

#[test]
fn a_processor_that_warms_up_says_so_and_takes_tasks_meanwhile() {
    let mut echo = Echo::start_with(&[("ECHO_WARM_UP_MS", "500")]);
    echo.say(&initialize(json!({})));
    assert_eq!(echo.hear()["result"]["protocolVersion"], "1.0");
    let status = echo.hear();
    assert_eq!(status["method"], "processor/status", "{status}");
    let expected = json!({"state": "warming", "reason": "waiting for 500ms"});
    assert_eq!(status["params"], expected);
    echo.run(7, "a", 1, json!({"payload": "x"}));
    let heard: Vec<Value> = (0..2).map(|_| echo.hear()).collect();
    assert!(heard.iter().any(|m| m["params"] == json!({"state": "ready"})), "{heard:?}");
    assert!(heard.iter().any(|m| m["result"]["output"]["payload"] == "x"), "{heard:?}");
}

#[test]
fn a_processor_that_cannot_warm_up_is_degraded_and_says_why() {
    let mut echo = Echo::start_with(&[("ECHO_WARM_UP_MS", "0")]);
    echo.say(&initialize(json!({})));
    echo.hear();
    assert_eq!(echo.hear()["params"]["state"], "warming");
    let status = echo.hear();
    assert_eq!(status["params"]["state"], "degraded", "{status}");
    assert!(status["params"]["reason"].as_str().unwrap().contains("no time"), "{status}");
    echo.run(7, "a", 1, json!({"payload": "x"}));
    assert_eq!(echo.hear()["result"]["output"]["payload"], "x");
}

#[test]
fn tasks_run_side_by_side_up_to_the_offer_and_ping_is_answered_meanwhile() {
    let mut echo = Echo::initialized();
    echo.run(1, "slow", 1, json!({"payload": "s", "ticks": 1, "intervalMs": 700}));
    echo.run(2, "fast", 1, json!({"payload": [null]}));
    assert_eq!(echo.hear_response(2).0["result"]["output"], json!({"payload": [null]}));
    echo.run(3, "slow2", 1, json!({"payload": 1, "ticks": 1, "intervalMs": 700}));
    echo.run(4, "third", 1, json!({"payload": 1}));
    assert_eq!(error_code(&echo.hear_response(4).0), 1003);
    echo.say(&json!({"jsonrpc": "2.0", "id": 5, "method": "ping"}));
    assert_eq!(echo.hear_response(5).0["result"]["openTasks"], 2);
    let (answer, before) = echo.hear_response(1);
    assert_eq!(answer["result"]["output"]["payload"], "s");
    assert!(before.iter().any(|m| m["method"] == "task/progress" && m["params"]["done"] == 1));
}

#[test]
fn a_cancelled_task_ends_with_one_response_and_cancelling_twice_is_no_error() {
    let mut echo = Echo::initialized();
    echo.run(1, "t", 1, json!({"payload": 1, "ticks": 100, "intervalMs": 60_000}));
    for (id, open) in [(2, true), (3, false)] {
        let params = json!({"taskId": "t"});
        echo.say(&json!({"jsonrpc": "2.0", "id": id, "method": "task/cancel", "params": params}));
        assert_eq!(echo.hear_response(id).0["result"]["open"], open, "cancel {id}");
        if open {
            assert_eq!(error_code(&echo.hear_response(1).0), -32800);
        }
    }
}

#[test]
fn a_panic_and_bad_parameters_are_errors_of_their_task_alone() {
    let mut echo = Echo::initialized();
    echo.run(1, "a", 1, json!({"payload": 1, "fail": "panic"}));
    let answer = echo.hear_response(1).0;
    assert_eq!(error_code(&answer), -32603);
    assert_eq!(answer["error"]["data"]["class"], "temporary");
    assert_eq!(answer["error"]["message"], "the stage panicked: as asked");
    echo.run(2, "b", 1, json!({"payload": 1, "ticks": 2_000_000}));
    assert_eq!(error_code(&echo.hear_response(2).0), -32602);
    echo.run(3, "c", 1, json!({"payload": 1, "fail": "permanent"}));
    assert_eq!(error_code(&echo.hear_response(3).0), 1006);
    echo.run(4, "d", 1, json!({"payload": 1}));
    assert!(echo.hear_response(4).0["result"].is_object());
}

#[test]
fn an_attempt_lower_than_one_seen_is_refused() {
    let mut echo = Echo::initialized();
    echo.run(1, "t", 3, json!({"payload": 1}));
    echo.hear_response(1);
    echo.run(2, "t", 2, json!({"payload": 1}));
    assert_eq!(error_code(&echo.hear_response(2).0), 1006);
    echo.run(3, "t", 4, json!({"payload": 1}));
    assert!(echo.hear_response(3).0["result"].is_object());
}

#[test]
fn shutdown_drains_and_the_process_ends_with_0() {
    let mut echo = Echo::initialized();
    echo.run(1, "t", 1, json!({"payload": 1, "ticks": 1, "intervalMs": 500}));
    let params = json!({"mode": "drain"});
    echo.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "shutdown", "params": params}));
    assert_eq!(echo.hear_response(2).0["result"]["openTasks"], 1);
    echo.run(3, "u", 1, json!({"payload": 1}));
    assert_eq!(error_code(&echo.hear_response(3).0), 1003);
    assert!(echo.hear_response(1).0["result"].is_object());
    echo.close_stdin();
    assert_eq!(echo.exit_code(), 0);
}

#[test]
fn shutdown_interrupts_open_tasks() {
    let mut echo = Echo::initialized();
    echo.run(1, "t", 1, json!({"payload": 1, "ticks": 9, "intervalMs": 60_000}));
    let params = json!({"mode": "interrupt"});
    echo.say(&json!({"jsonrpc": "2.0", "id": 2, "method": "shutdown", "params": params}));
    assert_eq!(error_code(&echo.hear_response(1).0), 1011);
    echo.close_stdin();
    assert_eq!(echo.exit_code(), 0);
}

#[test]
fn the_end_of_stdin_without_shutdown_ends_the_process_with_1() {
    let mut echo = Echo::initialized();
    echo.run(1, "t", 1, json!({"payload": 1, "ticks": 9, "intervalMs": 60_000}));
    echo.close_stdin();
    assert_eq!(error_code(&echo.hear_response(1).0), 1011);
    assert_eq!(echo.exit_code(), 1);
}

#[test]
fn frames_of_16_mib_pass_both_ways_and_longer_ones_are_refused() {
    let mut echo = Echo::initialized();
    let payload = "x".repeat((16 << 20) - 4096);
    echo.run(1, "t", 1, json!({"payload": payload}));
    let answer = echo.hear_response(1).0;
    assert_eq!(answer["result"]["output"]["payload"].as_str().map(str::len), Some(payload.len()));
    let payload = "x".repeat((16 << 20) + 1);
    echo.run(2, "u", 1, json!({"payload": payload}));
    let refused = echo.hear();
    assert_eq!((error_code(&refused), &refused["id"]), (-32600, &Value::Null));
}

#[test]
fn stdin_may_be_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("session.jsonl");
    std::fs::write(&file, format!("{}\n", initialize(json!({})))).unwrap();
    let mut process = Command::new(program())
        .stdin(std::fs::File::open(file).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut text = String::new();
    process.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    assert!(text.starts_with(r#"{"jsonrpc":"2.0","id":0,"result":"#), "{text}");
}
