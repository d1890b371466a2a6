// SPDX-License-Identifier: MIT OR Apache-2.0

//! As much of a worker as it takes to have proofs made one after the other.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use sealpipe_protocol::{Base64, Code, PROTOCOL_ENV, TaskError};
use serde_json::{Value, json};

use super::sectors::Sector;

/// This program as a processor, running.
pub struct Processor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    next: u64,
    /// What it offers.
    pub offer: Value,
    /// What it wrote into its log since the last request.
    pub log: Vec<String>,
}

fn failed(what: impl std::fmt::Display) -> TaskError {
    TaskError::new(Code::InternalError, format!("the processor: {what}"))
}

impl Processor {
    /// Starts it and says hello.
    ///
    /// # Errors
    /// What it says, when it does not want to.
    pub fn start(device: &str) -> Result<Self, TaskError> {
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .args(["processor", "c2", "--device", device])
            .env(PROTOCOL_ENV, "1.0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("no pipes"));
        };
        let stdout = BufReader::new(stdout);
        let mut started = Self { child, stdin, stdout, next: 0, offer: Value::Null, log: vec![] };
        let hello = json!({
            "protocolVersions": ["1.0"],
            "worker": { "name": "bench", "version": env!("CARGO_PKG_VERSION") },
            "entry": "c2[0]",
            "limits": { "maxFrameBytes": 16_777_216, "graceMs": 10_000 },
            "placement": {},
        });
        let answer = started.ask("initialize", &hello)?;
        started.offer = answer["stages"][0].clone();
        Ok(started)
    }

    /// Has a sector proved.
    ///
    /// # Errors
    /// What it says.
    pub fn prove(&mut self, i: usize, sector: &Sector) -> Result<Base64, TaskError> {
        let task = json!({
            "taskId": format!("bench/{i}"), "attempt": 1, "stage": "c2", "schemaVersion": "1.0",
            "params": sector.params(),
        });
        let answer = self.ask("task/run", &task)?;
        serde_json::from_value(answer["output"]["proof"].clone()).map_err(failed)
    }

    fn ask(&mut self, method: &str, params: &Value) -> Result<Value, TaskError> {
        self.next += 1;
        self.log.clear();
        let request =
            json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params });
        writeln!(self.stdin, "{request}").map_err(failed)?;
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line).map_err(failed)? == 0 {
                return Err(failed("it ended"));
            }
            let frame: Value = serde_json::from_str(&line).map_err(failed)?;
            if frame["method"] == "log/message" {
                self.log.extend(frame["params"]["message"].as_str().map(str::to_owned));
            }
            if frame["id"] != self.next {
                continue;
            }
            return match frame.get("error") {
                None => Ok(frame["result"].clone()),
                Some(error) => {
                    let text = error["message"].as_str().unwrap_or("no message").to_owned();
                    let hint = error["data"]["hint"].as_str().unwrap_or_default().to_owned();
                    Err(TaskError::new(Code::InternalError, text).hint(hint))
                }
            };
        }
    }

    /// Asks it to end, and waits.
    pub fn end(mut self) {
        let _ = self.ask("shutdown", &json!({ "mode": "drain" }));
        drop(self.stdin);
        let _ = self.child.wait();
    }
}
