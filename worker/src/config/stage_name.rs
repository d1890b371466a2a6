// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of stages in a configuration: those that are served, and those of damocles' that are not.

use sealpipe_protocol::Stage;

/// damocles' processors and limits that sealpipe does not serve yet, or that are no stage of a
/// sector (`sealing_daemons`).
const NOT_SERVED: &[&str] = &[
    "sealing_daemons",
    "snap_encode",
    "snap_prove",
    "synth_proof",
    "transfer",
    "window_post",
    "winning_post",
];

/// What is known by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// A stage that sealpipe serves.
    Served(Stage),
    /// A name of damocles' configuration that sealpipe skips.
    NotServed,
    /// Nothing.
    Not,
}

/// Looks a name up.
pub(super) fn known(name: &str) -> Known {
    match Stage::ALL.iter().find(|stage| stage.name() == name) {
        Some(stage) => Known::Served(*stage),
        None if NOT_SERVED.contains(&name) => Known::NotServed,
        None => Known::Not,
    }
}

/// The names of the stages that sealpipe serves.
pub(super) fn served() -> Vec<&'static str> {
    Stage::ALL.iter().map(|stage| stage.name()).collect()
}
