// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as a worker meets it: with a GPU that is not there, and with the explicit choice of the CPU.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

struct Processor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Processor {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealpipe-pc2"))
            .args(arguments)
            .env("SEALPIPE_PROTOCOL", "1.0")
            // No GPU is visible, whatever the machine has.
            .env("CUDA_VISIBLE_DEVICES", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
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
                "entry": "pc2[0]",
                "limits": {"maxFrameBytes": 16_777_216, "graceMs": 10_000},
                "placement": {},
            }),
        )
    }
}

#[test]
fn without_a_gpu_it_says_so_and_does_not_start() {
    let mut processor = Processor::start(&["processor", "pc2"]);
    let answer = processor.initialize();
    let error = &answer["error"];
    assert_eq!(error["code"], 1004, "{answer}");
    assert_eq!(error["data"]["class"], "permanent", "{answer}");
    assert!(error["data"]["hint"].as_str().unwrap().contains("--device cpu"), "{answer}");
    assert_eq!(processor.child.wait().unwrap().code(), Some(4));
}

#[test]
fn on_the_cpu_by_choice_it_says_cpu_and_names_what_is_missing() {
    for arguments in [&["--device", "cpu"][..], &["processor", "pc2", "--device", "cpu"]] {
        let mut processor = Processor::start(arguments);
        let answer = processor.initialize();
        let stage = &answer["result"]["stages"][0];
        assert_eq!((&stage["stage"], &stage["device"]), (&json!("pc2"), &json!("cpu")), "{answer}");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(dir.path().join("cache")).unwrap();
        let answer = processor.ask(
            2,
            "task/run",
            &json!({
                "taskId": "s/pc2", "attempt": 1, "stage": "pc2", "schemaVersion": "1.0",
                "params": {
                    "proof": "StackedDrg2KiBV1_1",
                    "replicaId": "05".repeat(32), "commD": "0d".repeat(32),
                    "unsealedPath": path("unsealed"), "sealedPath": path("sealed"),
                    "cacheDir": path("cache"), "workDir": path("work"),
                },
            }),
        );
        assert_eq!(answer["error"]["code"], 1005, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with("tree-d "), "{answer}");
        let answer = processor.ask(3, "shutdown", &json!({"mode": "drain"}));
        assert_eq!(answer["result"]["openTasks"], 0, "{answer}");
        drop(processor.stdin);
        assert_eq!(processor.child.wait().unwrap().code(), Some(0));
    }
}
