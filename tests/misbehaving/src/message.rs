// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lines to messages, and whether parameters fit.

use serde_json::{Value, json};

use crate::faults::{Fault, has};

/// Largest integer on the wire.
const MAX_INTEGER: u64 = sealpipe_protocol::MAX_INTEGER;

/// What is on a line.
pub enum Message {
    /// Wants an answer.
    Request {
        /// Its id.
        id: Value,
        /// The method.
        method: String,
        /// The parameters, an object.
        params: Value,
    },
    /// Wants none.
    Notification {
        /// The method.
        method: String,
        /// The parameters.
        params: Value,
    },
    /// Several at once.
    Batch(Vec<Value>),
    /// To be passed over.
    Nothing,
    /// To be answered so.
    Bad(Value),
}

/// An answer with a result.
pub fn result(id: &Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// An answer with an error of a class.
pub fn error(id: &Value, code: i64, class: &str, message: &str) -> Value {
    let data = json!({"class": class});
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}})
}

/// Reads a line.
pub fn parse(line: &[u8]) -> Message {
    let bad = |code, text: &str| Message::Bad(error(&Value::Null, code, "permanent", text));
    if has(Fault::DiesOfByteOrderMark) && line.starts_with(b"\xef\xbb\xbf") {
        std::process::exit(1);
    }
    if has(Fault::DiesOfDepth) && line.iter().filter(|b| matches!(b, b'[' | b'{')).count() > 10_000
    {
        std::process::exit(134);
    }
    if has(Fault::DiesOfHugeNumbers) && line.windows(5).any(|window| window == b"1e400") {
        std::process::exit(134);
    }
    let repaired = String::from_utf8_lossy(line);
    let parsed = if has(Fault::RepairsUtf8) {
        serde_json::from_str(&repaired)
    } else {
        serde_json::from_slice::<Value>(line)
    };
    let refused = has(Fault::RefusesCarriageReturns) && line.ends_with(b"\r");
    let value = match parsed {
        Ok(value) if !refused => value,
        _ if has(Fault::SilentOnRubbish) => return Message::Nothing,
        _ if has(Fault::RubbishIsARequest) => return bad(-32600, "not JSON"),
        _ => return bad(-32700, "not JSON"),
    };
    match value {
        Value::Array(items) if has(Fault::ServesBatches) => Message::Batch(items),
        value => classify(value),
    }
}

/// Tells messages apart.
pub fn classify(value: Value) -> Message {
    let mut id = value.get("id").cloned();
    let bad = |id: Option<&Value>, text: &str| {
        let known = id.filter(|id| is_id(id) && !has(Fault::LosesIdOfBadRequest));
        Message::Bad(error(known.unwrap_or(&Value::Null), -32600, "permanent", text))
    };
    let Some(members) = value.as_object() else { return bad(None, "no object") };
    let is_response = members.contains_key("result") || members.contains_key("error");
    if is_response && !members.contains_key("method") {
        if has(Fault::AnswersResponses) {
            return bad(None, "no request");
        }
        return Message::Nothing;
    }
    if has(Fault::IdsBecomeNumbers)
        && let Some(number) = id.as_ref().and_then(Value::as_str).and_then(|s| s.parse().ok())
    {
        id = Some(Value::Number(number));
    }
    if value["jsonrpc"] != "2.0" && !has(Fault::AnyJsonrpc) {
        return bad(id.as_ref(), "`jsonrpc` is \"2.0\"");
    }
    let Some(method) = value["method"].as_str() else { return bad(id.as_ref(), "no method") };
    if id.as_ref().is_some_and(|id| !is_id(id)) && !has(Fault::AnyId) {
        return bad(None, "no such id");
    }
    let params = match members.get("params") {
        None if has(Fault::WantsParams) && method == "ping" => {
            return bad(id.as_ref(), "no `params`");
        }
        None => json!({}),
        Some(Value::Array(_)) if has(Fault::ParamsMayBeArrays) => json!({}),
        Some(params) if params.is_object() => params.clone(),
        Some(_) => return bad(id.as_ref(), "`params` is an object"),
    };
    let method = method.to_owned();
    match id {
        Some(id) => Message::Request { id, method, params },
        None => Message::Notification { method, params },
    }
}

fn is_id(id: &Value) -> bool {
    id.is_string() || integer(id, 0, MAX_INTEGER)
}

/// Whether it is an integer within these bounds.
pub fn integer(value: &Value, least: u64, most: u64) -> bool {
    value.as_u64().is_some_and(|number| (least..=most).contains(&number))
}

/// Whether it is `MAJOR.MINOR`.
pub fn is_version(value: &Value) -> bool {
    let part = |text: &str| {
        let plain = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
        plain && (text == "0" || !text.starts_with('0'))
    };
    let parts = value.as_str().and_then(|text| text.split_once('.'));
    parts.is_some_and(|(major, minor)| part(major) && part(minor))
}

/// Whether it is the name of a task.
pub fn is_task_id(value: &Value) -> bool {
    value.as_str().is_some_and(|text| (1..=128).contains(&text.chars().count()))
}

/// Whether an optional member fits; `null` is absent.
pub fn optional(object: &Value, member: &str, fits: impl Fn(&Value) -> bool) -> bool {
    match object.get(member) {
        None => true,
        Some(Value::Null) => !has(Fault::NullIsAValue),
        Some(value) => fits(value),
    }
}

/// Whether a member that may be left out, but not be `null`, fits.
pub fn defaulted(object: &Value, member: &str, fits: impl Fn(&Value) -> bool) -> bool {
    object.get(member).is_none_or(fits)
}

/// Whether the parameters of `initialize` fit.
pub fn fits_initialize(params: &Value) -> bool {
    let versions = params["protocolVersions"].as_array();
    let identity = |value: &Value| {
        value["name"].is_string() && value["version"].is_string()
            || has(Fault::ReadsByPosition) && value[0].is_string() && value[1].is_string()
    };
    let limits = |value: &Value| {
        value.is_object()
            && defaulted(value, "maxFrameBytes", |v| integer(v, 65_536, MAX_INTEGER))
            && optional(value, "concurrent", |v| integer(v, 1, 1_000_000))
            && defaulted(value, "graceMs", |v| integer(v, 0, 86_400_000))
    };
    let cpus = |value: &Value| {
        let parsed = value.as_str().map(str::parse::<sealpipe_protocol::placement::CpuList>);
        parsed.is_some_and(|parsed| parsed.is_ok())
    };
    let gpus =
        |value: &Value| value.as_array().is_some_and(|names| names.iter().all(Value::is_string));
    let placement = |value: &Value| {
        value.is_object()
            && optional(value, "cpus", cpus)
            && optional(value, "memoryNode", |v| integer(v, 0, u32::MAX.into()))
            && optional(value, "memoryPolicy", Value::is_string)
            && optional(value, "gpus", gpus)
    };
    versions.is_some_and(|all| all.iter().all(is_version))
        && identity(&params["worker"])
        && optional(params, "entry", |v| v.is_string() || has(Fault::AnyEntry))
        && defaulted(params, "limits", limits)
        && defaulted(params, "placement", placement)
        && defaulted(params, "capabilities", Value::is_object)
}

/// Whether the parameters of `task/run` fit, but for the stage's.
pub fn fits_run(params: &Value) -> bool {
    let most = if has(Fault::ShortAttempts) { 65_536 } else { u32::MAX.into() };
    let least = u64::from(!has(Fault::TakesAttempt0));
    is_task_id(&params["taskId"])
        && integer(&params["attempt"], least, most)
        && params["stage"].is_string()
        && is_version(&params["schemaVersion"])
        && (params["params"].is_object() || is_positional(&params["params"]))
}

/// Whether these are parameters of `echo` by their position.
fn is_positional(params: &Value) -> bool {
    has(Fault::ReadsParamsByPosition) && params[0].is_string()
}

/// Whether the parameters of `echo` fit.
pub fn fits_echo(params: &Value) -> bool {
    let any = has(Fault::AnyStageParams);
    let fail = |v: &Value| matches!(v.as_str(), Some("temporary" | "permanent" | "panic"));
    (params.get("payload").is_some() || is_positional(params))
        && (any || defaulted(params, "ticks", |v| integer(v, 0, 1_000_000)))
        && (any || defaulted(params, "intervalMs", |v| integer(v, 0, 600_000)))
        && (any || optional(params, "fail", fail))
}
