// SPDX-License-Identifier: MIT OR Apache-2.0

//! What happens, for whoever shows it or writes it down.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sealpipe_protocol::{Stage, method::LogLevel};
use serde::Serialize;

use crate::{pipeline::sector::Randomness, supervisor::Placed};

/// Something happened. As JSON, a line of the journal.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the names say it; units stand at the end of the names")]
pub enum Event {
    /// A process answered the handshake.
    ProcessorReady {
        processor: String,
        pid: i32,
        program: String,
        identity: String,
        max_concurrent: u32,
        device: Option<String>,
        implied: bool,
        placed: Placed,
    },
    /// A process, or a thread of it, runs where it was not told to. Said once, until it is back.
    ProcessorMisplaced { processor: String, pid: i32, mismatch: String },
    /// Whether processors are held in control groups: in those below `dir`, or why not; and whether
    /// the configuration has use for any.
    ControlGroups { dir: Option<PathBuf>, reason: Option<String>, wanted: bool },
    /// A process is gone that should not be.
    ProcessorDied { processor: String, pid: i32, reason: String, last_words: Vec<String> },
    /// It is started again after a while.
    ProcessorRestarting { processor: String, delay_ms: u64, deaths_in_a_row: u32 },
    /// It is not started again.
    ProcessorDegraded { processor: String, reason: String },
    /// It was stopped because it was not needed any more.
    ProcessorStopped { processor: String, pid: i32, killed: bool },
    /// A line of a processor's stdout was no message, or belonged to nothing.
    ProcessorOddity { processor: String, oddity: String },
    /// A processor says something.
    ProcessorLog { processor: String, level: LogLevel, message: String },
    /// The progress of a task stands still. Said once, until it moves again.
    TaskStalled { processor: String, task: String, stage: Stage, silent_ms: u64 },
    /// A stage of a sector was given to a processor.
    StageStarted { sector: String, stage: Stage, processor: String, pid: i32, attempt: u32 },
    /// How far it is.
    StageProgress {
        sector: String,
        stage: Stage,
        phase: String,
        done: u64,
        total: u64,
        unit: String,
        checkpoint: Option<String>,
    },
    /// It ended well.
    StageFinished {
        sector: String,
        stage: Stage,
        attempt: u32,
        elapsed_ms: u64,
        resumed_from: Option<String>,
    },
    /// It did not, and is tried again.
    StageRetried {
        sector: String,
        stage: Stage,
        attempt: u32,
        pid: Option<i32>,
        delay_ms: u64,
        reason: String,
    },
    /// It did not, and is not tried again.
    StageFailed { sector: String, stage: Stage, attempt: u32, pid: Option<i32>, reason: String },
    /// What an earlier run had done already.
    StageSkipped { sector: String, stage: Stage },
    /// Parameters for a test size are being made.
    ParametersProgress {
        size: String,
        phase: String,
        done: u64,
        total: u64,
        eta_seconds: Option<u64>,
    },
    /// They are there.
    ParametersMade { size: String },
    /// The worker is told to stop.
    Stopping { reason: String },
    /// A daemon is ready.
    DaemonStarted { pid: u32, program: String, sectors: usize },
    /// Its processors are gone, and so is it in a moment.
    DaemonStopped { reason: String },
    /// Nothing starts any more, by the word of a person.
    Paused,
    /// … and no longer so.
    Resumed,
    /// What runs is finished, and then the daemon ends.
    Draining,
    /// The processors have taken over another configuration.
    Reloaded { changes: Vec<String> },
    /// They have not, and nothing has changed.
    ReloadFailed { reason: String },
    /// Jobs were submitted.
    Submitted { sectors: Vec<String> },
    /// A job stands somewhere else, by the word for it.
    SectorMoved { sector: String, state: String, reason: Option<String> },
    /// A command was asked for a ticket or a seed.
    Asked { sector: String, what: Randomness, answer: Option<String>, delay_ms: Option<u64> },
}

impl Event {
    /// Whether it is about a daemon alone, and no part of any sector's story.
    pub fn is_of_daemon(&self) -> bool {
        matches!(
            self,
            Self::DaemonStarted { .. }
                | Self::DaemonStopped { .. }
                | Self::Paused
                | Self::Resumed
                | Self::Draining
                | Self::Reloaded { .. }
                | Self::ReloadFailed { .. }
                | Self::Submitted { .. }
        )
    }

    /// The sector that it is about; `None` for what concerns all of them.
    pub fn sector(&self) -> Option<&str> {
        match self {
            Self::StageStarted { sector, .. }
            | Self::StageProgress { sector, .. }
            | Self::StageFinished { sector, .. }
            | Self::StageRetried { sector, .. }
            | Self::StageFailed { sector, .. }
            | Self::StageSkipped { sector, .. }
            | Self::SectorMoved { sector, .. }
            | Self::Asked { sector, .. } => Some(sector),
            _ => None,
        }
    }
}

/// Whoever wants to know. Called from the runtime's thread: it returns at once.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// Tells `notice` of every event.
    pub fn new(notice: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notice))
    }

    /// Tells of an event.
    pub fn tell(&self, event: &Event) {
        (self.0)(event);
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Milliseconds of a duration, as events and results give them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
