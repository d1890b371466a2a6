// SPDX-License-Identifier: MIT OR Apache-2.0

//! Error codes, and the data that every error of a task carries.
//!
//! Nobody parses messages: the class decides what a worker does, the code says what happened, the
//! message and its causes are for people.

use jsonrpsee::types::ErrorObjectOwned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Error codes of the protocol. Stages own 2000 to 9999; extensions of others start at 10000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum Code {
    /// The line is not JSON (JSON-RPC 2.0).
    ParseError = -32700,
    /// The line is JSON, but no request (JSON-RPC 2.0).
    InvalidRequest = -32600,
    /// No such method (JSON-RPC 2.0).
    MethodNotFound = -32601,
    /// The members of `params` do not fit the method (JSON-RPC 2.0).
    InvalidParams = -32602,
    /// A defect of the processor (JSON-RPC 2.0); a panic or an exception ends here.
    InternalError = -32603,
    /// Anything but `initialize` came first (LSP 3.17, ServerNotInitialized).
    NotInitialized = -32002,
    /// The task was cancelled (LSP 3.17, RequestCancelled).
    Cancelled = -32800,
    /// No version is spoken by both sides.
    UnsupportedVersion = 1001,
    /// The processor does not serve this stage, or not for this proof or schema version.
    UnsupportedStage = 1002,
    /// `maxConcurrent` runs of the stage are open; there is no hidden queue.
    Busy = 1003,
    /// What was granted cannot be taken: such cpus, node or GPU do not exist here.
    PlacementMismatch = 1004,
    /// An input file is missing or cannot be read.
    InputUnavailable = 1005,
    /// An input is there and wrong.
    InvalidInput = 1006,
    /// The outputs belong to somebody else: another process holds the sector's directory.
    OutputConflict = 1007,
    /// Memory, disk space or another resource of the machine has run out.
    ResourceExhausted = 1008,
    /// The GPU fell off, hung, or reports errors of its own.
    DeviceLost = 1009,
    /// A result did not pass its own verification.
    VerificationFailed = 1010,
    /// The processor was told to stop and left a checkpoint.
    Interrupted = 1011,
    /// c2, verify: the Groth16 parameters of this sector size are not there.
    ParametersMissing = 2001,
}

impl Code {
    /// All codes, in the order of the specification.
    pub const ALL: &'static [Self] = &[
        Self::ParseError,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::InternalError,
        Self::NotInitialized,
        Self::Cancelled,
        Self::UnsupportedVersion,
        Self::UnsupportedStage,
        Self::Busy,
        Self::PlacementMismatch,
        Self::InputUnavailable,
        Self::InvalidInput,
        Self::OutputConflict,
        Self::ResourceExhausted,
        Self::DeviceLost,
        Self::VerificationFailed,
        Self::Interrupted,
        Self::ParametersMissing,
    ];

    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The code of a number, if it is one of the protocol's.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The class that an error of this code has unless its sender knows better.
    pub fn default_class(self) -> Class {
        match self {
            Self::Busy
            | Self::OutputConflict
            | Self::ResourceExhausted
            | Self::DeviceLost
            | Self::InternalError
            | Self::Interrupted => Class::Temporary,
            Self::VerificationFailed => Class::Critical,
            Self::Cancelled => Class::Abort,
            _ => Class::Permanent,
        }
    }
}

/// What a worker does about an error; the levels are those of damocles-worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Trying again may help.
    Temporary,
    /// Trying again will not help until a person has changed something.
    Permanent,
    /// Results can no longer be trusted: stop, and tell a person.
    Critical,
    /// The sector is to be given up.
    Abort,
    /// A class of a later minor version: treated as permanent.
    #[serde(other)]
    Unknown,
}

/// Where another try is worth while.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RetryWhere {
    /// Here.
    Same,
    /// In another process of the stage.
    OtherProcess,
    /// On another GPU.
    OtherDevice,
    /// A place of a later minor version: treated as `same`.
    #[serde(other)]
    Unknown,
}

/// A hint, within the class, where and when to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Where.
    #[serde(rename = "where")]
    pub place: RetryWhere,
    /// Not before so many milliseconds have passed.
    #[serde(default)]
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub after_ms: u64,
}

/// `error.data` of every task's error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// What the worker does about it.
    pub class: Class,
    /// Where and when another try is worth while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What lay under it, outermost first; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// An error of a task, as either side sees it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// The number on the wire: one of [`Code`], or an extension's.
    pub code: i32,
    /// What happened, which value, what was allowed. Lower case, no full stop.
    pub message: String,
    /// Class, retry, causes and hint.
    pub data: ErrorData,
}

impl TaskError {
    /// An error with the default class of its code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.number(),
            message: message.into(),
            data: ErrorData {
                class: code.default_class(),
                retry: None,
                causes: Vec::new(),
                hint: None,
            },
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.data.hint = Some(hint.into());
        self
    }

    /// Replaces the class.
    #[must_use]
    pub fn class(mut self, class: Class) -> Self {
        self.data.class = class;
        self
    }

    /// Adds where and when to try again.
    #[must_use]
    pub fn retry(mut self, place: RetryWhere, after_ms: u64) -> Self {
        self.data.retry = Some(Retry { place, after_ms });
        self
    }

    /// Adds the chain of causes of `error`, itself included.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |e| e.source());
        self.data.causes.extend(chain.map(ToString::to_string));
        self
    }

    /// The protocol's code, if the number is one of them.
    pub fn known_code(&self) -> Option<Code> {
        Code::from_number(self.code)
    }

    /// An I/O error: a full disk is [`Code::ResourceExhausted`], anything else `otherwise`.
    pub fn io(otherwise: Code, what: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let exhausted = crate::failure::is_exhausted(error.kind());
        let code = if exhausted { Code::ResourceExhausted } else { otherwise };
        let mut made = Self::new(code, format!("{}: {error}", what.into()));
        if error.kind() == ErrorKind::StorageFull {
            made = made.hint("free some space on that disk; the task goes on where it stopped");
        }
        made
    }
}

impl From<TaskError> for ErrorObjectOwned {
    fn from(error: TaskError) -> Self {
        Self::owned(error.code, error.message, Some(error.data))
    }
}

impl From<&ErrorObjectOwned> for TaskError {
    /// Reads an error of the other side; one without usable `data` gets its code's default class,
    /// and a code that is not the protocol's counts as permanent.
    fn from(error: &ErrorObjectOwned) -> Self {
        let data = error.data().and_then(|raw| serde_json::from_str(raw.get()).ok());
        let class = Code::from_number(error.code()).map_or(Class::Permanent, Code::default_class);
        Self {
            code: error.code(),
            message: error.message().to_owned(),
            data: data.unwrap_or(ErrorData { class, retry: None, causes: Vec::new(), hint: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_wire() {
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
        }
        assert_eq!(Code::from_number(10_000), None);
    }

    #[test]
    fn a_task_error_survives_the_wire() {
        let sent = TaskError::new(Code::Busy, "stage `pc2` runs 1 of 1 tasks")
            .hint("wait")
            .retry(RetryWhere::OtherProcess, 500);
        let received = TaskError::from(&ErrorObjectOwned::from(sent.clone()));
        assert_eq!(received, sent);
    }

    #[test]
    fn an_error_without_data_has_the_default_class_of_its_code() {
        let bare = |code| ErrorObjectOwned::owned(code, "no", None::<()>);
        assert_eq!(TaskError::from(&bare(1003)).data.class, Class::Temporary);
        assert_eq!(TaskError::from(&bare(12_345)).data.class, Class::Permanent);
        let odd = ErrorObjectOwned::owned(1003, "no", Some([1, 2]));
        assert_eq!(TaskError::from(&odd).data.class, Class::Temporary);
    }

    #[test]
    fn a_class_of_the_future_is_understood_as_unknown() {
        assert_eq!(serde_json::from_str::<Class>("\"later\"").unwrap(), Class::Unknown);
    }
}
