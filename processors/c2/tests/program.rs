// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as a worker meets it: with a GPU that is not there, and with the explicit choice of the CPU.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Processor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    // Empty, so that parameters of this machine play no part.
    parameters: TempDir,
}

impl Processor {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let parameters = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealpipe-c2"))
            .args(arguments)
            .env("SEALPIPE_PROTOCOL", "1.0")
            .env("FIL_PROOFS_PARAMETER_CACHE", parameters.path())
            // No GPU is visible, whatever the machine has.
            .env("CUDA_VISIBLE_DEVICES", "")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout, parameters }
    }

    fn ask(&mut self, id: u32, method: &str, params: &Value) -> Value {
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

    fn initialize(&mut self) -> Value {
        self.ask(
            1,
            "initialize",
            &json!({
                "protocolVersions": ["1.0"],
                "worker": {"name": "test", "version": "1"},
                "entry": "c2[0]",
                "limits": {"maxFrameBytes": 16_777_216, "graceMs": 10_000},
                "placement": {},
            }),
        )
    }
}

#[test]
fn without_a_gpu_it_says_so_and_does_not_start() {
    let mut processor = Processor::start(&["processor", "c2"]);
    let answer = processor.initialize();
    let error = &answer["error"];
    assert_eq!(error["code"], 1004, "{answer}");
    assert_eq!(error["data"]["class"], "permanent", "{answer}");
    assert!(error["data"]["hint"].as_str().unwrap().contains("--device cpu"), "{answer}");
    assert_eq!(processor.child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_limit_that_is_no_number_is_refused_at_the_start() {
    let variables = [("SEALPIPE_C2_MEMORY", "25GB")];
    let mut processor = Processor::start_with(&["processor", "c2"], &variables);
    let answer = processor.initialize();
    let error = &answer["error"];
    assert_eq!((&error["code"], &error["data"]["class"]), (&json!(-32602), &json!("permanent")));
    let message = error["message"].as_str().unwrap();
    assert_eq!(message, "SEALPIPE_C2_MEMORY is \"25GB\", expected a number of bytes");
    assert!(error["data"]["hint"].as_str().unwrap().contains("25000000000"), "{answer}");
    assert_eq!(processor.child.wait().unwrap().code(), Some(4));
}

#[test]
fn on_the_cpu_by_choice_it_says_cpu_and_names_what_is_missing() {
    for arguments in [&["--device", "cpu"][..], &["processor", "c2", "--device", "cpu"]] {
        let mut processor = Processor::start(arguments);
        let answer = processor.initialize();
        let stages = answer["result"]["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 1, "{answer}");
        assert_eq!((&stages[0]["stage"], &stages[0]["device"]), (&json!("c2"), &json!("cpu")));
        let implementation = stages[0]["implementation"].as_str().unwrap();
        assert!(implementation.contains("bellperson"), "{implementation}");
        let path = processor.parameters.path().join("c1.json");
        let task = json!({
            "taskId": "s/c2", "attempt": 1, "stage": "c2", "schemaVersion": "1.0",
            "params": {
                "proof": "StackedDrg2KiBV1_1", "proverId": "09".repeat(32), "sectorNumber": 1,
                "c1": {"path": path, "size": 3, "sha256": "00".repeat(32)},
            },
        });
        // The parameters come first: without them nothing else matters.
        let answer = processor.ask(2, "task/run", &task);
        assert_eq!(answer["error"]["code"], 2001, "{answer}");
        assert!(answer["error"]["data"]["hint"].as_str().unwrap().contains("params make"));
        let mut verify = task.clone();
        verify["stage"] = "verify".into();
        let answer = processor.ask(3, "task/run", &verify);
        assert_eq!(answer["error"]["code"], 1002, "{answer}");
        let answer = processor.ask(4, "shutdown", &json!({"mode": "drain"}));
        assert_eq!(answer["result"]["openTasks"], 0, "{answer}");
        drop(processor.stdin);
        assert_eq!(processor.child.wait().unwrap().code(), Some(0));
    }
}
