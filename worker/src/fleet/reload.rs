// SPDX-License-Identifier: MIT OR Apache-2.0

//! What taking over another configuration has done, or why it was not done.

use std::{fmt, sync::Arc};

use sealpipe_protocol::Stage;
use serde::Serialize;

use crate::{
    scheduler::{Cap, Policy, Rules, StageLimit},
    supervisor::StartError,
};

/// What a reload has done, by the processors' names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reload {
    /// As they were.
    pub kept: Vec<String>,
    /// Changed in place.
    pub changed: Vec<Changed>,
    /// Were degraded, and are started again as they are.
    pub revived: Vec<String>,
    /// New processes, which take the next tasks.
    pub started: Vec<String>,
    /// Old processes, which finish their tasks and end.
    pub draining: Vec<Draining>,
    /// Entries that are gone.
    pub removed: Vec<String>,
    /// Limits, locks and order: what was and what is.
    pub rules: Vec<String>,
}

/// An entry that was changed in place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Its name.
    pub processor: String,
    /// What was and what is.
    pub what: Vec<String>,
}

/// A process that takes no task any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Draining {
    /// Its name.
    pub processor: String,
    /// Tasks that it still runs.
    pub tasks: usize,
}

/// Why a reload has changed nothing: what each new process has failed at.
#[derive(Clone, Debug, thiserror::Error)]
pub struct ReloadError {
    /// At least one.
    pub failed: Vec<Arc<StartError>>,
}

impl ReloadError {
    pub(super) fn stopping() -> Self {
        let error = StartError {
            processor: "of any stage".to_owned(),
            message: "none is started any more, for the worker stops".to_owned(),
            hint: None,
            last_words: Vec::new(),
        };
        Self { failed: vec![Arc::new(error)] }
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<_> = self.failed.iter().map(ToString::to_string).collect();
        write!(f, "nothing was changed: {}", failed.join("; "))
    }
}

/// What was and what is, for people.
pub(super) fn changes(old: &Rules, new: &Rules) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |key: String, old: String, new: String| {
        if old != new {
            found.push(format!("{key} {old} → {new}"));
        }
    };
    let count = |n: Option<usize>| n.map_or("no limit".to_owned(), |n| n.to_string());
    for stage in Stage::ALL {
        let of = |rules: &Rules| rules.limits.get(stage).copied().unwrap_or_default();
        let (was, is) = (of(old), of(new));
        let key = format!("limitation.concurrent.{stage}");
        compare(key, count(was.concurrent), count(is.concurrent));
        let interval = |limit: StageLimit| {
            limit.staggered.map_or("none".to_owned(), |t| humantime::format_duration(t).to_string())
        };
        compare(format!("limitation.staggered.{stage}"), interval(was), interval(is));
    }
    let mut locks: Vec<_> = old.locks.keys().chain(new.locks.keys()).collect();
    locks.sort();
    locks.dedup();
    for lock in locks {
        let of = |rules: &Rules| rules.locks.get(lock).map_or("none".to_owned(), usize::to_string);
        compare(format!("ext_locks.{lock}"), of(old), of(new));
    }
    let policy = |rules: &Rules| match rules.policy {
        Policy::Fifo => "fifo".to_owned(),
        Policy::LaterFirst { overtakes } => format!("later-first with {overtakes} overtakes"),
    };
    compare("scheduling.policy".to_owned(), policy(old), policy(new));
    let cap = |rules: &Rules| match rules.sectors_in_flight {
        Cap::Auto => "auto".to_owned(),
        Cap::AtMost(n) => n.to_string(),
        Cap::Unbounded => "unbounded".to_owned(),
    };
    compare("scheduling.sectors_in_flight".to_owned(), cap(old), cap(new));
    found
}
