// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector's journal.

use std::{
    fs,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{LIMIT, Run};

/// How often the journal is looked at.
const POLL: Duration = Duration::from_millis(2);

/// The journal of a sector, written by a worker meanwhile.
pub struct Journal(PathBuf);

impl Journal {
    /// The journal in a file.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The events so far. A line that a full disk has cut short is left out.
    pub fn events(&self) -> Vec<Value> {
        let content = fs::read_to_string(&self.0).unwrap_or_default();
        let complete = content.rfind('\n').map_or("", |end| &content[..end]);
        complete.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many events there are of a stage.
    pub fn count(&self, event: &str, stage: &str) -> usize {
        self.events().iter().filter(|e| is(e, event, stage)).count()
    }

    /// Waits for an event of a stage that is not among the first `after`, while `run` runs; gives
    /// its number and the event, or `None` if the run ends without it.
    #[track_caller]
    pub fn wait(
        &self,
        run: &mut Run,
        after: usize,
        event: &str,
        stage: &str,
    ) -> Option<(usize, Value)> {
        let what = format!("{event} of {stage}");
        self.wait_until(run, after, &what, |found| is(found, event, stage))
    }

    /// The same for any event; `what` names it.
    #[track_caller]
    pub fn wait_until(
        &self,
        run: &mut Run,
        after: usize,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Option<(usize, Value)> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let over = run.is_over();
            let events = self.events();
            let mut later = events.into_iter().enumerate().skip(after);
            if let Some(found) = later.find(|(_, found)| is_it(found)) {
                return Some(found);
            }
            if over {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "no {what} in {LIMIT:?}; it said:\n{}",
                run.stderr()
            );
            sleep(POLL);
        }
    }

    /// Waits for a stage to begin in a run that is expected to come there.
    #[track_caller]
    pub fn wait_for_start(&self, run: &mut Run, stage: &str) -> Value {
        let started = self.wait(run, 0, "stage-started", stage);
        started.unwrap_or_else(|| panic!("{stage} did not start; it said:\n{}", run.stderr())).1
    }
}

fn is(event: &Value, name: &str, stage: &str) -> bool {
    event["event"] == name && event["stage"] == stage
}

/// A member that is text; empty when it is not.
pub fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}
