// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tasks for the checks of the protocol to run, whatever the stage.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    check::{Failure, Verdict},
    stage,
};

/// Where the checks of the protocol get a stage's tasks from.
pub trait Work: Send + Sync {
    /// The stage's parameters of a task that ends well within seconds. May make files in
    /// [`Bench::dir`].
    ///
    /// # Errors
    /// [`Failure::Skipped`] where there is no such task.
    fn brief(&self, bench: &Bench) -> Verdict<Value>;

    /// The stage's parameters of a task that is open until it is stopped, or for minutes.
    ///
    /// # Errors
    /// [`Failure::Skipped`] where there is no such task.
    fn lasting(&self, bench: &Bench) -> Verdict<Value>;
}

/// The tasks of a stage.
pub fn of(stage: &str) -> Box<dyn Work> {
    match stage {
        "echo" => Box::new(Echo),
        other => stage::work(other).unwrap_or_else(|| Box::new(Unknown(other.to_owned()))),
    }
}

struct Echo;

impl Work for Echo {
    fn brief(&self, _: &Bench) -> Verdict<Value> {
        Ok(json!({"payload": "brief"}))
    }

    fn lasting(&self, _: &Bench) -> Verdict<Value> {
        Ok(json!({"payload": "lasting", "ticks": 6_000, "intervalMs": 100}))
    }
}

/// A stage that the suite has no tasks for.
struct Unknown(String);

impl Work for Unknown {
    fn brief(&self, _: &Bench) -> Verdict<Value> {
        Err(Failure::Skipped(format!("the suite has no task of `{}`", self.0)))
    }

    fn lasting(&self, bench: &Bench) -> Verdict<Value> {
        self.brief(bench)
    }
}
