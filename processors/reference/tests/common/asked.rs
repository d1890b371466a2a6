// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor that is asked one thing after the other, as a worker asks.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

/// A running processor.
pub struct Processor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    n_asked: u32,
}

impl Processor {
    /// Starts it for a sealpipe worker.
    pub fn start(command: &mut Command) -> Self {
        let command = command.env("SEALPIPE_PROTOCOL", "1.0");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout, n_asked: 0 }
    }

    /// The whole answer to a request.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.n_asked += 1;
        let id = self.n_asked;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.stdin, "{request}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "it ended");
            let frame: Value = serde_json::from_str(&line).unwrap();
            if frame["id"] == id {
                return frame;
            }
        }
    }

    /// The answer to `initialize`, which grants nothing.
    pub fn initialize(&mut self, entry: &str) -> Value {
        let params = json!({
            "protocolVersions": ["1.0"],
            "worker": {"name": "test", "version": "1"},
            "entry": entry,
            "limits": {"maxFrameBytes": 16_777_216, "graceMs": 10_000},
            "placement": {},
        });
        self.ask("initialize", &params)
    }

    /// Waits until it has ended by itself; its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks it to shut down, while no task is open, and ends its stdin.
    pub fn shut_down(mut self) {
        let answer = self.ask("shutdown", &json!({"mode": "drain"}));
        assert_eq!(answer["result"]["openTasks"], 0, "{answer}");
        drop(self.stdin);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}
