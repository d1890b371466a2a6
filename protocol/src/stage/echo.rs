// SPDX-License-Identifier: MIT OR Apache-2.0

//! `echo`: gives its payload back, as slowly and as badly as asked. For tests and first steps.
//!
//! Files written: none.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Stage, StageParams};
use crate::{Code, TaskError};

/// Parameters of `echo`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EchoParams")]
pub struct Params {
    /// Any JSON value, given back as it is.
    pub payload: serde_json::Value,
    /// Steps before the answer, each with `done` one higher and told at the pace of `task/progress`.
    #[serde(default)]
    #[schemars(range(max = 1_000_000))]
    pub ticks: u64,
    /// Milliseconds before each tick.
    #[serde(default)]
    #[schemars(range(max = 600_000))]
    pub interval_ms: u64,
    /// How to end instead of answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<Failure>,
}

/// What `echo` answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EchoOutput")]
pub struct Output {
    /// The payload.
    pub payload: serde_json::Value,
}

/// An end of `echo` other than an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Failure {
    /// An error of class `temporary`.
    Temporary,
    /// An error of class `permanent`.
    Permanent,
    /// A panic or an exception, which must end as an error response with the right id.
    Panic,
}

impl StageParams for Params {
    const STAGE: Stage = Stage::Echo;
    type Output = Output;

    fn sector_dir(&self) -> Option<&Path> {
        None
    }

    fn validate(&self) -> Result<(), TaskError> {
        for (member, value, most) in
            [("ticks", self.ticks, 1_000_000), ("intervalMs", self.interval_ms, 600_000)]
        {
            if value > most {
                return Err(TaskError::new(
                    Code::InvalidParams,
                    format!("`{member}` is at most {most}, got {value}"),
                ));
            }
        }
        Ok(())
    }
}
