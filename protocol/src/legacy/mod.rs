// SPDX-License-Identifier: MIT OR Apache-2.0

//! The line protocol of vc-processors, which damocles-worker and its processors speak: what both
//! directions share. `docs/legacy.md` says what works.
//!
//! A processor prints `<stage> processor ready` as its first line. Then the parent writes
//! `{"id":n,"task":{…}}` and the processor answers `{"id":n,"err_msg":…,"output":…}`, one object a
//! line, many at a time and in any order. There is no version, no progress, no cancel, no class of
//! error, and the end of stdin means the end (vc-processors 0.2.1, `core/ext`).
//!
//! The other sides are [`serve::serve_stage`](crate::serve::serve_stage) and the worker's supervisor.

pub mod task;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Stage;

/// The cpus that a processor moves itself to, in Linux' list format.
pub const CPUSET_ENV: &str = "VC_CG_CPUSET";

/// The control group that it makes for that.
pub const GROUP_ENV: &str = "VC_CG_NAME";

/// The NUMA node whose memory it prefers.
pub const NUMA_ENV: &str = "VENUS_WORKER_NUMA_PREFERRED";

/// Longest line in either direction, in bytes: the protocol has no limit, and a c1 output of the
/// largest sector is some 100 MB of JSON.
pub const MAX_LINE_BYTES: usize = 256 << 20;

/// The stages that have tasks in this protocol.
pub const STAGES: &[Stage] =
    &[Stage::AddPieces, Stage::TreeD, Stage::Pc1, Stage::Pc2, Stage::C2, Stage::Unseal];

/// What a processor of `stage` prints first, without the line end.
pub fn ready_line(stage: Stage) -> String {
    format!("{stage} processor ready")
}

/// What the parent asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    /// From 1, different for each request to a process.
    pub id: u64,
    /// One of [`task`]'s, by the stage that the process was started for.
    pub task: Box<RawValue>,
}

/// What the processor answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Response {
    /// The request's.
    pub id: u64,
    /// Why there is no output.
    #[serde(default)]
    pub err_msg: Option<String>,
    /// The task's output.
    #[serde(default)]
    pub output: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_crate() {
        assert_eq!(ready_line(Stage::TreeD), "tree_d processor ready");
        let request: Request = serde_json::from_str(r#"{"id":7,"task":{"x":[1]}}"#).unwrap();
        assert_eq!((request.id, request.task.get()), (7, r#"{"x":[1]}"#));
        let written = serde_json::to_string(&Response { id: 7, err_msg: None, output: None });
        assert_eq!(written.unwrap(), r#"{"id":7,"err_msg":null,"output":null}"#);
        let read: Response = serde_json::from_str(r#"{"id":7,"output":true,"more":1}"#).unwrap();
        assert_eq!((read.err_msg, read.output.unwrap().get()), (None, "true"));
        let null: Response =
            serde_json::from_str(r#"{"id":7,"err_msg":"x","output":null}"#).unwrap();
        assert!(null.output.is_none());
    }
}
