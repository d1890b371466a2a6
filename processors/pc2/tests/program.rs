// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as a worker meets it: with a GPU that is not there, and with the explicit choice of the CPU.

#[path = "../../reference/tests/common/asked.rs"]
mod asked;

use std::process::Command;

use asked::Processor;
use serde_json::json;

fn start(arguments: &[&str]) -> Processor {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpipe-pc2"));
    // No GPU is visible, whatever the machine has.
    Processor::start(command.args(arguments).env("CUDA_VISIBLE_DEVICES", ""))
}

#[test]
fn without_a_gpu_it_says_so_and_does_not_start() {
    let mut processor = start(&["processor", "pc2"]);
    let answer = processor.initialize("pc2[0]");
    let error = &answer["error"];
    assert_eq!(error["code"], 1004, "{answer}");
    assert_eq!(error["data"]["class"], "permanent", "{answer}");
    assert!(error["data"]["hint"].as_str().unwrap().contains("--device cpu"), "{answer}");
    assert_eq!(processor.wait(), Some(4));
}

#[test]
fn on_the_cpu_by_choice_it_says_cpu_and_names_what_is_missing() {
    for arguments in [&["--device", "cpu"][..], &["processor", "pc2", "--device", "cpu"]] {
        let mut processor = start(arguments);
        let answer = processor.initialize("pc2[0]");
        let stage = &answer["result"]["stages"][0];
        assert_eq!((&stage["stage"], &stage["device"]), (&json!("pc2"), &json!("cpu")), "{answer}");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(dir.path().join("cache")).unwrap();
        let answer = processor.ask(
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
        processor.shut_down();
    }
}
