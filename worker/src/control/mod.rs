// SPDX-License-Identifier: MIT OR Apache-2.0

//! The control channel: what a daemon is asked, and what it answers.
//!
//! JSON-RPC 2.0 over a Unix socket, one object a line, by the same [`Peer`](sealpipe_protocol::peer)
//! that speaks to processors. `docs/daemon.md` describes it for whoever writes a client. The first
//! request is [`Hello`]; a version is spoken by both or the connection ends there.

pub mod client;
pub mod order;
pub mod status;

use sealpipe_protocol::{Bytes32, method::Request};
use serde::{Deserialize, Serialize};

use self::{
    order::Order,
    status::{Explanation, Status},
};

/// The version of the control channel.
pub const VERSION: u32 = 1;

/// Longest frame of either side, in bytes: ten thousand sectors fit, in an order and in a status.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Clients at a time. The connection of one more ends at once.
pub const MAX_CLIENTS: usize = 64;

/// Orders in one submission.
pub const MAX_ORDERS: usize = 10_000;

/// Variable that names the socket, for whoever gives no `--socket`.
pub const SOCKET_ENV: &str = "SEALPIPE_SOCKET";

/// Declares a request: its name, parameters and result.
macro_rules! request {
    ($(#[$doc:meta])* $request:ident, $method:literal, $params:ty => $result:ty) => {
        $(#[$doc])*
        pub enum $request {}

        impl Request for $request {
            const METHOD: &'static str = $method;
            type Params = $params;
            type Result = $result;
        }
    };
}

request!(
    /// The first request: which versions the client speaks.
    Hello, "hello", HelloParams => HelloResult
);
request!(
    /// Takes orders, all of them or none.
    Submit, "submit", SubmitParams => SubmitResult
);
request!(
    /// What the daemon does.
    GetStatus, "status", StatusParams => Status
);
request!(
    /// Why a sector does not run.
    Explain, "explain", SectorParams => Explanation
);
request!(
    /// Gives sectors up.
    Cancel, "cancel", SectorsParams => SectorsResult
);
request!(
    /// Tries failed sectors once more.
    Retry, "retry", SectorsParams => SectorsResult
);
request!(
    /// Holds sectors, or with none named everything: what runs is finished, nothing new starts.
    Pause, "pause", SectorsParams => SectorsResult
);
request!(
    /// The end of [`Pause`].
    Resume, "resume", SectorsParams => SectorsResult
);
request!(
    /// Finishes what runs, starts nothing, and ends the daemon.
    Drain, "drain", Nothing => Nothing
);
request!(
    /// Reads the configuration again.
    Reload, "reload", Nothing => ReloadResult
);
request!(
    /// Says a seed that a sector waits for.
    Seed, "seed", SeedParams => SectorsResult
);
request!(
    /// Answers once all named sectors are over, or after a while.
    Wait, "wait", SectorsParams => WaitResult
);

/// Parameters or a result without content.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// Parameters of [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloParams {
    /// All versions that the client speaks.
    pub versions: Vec<u32>,
}

/// Result of [`Hello`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloResult {
    /// The version that is spoken.
    pub version: u32,
    /// The daemon's program version.
    pub program: String,
    /// Its process id.
    pub pid: u32,
}

/// Parameters of [`Submit`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitParams {
    /// What to work on.
    pub orders: Vec<Order>,
    /// Whether they are only looked at.
    #[serde(default)]
    pub dry_run: bool,
}

/// Result of [`Submit`]. With problems nothing was submitted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitResult {
    /// One for each order, when there are no problems.
    pub sectors: Vec<Submitted>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// An order that is fine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submitted {
    /// The sector's name.
    pub name: String,
    /// Whether it was there before, as it is ordered.
    pub known: bool,
    /// Its state.
    pub state: String,
}

/// An order that is not fine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Which order, counted from 0.
    pub order: usize,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Parameters of [`GetStatus`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusParams {
    /// Whether to list the sectors that wait in the queue and those that are over, too.
    #[serde(default)]
    pub all: bool,
    /// Lists these and no others.
    #[serde(default)]
    pub sectors: Vec<String>,
}

/// Parameters that name a sector.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectorParams {
    /// Its name.
    pub sector: String,
}

/// Parameters that name sectors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectorsParams {
    /// Their names.
    #[serde(default)]
    pub sectors: Vec<String>,
    /// All those that failed, besides.
    #[serde(default)]
    pub failed: bool,
}

/// What has become of sectors.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectorsResult {
    /// Each with its state now.
    pub sectors: Vec<SectorState>,
}

/// A sector and its state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectorState {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// Nothing new of it starts until it is resumed.
    #[serde(default)]
    pub held: bool,
}

/// Parameters of [`Seed`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedParams {
    /// The sector's name.
    pub sector: String,
    /// The seed.
    pub seed: Bytes32,
}

/// Result of [`Reload`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReloadResult {
    /// What has changed, for people.
    pub changes: Vec<String>,
}

/// Result of [`Wait`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitResult {
    /// Whether all of them are over.
    pub over: bool,
    /// Each with its state.
    pub sectors: Vec<SectorState>,
}
