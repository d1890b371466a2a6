// SPDX-License-Identifier: MIT OR Apache-2.0

//! The JSON Schemas of `schemas/v1`, made from the types of this crate.
//!
//! The schema of a type as it is read differs from that of the same type as it is written; the
//! normative one is what a receiver accepts.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::{
    error::{Code, ErrorData},
    method::{
        Empty, Initialize, InitializeParams, InitializeResult, LogMessage, Notification, Ping,
        PingResult, ProcessorStatus, Request, Shutdown, ShutdownParams, TaskCancel,
        TaskCancelParams, TaskCancelResult, TaskProgress, TaskRun, TaskRunParams, TaskRunResult,
        UnsupportedVersionData,
    },
    stage::{Stage, add_pieces, c1, c2, echo, pc1, pc2, tree_d, unseal, verify},
};

/// A file of `schemas/v1`: its name, and its content.
pub struct SchemaFile {
    /// Name within the directory, such as `task-run.params.schema.json`.
    pub name: String,
    /// The schema.
    pub schema: Value,
}

/// The names of the eight methods with their directions and kinds, as a table for machines.
pub fn methods() -> Value {
    let row =
        |name: &str, from: &str, kind: &str| json!({"method": name, "from": from, "kind": kind});
    json!([
        row(Initialize::METHOD, "worker", "request"),
        row(TaskRun::METHOD, "worker", "request"),
        row(TaskCancel::METHOD, "worker", "request"),
        row(Ping::METHOD, "worker", "request"),
        row(Shutdown::METHOD, "worker", "request"),
        row(ProcessorStatus::METHOD, "processor", "notification"),
        row(TaskProgress::METHOD, "processor", "notification"),
        row(LogMessage::METHOD, "processor", "notification"),
    ])
}

/// The table of methods, error codes and stages.
pub fn registry() -> Value {
    let codes: Vec<Value> = Code::ALL
        .iter()
        .map(|code| {
            json!({
                "code": code.number(),
                "name": format!("{code:?}"),
                "class": code.default_class(),
            })
        })
        .collect();
    let stages: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
    json!({
        "protocolVersion": "1.0",
        "methods": methods(),
        "errorCodes": codes,
        "stages": stages,
        "capabilities": [],
    })
}

/// All schemas, by name.
pub fn files() -> Vec<SchemaFile> {
    let mut files = vec![
        file::<InitializeParams>("initialize.params"),
        file::<InitializeResult>("initialize.result"),
        file::<TaskRunParams>("task-run.params"),
        file::<TaskRunResult>("task-run.result"),
        file::<TaskCancelParams>("task-cancel.params"),
        file::<TaskCancelResult>("task-cancel.result"),
        file::<Empty>("ping.params"),
        file::<PingResult>("ping.result"),
        file::<ShutdownParams>("shutdown.params"),
        file::<PingResult>("shutdown.result"),
        file::<ProcessorStatus>("processor-status.params"),
        file::<TaskProgress>("task-progress.params"),
        file::<LogMessage>("log-message.params"),
        file::<ErrorData>("error.data"),
        file::<UnsupportedVersionData>("unsupported-version.data"),
    ];
    files.extend(stage::<echo::Params, echo::Output>(Stage::Echo));
    files.extend(stage::<add_pieces::Params, add_pieces::Output>(Stage::AddPieces));
    files.extend(stage::<tree_d::Params, tree_d::Output>(Stage::TreeD));
    files.extend(stage::<pc1::Params, pc1::Output>(Stage::Pc1));
    files.extend(stage::<pc2::Params, pc2::Output>(Stage::Pc2));
    files.extend(stage::<c1::Params, c1::Output>(Stage::C1));
    files.extend(stage::<c2::Params, c2::Output>(Stage::C2));
    files.extend(stage::<verify::Params, verify::Output>(Stage::Verify));
    files.extend(stage::<unseal::Params, unseal::Output>(Stage::Unseal));
    files
}

fn stage<P: JsonSchema, O: JsonSchema>(stage: Stage) -> [SchemaFile; 2] {
    let name = format!("stage.{}", stage.name().replace('_', "-"));
    [file::<P>(&format!("{name}.params")), file::<O>(&format!("{name}.output"))]
}

fn file<T: JsonSchema>(name: &str) -> SchemaFile {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = serde_json::to_value(schema).unwrap_or(Value::Null);
    tidy(&mut schema);
    SchemaFile { name: format!("{name}.schema.json"), schema }
}

/// Makes a schema say what a receiver accepts and nothing else: the `format` of integers only says
/// how Rust stores them, and unknown members and words of an open enumeration are accepted.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            let is_integer = members.get("type").is_some_and(|t| mentions(t, "integer"));
            if is_integer {
                members.remove("format");
            }
            if members.get("additionalProperties") == Some(&Value::Bool(false)) {
                members.remove("additionalProperties");
            }
            if let Some(Value::Array(variants)) = members.get_mut("oneOf") {
                open(variants);
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Words of an enumeration that stand for any other one (`#[serde(other)]`).
const ANY_OTHER: [&str; 2] = ["unknown", "other"];

/// Lets an enumeration with a catch-all accept any other word.
fn open(variants: &mut [Value]) {
    let words = |variant: &Value| -> Vec<Value> {
        let list = variant["enum"].as_array().cloned().unwrap_or_default();
        list.into_iter().chain(variant.get("const").cloned()).collect()
    };
    let is_catch_all = |v: &Value| ANY_OTHER.iter().any(|word| v["const"] == *word);
    let known: Vec<Value> = variants.iter().filter(|v| !is_catch_all(v)).flat_map(words).collect();
    for variant in variants.iter_mut().filter(|v| is_catch_all(v)) {
        let description = variant["description"].clone();
        *variant = json!({"description": description, "type": "string", "not": {"enum": known}});
    }
}

fn mentions(value: &Value, word: &str) -> bool {
    value == word || value.as_array().is_some_and(|list| list.iter().any(|item| item == word))
}
