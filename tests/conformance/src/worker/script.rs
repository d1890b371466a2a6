// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the hostile processor does: data that a check writes down and the processor reads.
//!
//! A worker starts a process as often as it likes. Each process is a *life*; the last life of a
//! script is lived again by all that come after.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of the file, in the directory of a run.
pub const FILE: &str = "script.json";

/// Tasks that it offers to run at a time, unless told otherwise.
pub const MAX_CONCURRENT: u32 = 8;

/// What it does in all of its lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// The stage that it serves.
    pub stage: String,
    /// The process of the suite, and when it was born: without it nobody lives on.
    pub suite: (i32, Option<u64>),
    /// Its lives, at least one.
    pub lives: Vec<Life>,
}

/// Whether it runs where it was told to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Pin {
    /// As every processor does.
    #[default]
    Granted,
    /// It does not listen.
    Never,
    /// It pins itself and leaves a thread that it has started before.
    Halfway,
    /// It pins its cpus, and leaves the memory policy as it is.
    CpusOnly,
}

/// What one process does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// Before it reads anything.
    pub start: Vec<Act>,
    /// Where it runs.
    pub pin: Pin,
    /// When `initialize` has come.
    pub initialize: Vec<Act>,
    /// When the n-th `task/run` has come, each in a thread of its own; the last is for all that
    /// follow.
    pub runs: Vec<Vec<Act>>,
    /// When `shutdown` has come.
    pub shutdown: Vec<Act>,
    /// When stdin has ended. Without an exit in here it lives on.
    pub eof: Vec<Act>,
    /// When SIGTERM has come. Without an exit in here it lives on.
    pub term: Vec<Act>,
}

impl Default for Life {
    /// An honest processor's.
    fn default() -> Self {
        Self {
            start: Vec::new(),
            pin: Pin::Granted,
            initialize: vec![Act::Answer],
            runs: vec![vec![Act::Answer]],
            shutdown: vec![Act::Answer],
            eof: vec![Act::Exit(None)],
            term: vec![Act::Exit(Some(1))],
        }
    }
}

impl Life {
    /// An honest one but for `initialize`.
    pub fn initialize(acts: impl Into<Vec<Act>>) -> Self {
        Self { initialize: acts.into(), ..Self::default() }
    }

    /// An honest one but for its tasks.
    pub fn run(acts: impl Into<Vec<Act>>) -> Self {
        Self { runs: vec![acts.into()], ..Self::default() }
    }

    /// Does not end, whatever it is told but by SIGKILL.
    #[must_use]
    pub fn stubborn(mut self) -> Self {
        self.eof.clear();
        self.term.clear();
        self
    }
}

/// One thing that it does. In texts `$ID`, `$TASK` and `$ATTEMPT` are those of the request at hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    /// Answers as an honest processor would, and does what there is to do for that.
    Answer,
    /// Answers `initialize` with the placement that was granted, whatever it observes.
    Claim,
    /// Answers honestly, with these members merged into the result; `null` stays.
    Patch(Value),
    /// Answers with this: an object with `result` or `error`.
    Reply(Value),
    /// Writes a frame of exactly so many bytes, padded by an unknown member: the honest answer, or
    /// this one, which then does not count as the answer.
    Padded {
        /// An object with `result` or `error`.
        reply: Option<Value>,
        /// Bytes without the line end.
        bytes: usize,
    },
    /// Writes a line.
    Say(String),
    /// Answers like `Reply`, to the id of the request written as the other type: nobody's.
    SayOtherType(Value),
    /// Answers honestly but for the line end.
    CutAnswer,
    /// Writes a text without a line end.
    Cut(String),
    /// Writes bytes as they are.
    Bytes(Vec<u8>),
    /// Ends all lines with `\r\n` from here on.
    CrLf,
    /// Writes a line of so many bytes, which is no JSON.
    Junk {
        /// Bytes without the line end.
        bytes: usize,
    },
    /// Writes a line, again and again.
    Flood {
        /// The line.
        line: String,
        /// How often, in each round.
        times: usize,
        /// Rounds, with 50 ms between them.
        rounds: usize,
    },
    /// Writes to stderr, without a line end.
    Stderr {
        /// How much.
        bytes: usize,
    },
    /// Writes a line to stderr.
    StderrLine(String),
    /// Does nothing for so many milliseconds.
    Sleep(u64),
    /// Does nothing for so many hundredths of the grace that was granted, and at most for 2 s.
    SleepOfGrace(u64),
    /// Ends, with the code that is right unless there is one.
    Exit(Option<u8>),
    /// Ends as by a crash.
    Die,
    /// Closes stdout and lives on.
    CloseStdout,
    /// Reads nothing from here on.
    StopReading,
    /// Reads again.
    Read,
    /// Fills its own stdin with empty lines, so that the worker cannot write.
    FillStdin,
    /// Starts a process, in its group, that SIGTERM does not end.
    Child,
    /// Waits until so many runs have been answered, and no longer than so many milliseconds.
    AwaitAnswered {
        /// In this life.
        runs: usize,
        /// Milliseconds.
        within: u64,
    },
    /// Waits for a line of the worker's that has this text in it, and no longer than so many
    /// milliseconds.
    AwaitLine(String, u64),
    /// Waits until so many runs have come, and no longer than so many milliseconds.
    AwaitRuns {
        /// In this life.
        runs: usize,
        /// Milliseconds.
        within: u64,
    },
    /// Waits until the process of another life is gone, reaped and all, no longer than so many
    /// milliseconds, and writes down whether it is.
    AwaitGone {
        /// Its number, from 1.
        life: usize,
        /// Milliseconds.
        within: u64,
    },
    /// Writes down how much memory the worker has ever used.
    Peak(String),
    /// Writes down that it has come here.
    Mark(String),
}
