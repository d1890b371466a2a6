// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a command fails: what happened, what lay under it, and what to do next.

use std::{fmt::Write as _, sync::Arc};

use sealpipe_protocol::error::ErrorData;

use super::exit;
use crate::{
    pipeline::{parameters::ParametersError, store::StoreError, task::DriveError},
    supervisor::StartError,
};

/// Why a command failed, for people.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    message: String,
    details: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with [`exit::FAILED`].
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code: exit::FAILED, message, details: Vec::new(), hint: None }
    }

    /// Stopped by a signal.
    pub fn interrupted() -> Self {
        Self { code: exit::INTERRUPTED, ..Self::new("interrupted") }
            .hint("run the same command again to go on")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds lines below the message.
    #[must_use]
    pub fn lines(mut self, lines: Vec<String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Adds what an error of a task carries.
    #[must_use]
    pub fn caused(self, data: ErrorData) -> Self {
        let made = self.lines(data.causes);
        Self { hint: data.hint, ..made }
    }

    fn details(mut self, title: &str, lines: &[String]) -> Self {
        if !lines.is_empty() {
            self.details.push(title.to_owned());
            self.details.extend(lines.iter().map(|line| format!("  {line}")));
        }
        self
    }

    /// The whole text, as it is shown.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for line in &self.details {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }

    /// Shows it on stderr.
    pub fn print(&self) {
        super::show::say(self.render().trim_end());
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { hint: error.hint, ..Self::new(error.message) }
    }
}

impl From<Arc<StartError>> for Failure {
    fn from(error: Arc<StartError>) -> Self {
        let made = Self { hint: error.hint.clone(), ..Self::new(error.to_string()) };
        made.details("its last words:", &error.last_words)
    }
}

impl From<ParametersError> for Failure {
    fn from(error: ParametersError) -> Self {
        Self { hint: error.hint, ..Self::new(error.message) }
    }
}

impl From<DriveError> for Failure {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Store(error) => error.into(),
            DriveError::Start(error) => error.into(),
            DriveError::Parameters(error) => error.into(),
            DriveError::Stopping => Self::interrupted(),
            DriveError::Stage { stage, error, .. } => {
                let made = Self::new(format!("stage `{stage}` failed: {}", error.message));
                let made = made.details("caused by:", &error.data.causes);
                Self { hint: error.data.hint, ..made }
            }
        }
    }
}
