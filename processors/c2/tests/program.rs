// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as a worker meets it: with a GPU that is not there, and with the explicit choice of the CPU.

#[path = "../../reference/tests/common/asked.rs"]
mod asked;

use std::{path::Path, process::Command};

use asked::Processor;
use serde_json::json;

/// It with other parameters than this machine's, which play no part.
fn command(arguments: &[&str], parameters: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealpipe-c2"));
    command.args(arguments).env("FIL_PROOFS_PARAMETER_CACHE", parameters);
    // No GPU is visible, whatever the machine has.
    command.env("CUDA_VISIBLE_DEVICES", "");
    command
}

fn start(arguments: &[&str], parameters: &Path) -> Processor {
    Processor::start(&mut command(arguments, parameters))
}

#[test]
fn without_a_gpu_it_says_so_and_does_not_start() {
    let parameters = tempfile::tempdir().unwrap();
    let mut processor = start(&["processor", "c2"], parameters.path());
    let answer = processor.initialize("c2[0]");
    let error = &answer["error"];
    assert_eq!(error["code"], 1004, "{answer}");
    assert_eq!(error["data"]["class"], "permanent", "{answer}");
    assert!(error["data"]["hint"].as_str().unwrap().contains("--device cpu"), "{answer}");
    assert_eq!(processor.wait(), Some(4));
}

#[test]
fn a_limit_that_is_no_number_is_refused_at_the_start() {
    let parameters = tempfile::tempdir().unwrap();
    let mut command = command(&["processor", "c2"], parameters.path());
    let mut processor = Processor::start(command.env("SEALPIPE_C2_MEMORY", "25GB"));
    let answer = processor.initialize("c2[0]");
    let error = &answer["error"];
    assert_eq!((&error["code"], &error["data"]["class"]), (&json!(-32602), &json!("permanent")));
    let message = error["message"].as_str().unwrap();
    assert_eq!(message, "SEALPIPE_C2_MEMORY is \"25GB\", expected a number of bytes");
    assert!(error["data"]["hint"].as_str().unwrap().contains("25000000000"), "{answer}");
    assert_eq!(processor.wait(), Some(4));
}

#[test]
fn on_the_cpu_by_choice_it_says_cpu_and_names_what_is_missing() {
    for arguments in [&["--device", "cpu"][..], &["processor", "c2", "--device", "cpu"]] {
        let parameters = tempfile::tempdir().unwrap();
        let mut processor = start(arguments, parameters.path());
        let answer = processor.initialize("c2[0]");
        let stages = answer["result"]["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 1, "{answer}");
        assert_eq!((&stages[0]["stage"], &stages[0]["device"]), (&json!("c2"), &json!("cpu")));
        let implementation = stages[0]["implementation"].as_str().unwrap();
        assert!(implementation.contains("bellperson"), "{implementation}");
        let path = parameters.path().join("c1.json");
        let task = json!({
            "taskId": "s/c2", "attempt": 1, "stage": "c2", "schemaVersion": "1.0",
            "params": {
                "proof": "StackedDrg2KiBV1_1", "proverId": "09".repeat(32), "sectorNumber": 1,
                "c1": {"path": path, "size": 3, "sha256": "00".repeat(32)},
            },
        });
        // The parameters come first: without them nothing else matters.
        let answer = processor.ask("task/run", &task);
        assert_eq!(answer["error"]["code"], 2001, "{answer}");
        assert!(answer["error"]["data"]["hint"].as_str().unwrap().contains("params make"));
        let mut verify = task.clone();
        verify["stage"] = "verify".into();
        let answer = processor.ask("task/run", &verify);
        assert_eq!(answer["error"]["code"], 1002, "{answer}");
        processor.shut_down();
    }
}
