// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a run says, for people and for machines.

pub mod json;
pub mod junit;
pub mod table;

use std::ffi::OsString;

use crate::suite::{Outcome, Status};

/// A run.
pub struct Report<'a> {
    /// The stage that was tested.
    pub stage: &'a str,
    /// The processor's program and arguments.
    pub command: &'a [OsString],
    /// How the checks ended.
    pub outcomes: &'a [Outcome],
}

impl Report<'_> {
    /// How many ended so.
    pub fn count(&self, status: Status) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.status == status).count()
    }

    /// The command line as one text.
    pub fn command_line(&self) -> String {
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }
}
