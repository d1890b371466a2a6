// SPDX-License-Identifier: MIT OR Apache-2.0

//! The eight methods: names, directions, parameters and results.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    Code, TaskError, TaskId, Version, error::ErrorData, placement::CpuList, value::object,
};

/// A request: what is asked and what is answered.
pub trait Request {
    /// The name on the wire.
    const METHOD: &'static str;
    /// Parameters.
    type Params: Serialize + DeserializeOwned;
    /// Result.
    type Result: Serialize + DeserializeOwned;
}

/// A notification: said, not answered.
pub trait Notification: Serialize + DeserializeOwned {
    /// The name on the wire.
    const METHOD: &'static str;
}

/// The methods that want no answer. As a request none of them exists, and no other method does as a
/// notification.
pub const NOTIFICATIONS: [&str; 3] =
    [ProcessorStatus::METHOD, TaskProgress::METHOD, LogMessage::METHOD];

/// Abilities beyond 1.0, by name; absent means no. What is not known is ignored.
pub type Capabilities = BTreeMap<String, serde_json::Value>;

/// `initialize`, worker to processor: the first request.
pub enum Initialize {}

impl Request for Initialize {
    const METHOD: &'static str = "initialize";
    type Params = InitializeParams;
    type Result = InitializeResult;
}

/// Parameters of `initialize`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// All protocol versions that the worker speaks.
    #[schemars(length(min = 1))]
    pub protocol_versions: Vec<Version>,
    /// Who asks.
    #[serde(deserialize_with = "object")]
    pub worker: Identity,
    /// The entry of the worker's configuration that this process serves, such as `pc1[0]`; for
    /// people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// What the worker takes.
    #[serde(default, deserialize_with = "object")]
    pub limits: WorkerLimits,
    /// What the processor may use.
    #[serde(default, deserialize_with = "object")]
    pub placement: Placement,
    /// Abilities of the worker.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
}

/// Result of `initialize`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// The version that is spoken from here on.
    pub protocol_version: Version,
    /// Who answers.
    pub processor: Identity,
    /// What the processor takes.
    #[serde(default)]
    pub limits: ProcessorLimits,
    /// The stages that it serves.
    #[schemars(length(min = 1))]
    pub stages: Vec<StageOffer>,
    /// What it observes after it has pinned itself.
    #[serde(default)]
    pub placement: Placement,
    /// Abilities of the processor.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub capabilities: Capabilities,
}

/// Name and version of a program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The program's name.
    pub name: String,
    /// Its own version, in any form.
    pub version: String,
}

/// Limits of the worker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerLimits {
    /// Longest frame that the worker takes, in bytes without the line end.
    #[schemars(range(min = 65_536, max = crate::MAX_INTEGER))]
    pub max_frame_bytes: u64,
    /// How many tasks of a stage the worker runs here at a time; absent: as many as are offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent: Option<u32>,
    /// How long the processor may take to stop when it is told to or its stdin ends, in
    /// milliseconds.
    #[schemars(range(max = 86_400_000))]
    pub grace_ms: u64,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            max_frame_bytes: crate::DEFAULT_FRAME_BYTES as u64,
            concurrent: None,
            grace_ms: 10_000,
        }
    }
}

/// Limits of the processor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessorLimits {
    /// Longest frame that the processor takes, in bytes without the line end.
    #[schemars(range(min = 65_536, max = crate::MAX_INTEGER))]
    pub max_frame_bytes: u64,
}

impl Default for ProcessorLimits {
    fn default() -> Self {
        Self { max_frame_bytes: crate::DEFAULT_FRAME_BYTES as u64 }
    }
}

/// Cpus, memory and GPUs: granted by the worker, observed by the processor. Absent: not restricted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    /// Cpus, in Linux' list format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<CpuList>,
    /// The NUMA node that `memory_policy` is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_node: Option<u32>,
    /// Where memory is taken from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// GPUs, as `CUDA_VISIBLE_DEVICES` names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Vec<String>>,
}

/// A NUMA memory policy (Linux, `set_mempolicy(2)`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MemoryPolicy {
    /// The kernel's default: the node of the cpu that touches the page first.
    Default,
    /// The node, and others when it is full.
    Preferred,
    /// The node and no other.
    Bind,
    /// Another policy, or one of a later minor version.
    #[serde(other)]
    Other,
}

/// A stage that a processor serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageOffer {
    /// The stage's name; one that the worker does not know is ignored.
    pub stage: String,
    /// The newest version of the stage's parameters that the processor reads.
    pub schema_version: Version,
    /// How many tasks of the stage may be open at a time, from what the processor sees.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent: u32,
    /// What computes: `cpu`, `cuda` or another word; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Which implementation was chosen, such as `filecoin-proofs 19.1`; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub implementation: Option<String>,
}

impl WorkerLimits {
    /// What the types cannot say: see the schema.
    ///
    /// # Errors
    /// [`Code::InvalidParams`] with the member that is out of bounds.
    pub fn validate(&self) -> Result<(), TaskError> {
        let within = |member: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            let text = format!("`limits.{member}` is from {least} to {most}, got {value}");
            Err(TaskError::new(Code::InvalidParams, text))
        };
        within("maxFrameBytes", self.max_frame_bytes, 65_536, crate::MAX_INTEGER)?;
        within("concurrent", self.concurrent.unwrap_or(1).into(), 1, 1_000_000)?;
        within("graceMs", self.grace_ms, 0, 86_400_000)
    }
}

/// `task/run`, worker to processor: one stage of one sector, open for hours.
pub enum TaskRun {}

impl Request for TaskRun {
    const METHOD: &'static str = "task/run";
    type Params = TaskRunParams;
    type Result = TaskRunResult;
}

/// Parameters of `task/run`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRunParams {
    /// The task, stable over its retries.
    pub task_id: TaskId,
    /// Which try this is, from 1; it rises.
    #[schemars(range(min = 1, max = u32::MAX))]
    pub attempt: u32,
    /// The stage's name.
    pub stage: String,
    /// The version of the stage's parameters.
    pub schema_version: Version,
    /// The stage's parameters.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub params: Box<RawValue>,
}

/// Result of `task/run`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskRunResult {
    /// The stage's result values.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub output: Box<RawValue>,
    /// What an earlier attempt had left and this one did not repeat, such as `layer 1`; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<String>,
}

/// `task/cancel`, worker to processor: answered in a second; the run then ends with -32800.
pub enum TaskCancel {}

impl Request for TaskCancel {
    const METHOD: &'static str = "task/cancel";
    type Params = TaskCancelParams;
    type Result = TaskCancelResult;
}

/// Parameters of `task/cancel`. The newest attempt is meant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskCancelParams {
    /// The task.
    pub task_id: TaskId,
}

/// Result of `task/cancel`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskCancelResult {
    /// Whether the task was open: cancelling what is finished or unknown is no error.
    pub open: bool,
}

/// `ping`, worker to processor: answered in a second, whatever else runs.
pub enum Ping {}

impl Request for Ping {
    const METHOD: &'static str = "ping";
    type Params = Empty;
    type Result = PingResult;
}

/// Result of `ping`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingResult {
    /// Tasks that are open.
    #[schemars(range(max = 1_000_000))]
    pub open_tasks: u32,
}

/// `shutdown`, worker to processor: answered at once; the worker closes stdin when no task is open
/// any more, and the processor exits with 0.
pub enum Shutdown {}

impl Request for Shutdown {
    const METHOD: &'static str = "shutdown";
    type Params = ShutdownParams;
    type Result = PingResult;
}

/// Parameters of `shutdown`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShutdownParams {
    /// What becomes of the open tasks.
    pub mode: ShutdownMode,
}

/// What becomes of the open tasks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ShutdownMode {
    /// They are finished; new ones are answered with `Busy`.
    Drain,
    /// They leave a checkpoint and end with `Interrupted`, within the granted grace.
    Interrupt,
}

/// Parameters or result without members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Empty {}

/// `processor/status`, processor to worker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessorStatus {
    /// The state.
    pub state: ProcessorState,
    /// Why, for people: `loading 45 GB of parameters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Notification for ProcessorStatus {
    const METHOD: &'static str = "processor/status";
}

/// State of a processor. Until it says otherwise it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProcessorState {
    /// Preparing; tasks would wait.
    Warming,
    /// Taking tasks.
    Ready,
    /// Taking tasks, but something is wrong.
    Degraded,
    /// Finishing tasks and taking no more.
    Draining,
    /// A state of a later minor version: treated as ready.
    #[serde(other)]
    Unknown,
}

/// `task/progress`, processor to worker: at most once a second, at least once a minute.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskProgress {
    /// The task.
    pub task_id: TaskId,
    /// Its attempt.
    #[schemars(range(min = 1, max = u32::MAX))]
    pub attempt: u32,
    /// What is being done, such as `layer 3/11`.
    pub phase: String,
    /// How much of the whole task is done, in `unit`; an unchanged value is a sign of life, not of
    /// work.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub done: u64,
    /// How much there is in all.
    #[schemars(range(max = crate::MAX_INTEGER))]
    pub total: u64,
    /// The unit of both: `nodes`, `bytes`, `trees`, …
    pub unit: String,
    /// From where a further attempt would go on, such as `layer 2`; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

impl Notification for TaskProgress {
    const METHOD: &'static str = "task/progress";
}

/// `log/message`, processor to worker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogMessage {
    /// How bad it is.
    pub level: LogLevel,
    /// The line.
    pub message: String,
    /// The task that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// Structured fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}

impl Notification for LogMessage {
    const METHOD: &'static str = "log/message";
}

/// How bad a log line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    /// A level of a later minor version: treated as info.
    #[serde(other)]
    Unknown,
}

/// `error.data` of an answer to `initialize` with `UnsupportedVersion`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnsupportedVersionData {
    /// Class and hints, as with every error.
    #[serde(flatten)]
    pub error: ErrorData,
    /// All protocol versions that the processor speaks.
    pub supported: Vec<Version>,
}
