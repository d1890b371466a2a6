// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first words, read and answered before any thread exists.

use std::{
    fs::File,
    io::{self, Write},
};

use sealpipe_protocol::{
    method::{MemoryPolicy, Placement},
    placement::{self, CpuList},
};
use serde_json::{Value, json};

use crate::{
    MAX_CONCURRENT, MAX_FRAME_BYTES,
    faults::{Fault, has},
    framing::{Frame, Lines},
    message::{self, Message, error},
    outbox::line,
};

/// Reads until `initialize` is answered; its parameters, or the exit code.
pub fn run(lines: &mut Lines, output: &mut File) -> io::Result<Result<Value, u8>> {
    loop {
        let (reply, end) = match lines.next_frame()? {
            Frame::End => return Ok(Err(u8::from(!has(Fault::EarlyEndExitCode)))),
            Frame::TooLong if has(Fault::SkipsInSilence) => continue,
            Frame::TooLong => (Some(error(&Value::Null, -32600, "permanent", "too long")), None),
            Frame::Line(text) => answer(message::parse(&text)),
        };
        if matches!(end, Some(Ok(_))) && has(Fault::WaitsForAnotherLine) {
            lines.next_frame()?;
        }
        if let Some(reply) = reply {
            output.write_all(&line(&reply))?;
        }
        if let Some(end) = end {
            return Ok(end);
        }
    }
}

type Reply = (Option<Value>, Option<Result<Value, u8>>);

fn answer(message: Message) -> Reply {
    match message {
        Message::Request { id, method, params } if method == "initialize" => {
            let (mut reply, end) = initialize(&id, params);
            if has(Fault::InitializeWithoutData)
                && let Some(error) = reply.get_mut("error").filter(|e| e["code"] != 1001)
                && let Some(members) = error.as_object_mut()
            {
                members.remove("data");
            }
            (Some(reply), end)
        }
        Message::Request { id, method, .. } if method == "ping" && has(Fault::ServesEarly) => {
            (Some(message::result(&id, json!({"openTasks": 0}))), None)
        }
        Message::Request { id, .. } => {
            (Some(error(&id, -32002, "permanent", "`initialize` comes first")), None)
        }
        Message::Notification { .. } if has(Fault::AnswersEarlyNotifications) => {
            (Some(error(&Value::Null, -32002, "permanent", "`initialize` comes first")), None)
        }
        Message::Bad(reply) => (Some(reply), None),
        Message::Notification { .. } | Message::Batch(_) | Message::Nothing => (None, None),
    }
}

fn initialize(id: &Value, params: Value) -> (Value, Option<Result<Value, u8>>) {
    if !message::fits_initialize(&params) {
        let end = has(Fault::DiesOfWrongInitialize).then_some(Err(4));
        return (error(id, -32602, "permanent", "the parameters do not fit"), end);
    }
    let unknown = params["capabilities"].as_object().is_some_and(|known| !known.is_empty());
    if has(Fault::RefusesCapabilities) && unknown && params.get("x-unknown").is_none() {
        return (error(id, -32602, "permanent", "unknown capabilities"), None);
    }
    let Some(version) = choose_version(&params) else {
        let mut refusal = error(id, 1001, "permanent", "no version is common");
        if !has(Fault::HidesItsVersions) {
            refusal["error"]["data"]["supported"] = json!(["1.0"]);
        }
        return (refusal, Some(Err(if has(Fault::VersionExitCode) { 1 } else { 3 })));
    };
    let before = placement::observe();
    let granted = grant(&params["placement"]);
    let applied = match &granted {
        Some(granted) => placement::apply(granted).is_ok(),
        None => false,
    };
    if !applied {
        let code = if has(Fault::PlacementExitCode) { 1 } else { 4 };
        return (error(id, 1004, "permanent", "cannot be taken"), Some(Err(code)));
    }
    let observed = observe(&params["placement"], &before);
    (message::result(id, offer(&version, &observed)), Some(Ok(params)))
}

fn choose_version(params: &Value) -> Option<String> {
    let offered: Vec<&str> =
        params["protocolVersions"].as_array()?.iter().filter_map(Value::as_str).collect();
    if has(Fault::SpeaksAnotherVersion) && offered.contains(&"1.0") {
        return Some("1.1".into());
    }
    let newer = |version: &&&str| {
        let major = version.split('.').next().unwrap_or_default();
        major.parse::<u32>().is_ok_and(|major| major > 1)
    };
    let speaks = offered.contains(&"1.0")
        || offered.is_empty() && has(Fault::TakesNoVersion)
        || offered.iter().any(|v| newer(&v)) && has(Fault::TakesNewerVersions)
        || offered.iter().any(|v| !newer(&v)) && has(Fault::TakesOlderVersions);
    if !speaks {
        return None;
    }
    let first = offered.first().filter(|_| has(Fault::TakesFirstVersion));
    Some((*first.unwrap_or(&"1.0")).to_owned())
}

/// What is granted and applied; `None` for what cannot be.
fn grant(granted: &Value) -> Option<Placement> {
    let policy = match granted["memoryPolicy"].as_str() {
        None => None,
        Some("default") => Some(MemoryPolicy::Default),
        Some("preferred") => Some(MemoryPolicy::Preferred),
        Some("bind") => Some(MemoryPolicy::Bind),
        Some(_) if has(Fault::TakesUnknownPolicy) => Some(MemoryPolicy::Default),
        Some(_) => return None,
    };
    let mut placement = Placement {
        cpus: granted["cpus"].as_str().and_then(|cpus| cpus.parse().ok()),
        memory_node: granted["memoryNode"].as_u64().and_then(|node| node.try_into().ok()),
        memory_policy: policy,
        gpus: None,
    };
    if placement.memory_policy == Some(MemoryPolicy::Default) {
        placement.memory_node = None;
    }
    if has(Fault::TakesAbsentCpus)
        && let (Some(cpus), Ok(own)) = (&placement.cpus, placement::current_cpus())
    {
        placement.cpus = Some(cpus.intersection(&own)).filter(|left| !left.is_empty());
    }
    let absent = placement.memory_node.is_some_and(|node| node > 0);
    if has(Fault::TakesAbsentNode) && absent || has(Fault::LiesAboutPolicy) && !absent {
        placement.memory_node = None;
        placement.memory_policy = None;
    }
    if has(Fault::PinsUnasked) && placement.cpus.is_none() {
        // Where the first may not be used there is nothing to see.
        let _ = placement::apply(&Placement {
            cpus: Some(CpuList::from_iter([0])),
            ..Placement::default()
        });
    }
    Some(placement)
}

fn observe(granted: &Value, before: &Placement) -> Value {
    if has(Fault::EchoesGrant) {
        return if granted.is_object() { granted.clone() } else { json!({}) };
    }
    let mut observed = serde_json::to_value(placement::observe()).unwrap_or_default();
    if has(Fault::ObservesTooEarly) {
        observed["cpus"] = json!(before.cpus);
    }
    if has(Fault::LiesAboutPolicy) && granted["memoryNode"].is_u64() {
        observed["memoryNode"] = granted["memoryNode"].clone();
        observed["memoryPolicy"] =
            granted.get("memoryPolicy").cloned().unwrap_or_else(|| "preferred".into());
    }
    observed
}

fn offer(version: &str, observed: &Value) -> Value {
    let mut stage = json!({
        "stage": "echo", "schemaVersion": "1.0", "maxConcurrent": MAX_CONCURRENT, "device": "cpu",
    });
    if has(Fault::HidesDevice)
        && let Some(members) = stage.as_object_mut()
    {
        members.remove("device");
    }
    let mut offer = json!({
        "protocolVersion": version,
        "processor": {"name": "sealpipe-misbehaving", "version": env!("CARGO_PKG_VERSION")},
        "limits": {"maxFrameBytes": MAX_FRAME_BYTES},
        "stages": [stage],
        "placement": observed,
    });
    if has(Fault::OffersTwice) {
        offer["stages"] = json!([stage, stage]);
    }
    if has(Fault::IsNobody)
        && let Some(members) = offer.as_object_mut()
    {
        members.remove("processor");
    }
    if has(Fault::WritesFractions) {
        offer["limits"]["maxFrameBytes"] = json!(MAX_FRAME_BYTES as f64);
    }
    offer
}
