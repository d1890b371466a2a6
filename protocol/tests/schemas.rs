// SPDX-License-Identifier: MIT OR Apache-2.0

//! The committed schemas are those of the types, and every example fits its schema and its type.
//!
//! `UPDATE_SCHEMAS=1 cargo test -p sealpipe-protocol --test schemas` writes the schemas anew.

use std::{collections::BTreeSet, fs, path::PathBuf};

use sealpipe_protocol::{
    Stage,
    error::ErrorData,
    message::{self, Message},
    method::*,
    schema,
    stage::{Job, add_pieces, c1, c2, echo, pc1, pc2, tree_d, unseal, verify},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/v1")
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap();
    text.push('\n');
    text
}

#[test]
fn committed_schemas_are_those_of_the_types() {
    let mut files: Vec<(String, String)> =
        schema::files().into_iter().map(|f| (f.name, pretty(&f.schema))).collect();
    files.push(("registry.json".into(), pretty(&schema::registry())));
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        for (name, text) in &files {
            fs::write(dir().join(name), text).unwrap();
        }
    }
    let committed: BTreeSet<String> = fs::read_dir(dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    let made: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(committed, made, "run again with UPDATE_SCHEMAS=1");
    for (name, text) in files {
        let on_disk = fs::read_to_string(dir().join(&name)).unwrap();
        assert!(on_disk == text, "{name} is not the types' schema: run with UPDATE_SCHEMAS=1");
    }
}

fn schema_of(name: &str) -> jsonschema::Validator {
    let file = format!("{name}.schema.json");
    let found = schema::files().into_iter().find(|f| f.name == file);
    let schema = found.unwrap_or_else(|| panic!("no schema is called {file}")).schema;
    jsonschema::validator_for(&schema).unwrap()
}

fn fits(name: &str, value: &Value) {
    let errors: Vec<String> = schema_of(name).iter_errors(value).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?} in {value}");
}

/// Reads a value as `T`, and finds the same value when it is written again.
fn survives<T: Serialize + DeserializeOwned>(name: &str, value: &Value) {
    let read: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(&serde_json::to_value(read).unwrap(), value, "{name}");
}

fn params_survive(method: &str, value: &Value) {
    match method {
        "initialize" => survives::<InitializeParams>(method, value),
        "task/run" => survives::<TaskRunParams>(method, value),
        "task/cancel" => survives::<TaskCancelParams>(method, value),
        "ping" => survives::<Empty>(method, value),
        "shutdown" => survives::<ShutdownParams>(method, value),
        "processor/status" => survives::<ProcessorStatus>(method, value),
        "task/progress" => survives::<TaskProgress>(method, value),
        "log/message" => survives::<LogMessage>(method, value),
        other => panic!("{other} is no method"),
    }
}

fn result_survives(method: &str, value: &Value) {
    match method {
        "initialize" => survives::<InitializeResult>(method, value),
        "task/run" => survives::<TaskRunResult>(method, value),
        "task/cancel" => survives::<TaskCancelResult>(method, value),
        "ping" | "shutdown" => survives::<PingResult>(method, value),
        other => panic!("{other} is no request"),
    }
}

fn output_survives(stage: Stage, value: &Value) {
    let name = stage.name();
    match stage {
        Stage::Echo => survives::<echo::Output>(name, value),
        Stage::AddPieces => survives::<add_pieces::Output>(name, value),
        Stage::TreeD => survives::<tree_d::Output>(name, value),
        Stage::Pc1 => survives::<pc1::Output>(name, value),
        Stage::Pc2 => survives::<pc2::Output>(name, value),
        Stage::C1 => survives::<c1::Output>(name, value),
        Stage::C2 => survives::<c2::Output>(name, value),
        Stage::Verify => survives::<verify::Output>(name, value),
        Stage::Unseal => survives::<unseal::Output>(name, value),
    }
}

fn stage_schema(stage: Stage, part: &str) -> String {
    format!("stage.{}.{part}", stage.name().replace('_', "-"))
}

/// Checks a message; what an example file is called says what it is an example of:
/// `<method>.params.json`, `<method>.result.json`, `<method>.error.json`, or
/// `task-run.<stage>.params.json` and `task-run.<stage>.result.json`.
fn check_example(name: &str, text: &str) {
    let stem = name.strip_suffix(".json").unwrap();
    let (subject, part) = stem.rsplit_once('.').unwrap();
    let (method_name, stage) = match subject.split_once('.') {
        Some((method, stage)) => (method, stage.replace('-', "_").parse::<Stage>().ok()),
        None => (subject, None),
    };
    let value: Value = serde_json::from_str(text).unwrap();
    let line = serde_json::to_string(&value).unwrap();
    match (message::parse(line.as_bytes()).unwrap(), part) {
        (
            Message::Request { method, params, .. } | Message::Notification { method, params },
            "params",
        ) => {
            assert_eq!(method.replace('/', "-"), method_name, "{name}");
            let params: Value = serde_json::from_str(params.unwrap().get()).unwrap();
            fits(&format!("{method_name}.params"), &params);
            params_survive(&method, &params);
            if method == TaskRun::METHOD {
                let stage = stage.unwrap_or_else(|| panic!("{name} names no stage"));
                assert_eq!(params["stage"], stage.name());
                fits(&stage_schema(stage, "params"), &params["params"]);
                let raw = RawValue::from_string(params["params"].to_string()).unwrap();
                let job = Job::parse(stage, &raw).unwrap_or_else(|e| panic!("{name}: {e}"));
                let again: Value = serde_json::from_str(job.to_raw().unwrap().get()).unwrap();
                assert_eq!(again, params["params"], "{name}");
            }
        }
        (Message::Response { outcome: Ok(result), .. }, "result") => {
            let result: Value = serde_json::from_str(result.get()).unwrap();
            fits(&format!("{method_name}.result"), &result);
            result_survives(&method_name.replace("task-", "task/"), &result);
            if let Some(stage) = stage {
                fits(&stage_schema(stage, "output"), &result["output"]);
                output_survives(stage, &result["output"]);
            }
        }
        (Message::Response { outcome: Err(error), .. }, "error") => {
            let data: Value = serde_json::from_str(error.data().unwrap().get()).unwrap();
            fits("error.data", &data);
            serde_json::from_value::<ErrorData>(data.clone()).unwrap();
            if error.code() == sealpipe_protocol::Code::UnsupportedVersion.number() {
                fits("unsupported-version.data", &data);
                survives::<UnsupportedVersionData>(name, &data);
            }
        }
        (other, _) => panic!("{name} is {other:?}"),
    }
}

#[test]
fn every_message_has_an_example_that_fits() {
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(dir().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        check_example(&name, &fs::read_to_string(&path).unwrap());
        seen.insert(name);
    }
    let mut wanted = BTreeSet::new();
    for row in schema::methods().as_array().unwrap() {
        let method = row["method"].as_str().unwrap().replace('/', "-");
        let subjects: Vec<String> = match method.as_str() {
            "task-run" => Stage::ALL
                .iter()
                .map(|s| format!("task-run.{}", s.name().replace('_', "-")))
                .collect(),
            _ => vec![method],
        };
        for subject in subjects {
            wanted.insert(format!("{subject}.params.json"));
            if row["kind"] == "request" {
                wanted.insert(format!("{subject}.result.json"));
            }
        }
    }
    let missing: Vec<_> = wanted.difference(&seen).collect();
    assert!(missing.is_empty(), "no example for {missing:?}");
    assert!(seen.iter().any(|name| name.ends_with(".error.json")));
}

#[test]
fn what_does_not_fit_the_schema_does_not_fit_the_type() {
    let check = |name: &str, value: Value, read: &dyn Fn(Value) -> bool| {
        assert!(!schema_of(name).is_valid(&value), "the schema of {name} takes {value}");
        assert!(!read(value.clone()), "the type of {name} takes {value}");
    };
    let hex = "00".repeat(32);
    let tree_d =
        |v: Value| Job::parse(Stage::TreeD, &RawValue::from_string(v.to_string()).unwrap()).is_ok();
    for params in [
        serde_json::json!({"proof": "StackedDrg1KiBV1", "unsealedPath": "/u", "cacheDir": "/c"}),
        serde_json::json!({"proof": "StackedDrg2KiBV1_1", "unsealedPath": "/u"}),
        serde_json::json!({"proof": "StackedDrg2KiBV1_1", "unsealedPath": 7, "cacheDir": "/c"}),
    ] {
        check("stage.tree-d.params", params, &tree_d);
    }
    let output = |v: Value| serde_json::from_value::<tree_d::Output>(v).is_ok();
    for bad in ["", "00", &hex.replace('0', "G"), &format!("{hex}00")] {
        check("stage.tree-d.output", serde_json::json!({ "commD": bad }), &output);
    }
}
