// SPDX-License-Identifier: MIT OR Apache-2.0

//! Envelopes of JSON-RPC 2.0, told apart by hand.
//!
//! An untagged enum over raw values cannot tell `"result": null` from an absent one, so the members
//! are looked at one by one. Unknown members are ignored.

use std::{borrow::Cow, collections::BTreeMap, io};

use jsonrpsee::types::{ErrorObject, ErrorObjectOwned, Id, TwoPointZero};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{Code, TaskError};

/// A frame's content.
#[derive(Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request {
        /// Its id.
        id: Id<'a>,
        /// The method's name.
        method: Cow<'a, str>,
        /// The parameters, unread.
        params: Option<&'a RawValue>,
    },
    /// Wants none.
    Notification {
        /// The method's name.
        method: Cow<'a, str>,
        /// The parameters, unread.
        params: Option<&'a RawValue>,
    },
    /// An answer.
    Response {
        /// The id of the request; `null` when its receiver could not read one.
        id: Id<'a>,
        /// Result or error.
        outcome: Result<&'a RawValue, ErrorObjectOwned>,
    },
}

/// Why a frame is no message, and the id to answer to.
#[derive(Debug)]
pub struct Malformed {
    /// The id of the request, or `null`.
    pub id: Id<'static>,
    /// What to answer.
    pub error: TaskError,
    /// Whether it looked like a response: those are never answered.
    pub is_response: bool,
}

/// Members of an envelope; `Some(None)` is a `null` and `None` an absent member.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from an absent member, which `Option` alone would not.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The only error of JSON-RPC whose members are all read leniently: extra ones are ignored.
#[derive(Deserialize)]
struct LenientError<'a> {
    code: i32,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Reads a frame.
///
/// # Errors
/// [`Malformed`], with what to answer if it was not a response.
pub fn parse(frame: &[u8]) -> Result<Message<'_>, Box<Malformed>> {
    let malformed = |id: Id<'static>, code, message: String| {
        Box::new(Malformed { id, error: TaskError::new(code, message), is_response: false })
    };
    let text = std::str::from_utf8(frame)
        .map_err(|e| malformed(Id::Null, Code::ParseError, format!("not UTF-8: {e}")))?;
    // serde would read a struct from an array as well.
    let is_object = text.trim_start().starts_with('{');
    let envelope: Envelope = match serde_json::from_str(text) {
        Ok(envelope) if is_object => envelope,
        Ok(_) => {
            let text = "batches are not part of this protocol".to_owned();
            return Err(malformed(Id::Null, Code::InvalidRequest, text));
        }
        Err(error) if error.is_data() => return Err(no_envelope(text, &error)),
        Err(error) => {
            return Err(malformed(Id::Null, Code::ParseError, format!("not JSON: {error}")));
        }
    };
    let id = envelope.id.map(read_id);
    let known_id = || match &id {
        Some(Some(id)) => id.clone().into_owned(),
        _ => Id::Null,
    };
    let is_response =
        envelope.method.is_none() && (envelope.result.is_some() || envelope.error.is_some());
    let fail = |message: String| {
        let error = TaskError::new(Code::InvalidRequest, message);
        Box::new(Malformed { id: known_id(), error, is_response })
    };
    let two = envelope.jsonrpc.map(|raw| serde_json::from_str::<TwoPointZero>(raw.get()));
    if !matches!(two, Some(Ok(_))) {
        return Err(fail("`jsonrpc` is \"2.0\"".into()));
    }
    if matches!(id, Some(None)) {
        return Err(fail("`id` is a string, a number from 0 to 2^64 - 1, or null".into()));
    }
    let id = id.clone().flatten();
    match envelope.method {
        Some(method) => request(method, id, &envelope).map_err(fail),
        None if is_response => response(id, &envelope).map_err(fail),
        None => Err(fail("neither `method` nor `result` nor `error`".into())),
    }
}

/// An id, if it is one. By hand: to `Id`'s own reading all but the first of its forms are errors at
/// first, which takes longer than the rest of a small envelope.
fn read_id(raw: &RawValue) -> Option<Id<'_>> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'n' => Some(Id::Null),
        b'"' => serde_json::from_str::<Text>(text).ok().map(|text| Id::Str(text.0)),
        _ => text.parse().ok().map(Id::Number),
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// JSON that is no envelope: no object at all, or one with a member given twice. Of such a member
/// the last one says to whom the answer goes, and that a response gets none.
fn no_envelope(text: &str, error: &serde_json::Error) -> Box<Malformed> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let has = |name| members.contains_key(name);
    let id = members.get("id").and_then(|raw| read_id(raw));
    Box::new(Malformed {
        id: id.map_or(Id::Null, Id::into_owned),
        error: TaskError::new(Code::InvalidRequest, format!("expected one JSON object: {error}")),
        is_response: !has("method") && (has("result") || has("error")),
    })
}

fn request<'a>(
    method: &'a RawValue,
    id: Option<Id<'a>>,
    envelope: &Envelope<'a>,
) -> Result<Message<'a>, String> {
    let Text(method) =
        serde_json::from_str(method.get()).map_err(|_| "`method` is a string".to_owned())?;
    if envelope.result.is_some() || envelope.error.is_some() {
        return Err("a request has neither `result` nor `error`".into());
    }
    let params = envelope.params;
    if params.is_some_and(|p| !p.get().starts_with('{')) {
        return Err("`params` is an object".into());
    }
    Ok(match id {
        Some(Id::Null) => return Err("a request's `id` is a string or a number".into()),
        Some(id) => Message::Request { id, method, params },
        None => Message::Notification { method, params },
    })
}

fn response<'a>(id: Option<Id<'a>>, envelope: &Envelope<'a>) -> Result<Message<'a>, String> {
    let id = id.ok_or("a response has an `id`")?;
    let outcome = match (envelope.result, envelope.error) {
        (Some(result), None) => Ok(result),
        (None, Some(raw)) => {
            let error: LenientError = serde_json::from_str(raw.get())
                .map_err(|e| format!("`error` is an object with `code` and `message`: {e}"))?;
            Err(ErrorObject::owned(error.code, error.message, error.data.map(RawValue::to_owned)))
        }
        _ => return Err("a response has one of `result` and `error`".into()),
    };
    Ok(Message::Response { id, outcome })
}

/// Parameters as they are written: an object, `{}` when there is nothing to say.
#[derive(Serialize)]
struct Outgoing<'a, T> {
    jsonrpc: TwoPointZero,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id<'a>>,
    method: &'a str,
    params: &'a T,
}

/// The frame of a request.
pub fn request_frame<T: Serialize>(id: &Id<'_>, method: &str, params: &T) -> Vec<u8> {
    frame(&Outgoing { jsonrpc: TwoPointZero, id: Some(id), method, params })
}

/// The frame of a notification.
pub fn notification_frame<T: Serialize>(method: &str, params: &T) -> Vec<u8> {
    frame(&Outgoing { jsonrpc: TwoPointZero, id: None, method, params })
}

/// The frame of a response with an error.
pub fn error_frame(id: &Id<'_>, error: TaskError) -> Vec<u8> {
    #[derive(Serialize)]
    struct ErrorResponse<'a> {
        jsonrpc: TwoPointZero,
        id: &'a Id<'a>,
        error: ErrorObjectOwned,
    }
    frame(&ErrorResponse { jsonrpc: TwoPointZero, id, error: error.into() })
}

/// The frame of a response with a result.
pub fn result_frame<T: Serialize>(id: &Id<'_>, result: &T) -> Vec<u8> {
    #[derive(Serialize)]
    struct ResultResponse<'a, T> {
        jsonrpc: TwoPointZero,
        id: &'a Id<'a>,
        result: &'a T,
    }
    frame(&ResultResponse { jsonrpc: TwoPointZero, id, result })
}

fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    let mut frame = Growing(Vec::with_capacity(ROOM_BYTES));
    serde_json::to_writer(&mut frame, message)
        .expect("messages are plain data with string keys, and memory takes what is written");
    frame.0
}

/// Room for what an envelope has around its content, in bytes.
const ROOM_BYTES: usize = 128;

/// A frame that grows ahead of what is written, so that the last brace after a large value does
/// not move all of it.
struct Growing(Vec<u8>);

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.reserve(bytes.len() + ROOM_BYTES);
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(frame: &str) -> String {
        match parse(frame.as_bytes()) {
            Ok(Message::Request { id, method, .. }) => format!("request {id} {method}"),
            Ok(Message::Notification { method, .. }) => format!("notification {method}"),
            Ok(Message::Response { id, outcome: Ok(result) }) => format!("result {id} {result}"),
            Ok(Message::Response { id, outcome: Err(e) }) => format!("error {id} {}", e.code()),
            Err(m) => format!("malformed {} {} {}", m.id, m.error.code, m.is_response),
        }
    }

    #[test]
    fn messages_are_told_apart_by_their_members() {
        let check = |frame: &str, expected: &str| assert_eq!(kind(frame), expected, "{frame}");
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}"#, "request 1 ping");
        check(r#"{"jsonrpc":"2.0","id":"a","method":"pi\u006eg"}"#, "request a ping");
        check(
            r#"{"jsonrpc":"2.0","method":"log/message","params":{}}"#,
            "notification log/message",
        );
        check(r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "result 1 null");
        check(r#"{"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"m","x":1}}"#, "error 1 5");
        check(r#"{"jsonrpc":"2.0","id":null,"error":{"code":5,"message":"m"}}"#, "error null 5");
        check(r#"{"later":1,"id":1,"jsonrpc":"2.0","method":"ping"}"#, "request 1 ping");
    }

    #[test]
    fn what_is_no_message_is_answered_by_the_best_known_id() {
        let check = |frame: &str, expected: &str| assert_eq!(kind(frame), expected, "{frame}");
        check("{", "malformed null -32700 false");
        check("[]", "malformed null -32600 false");
        check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "malformed null -32600 false");
        check("7", "malformed null -32600 false");
        check(r#"{"id":1,"method":"ping"}"#, "malformed 1 -32600 false");
        check(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "malformed 1 -32600 false");
        check(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, "malformed null -32600 false");
        check(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "malformed null -32600 false");
        check(r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "malformed 1 -32600 false");
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":3}"#, "malformed 1 -32600 false");
        check(
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            "malformed 1 -32600 false",
        );
        check(r#"{"jsonrpc":"2.0","id":1}"#, "malformed 1 -32600 false");
        check(r#"{"jsonrpc":"2.0","result":1}"#, "malformed null -32600 true");
        check(r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#, "malformed 1 -32600 true");
        let twice = r#"{"jsonrpc":"2.0","id":1,"result":1,"result":2}"#;
        check(twice, "malformed 1 -32600 true");
        check(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, "malformed 2 -32600 false");
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn the_first_word_is_pinned_byte_for_byte() {
        use crate::method::{Identity, InitializeParams};
        let params = InitializeParams {
            protocol_versions: vec![crate::Version::V1_0],
            worker: Identity { name: "sealpipe".into(), version: "0.1.0".into() },
            entry: None,
            limits: Default::default(),
            placement: Default::default(),
            capabilities: Default::default(),
        };
        let frame = request_frame(&Id::Number(1), "initialize", &params);
        assert_eq!(
            String::from_utf8(frame).unwrap(),
            concat!(
                r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"#,
                r#""protocolVersions":["1.0"],"worker":{"name":"sealpipe","version":"0.1.0"},"#,
                r#""limits":{"maxFrameBytes":16777216,"graceMs":10000},"placement":{}}}"#
            )
        );
    }
}
