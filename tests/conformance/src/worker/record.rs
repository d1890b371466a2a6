// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the hostile processor has written down, read by the checks.

use std::{fs, path::Path};

use serde_json::Value;

use super::hostile::diary_path;
use crate::{
    check::{Failure, Verdict},
    proc,
};

/// Something that happened to a process.
#[derive(Clone, Debug)]
pub struct Event {
    /// When, in milliseconds since the machine was started.
    pub ms: i64,
    /// What kind it is of.
    pub event: String,
    /// The rest.
    pub what: Value,
}

/// A line that the worker has written.
#[derive(Clone, Debug)]
pub struct Said {
    /// When it was read.
    pub ms: i64,
    /// The line, without its end.
    pub text: String,
    /// What is in it; `Null` when it is no JSON.
    pub message: Value,
}

impl Said {
    /// A value within it.
    pub fn at(&self, pointer: &str) -> &Value {
        self.message.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Whether it has this method.
    pub fn is(&self, method: &str) -> bool {
        self.at("/method") == method
    }

    /// Whether it answers.
    pub fn is_response(&self) -> bool {
        self.message.get("method").is_none()
            && (self.message.get("result").is_some() || self.message.get("error").is_some())
    }
}

/// A process that the worker has started, as far as it has come.
#[derive(Clone, Debug)]
pub struct Seen {
    /// All that happened to it.
    pub events: Vec<Event>,
}

impl Seen {
    /// All processes of a run, in their order.
    pub fn all(dir: &Path) -> Vec<Self> {
        let texts = (1..).map_while(|life| fs::read_to_string(diary_path(dir, life)).ok());
        let event = |line: &str| {
            let mut line: Value = serde_json::from_str(line).ok()?;
            let event = line["event"].as_str()?.to_owned();
            Some(Event { ms: line["ms"].as_i64()?, event, what: line["what"].take() })
        };
        texts.map(|text| Self { events: text.lines().filter_map(event).collect() }).collect()
    }

    /// The first event of a kind.
    pub fn find(&self, event: &str) -> Option<&Event> {
        self.events.iter().find(|found| found.event == event)
    }

    /// When it came to a mark of the script.
    pub fn marked(&self, name: &str) -> Option<i64> {
        let mut marks = self.events.iter().filter(|event| event.event == "mark");
        marks.find(|event| event.what == name).map(|event| event.ms)
    }

    /// What was found at its start.
    ///
    /// # Errors
    /// It was killed before it could write that down.
    pub fn start(&self) -> Verdict<&Value> {
        let start = self.find("start").map(|event| &event.what);
        start.ok_or_else(|| Failure::Harness("a processor has written nothing down".into()))
    }

    /// The lines that came.
    pub fn lines(&self) -> Vec<Said> {
        let lines = self.events.iter().filter(|event| event.event == "line");
        let said = lines.map(|event| {
            let text = event.what.as_str().unwrap_or_default().to_owned();
            let message = serde_json::from_str(&text).unwrap_or_default();
            Said { ms: event.ms, text, message }
        });
        said.collect()
    }

    /// The requests of a method that came.
    pub fn asked(&self, method: &str) -> Vec<Said> {
        self.lines().into_iter().filter(|said| said.is(method)).collect()
    }

    /// The responses that came.
    pub fn responses(&self) -> Vec<Said> {
        self.lines().into_iter().filter(Said::is_response).collect()
    }

    /// The processes that it was, and has started: their ids, and when they were born.
    pub fn processes(&self) -> Vec<(i32, u64)> {
        let of = self.events.iter().filter(|e| matches!(e.event.as_str(), "start" | "child"));
        let id = |event: &Event| {
            let pid = i32::try_from(event.what["pid"].as_i64()?).ok()?;
            Some((pid, event.what["born"].as_u64()?))
        };
        of.filter_map(id).collect()
    }

    /// Those of them that live. A zombie does not: when the worker is gone, it is for others to
    /// reap.
    pub fn alive(&self) -> Vec<i32> {
        let lives = |(pid, born): &(i32, u64)| {
            proc::born(*pid) == Some(*born) && !matches!(proc::state(*pid), None | Some('Z' | 'X'))
        };
        self.processes().into_iter().filter(lives).map(|(pid, _)| pid).collect()
    }
}
