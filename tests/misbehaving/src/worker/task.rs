// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tasks: what is to be done, how it stands, and what an error means for it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::faults::{Fault, has};

/// Temporary errors of a task before it is given up.
const MAX_TEMPORARY: u32 = 4;

/// Before a task is tried again, unless the processor asks for more.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// The longest that it waits, whatever is asked.
const MOST_DELAY: Duration = Duration::from_secs(60);

/// How a task stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
    /// It is to be run, and not before.
    Waiting(Instant),
    /// It runs.
    Open,
    /// It is done.
    Done,
    /// It will never be, and why.
    Failed(String),
}

/// A task.
pub struct Task {
    /// Its name.
    pub name: String,
    /// The stage's parameters.
    pub params: Value,
    /// The number of its last try.
    pub attempt: u32,
    /// How it stands.
    pub status: Status,
    /// What was done of it when progress was heard last.
    pub done: Option<u64>,
    /// When that was another number.
    pub advanced: Instant,
    temporary: u32,
}

/// Makes the directories of so many tasks.
///
/// # Errors
/// A directory cannot be made.
pub fn prepare(dir: &Path, stage: &str, count: usize) -> Result<Vec<Task>, String> {
    let make = |number: usize| {
        let sector = dir.join(format!("sector-{number}"));
        if !has(Fault::MakesNoDirectory) {
            fs::create_dir_all(&sector).map_err(|e| format!("{}: {e}", sector.display()))?;
        }
        let sector = match has(Fault::RelativePaths) {
            true => format!("sector-{number}").into(),
            false => sector,
        };
        let piece = |bytes: u64| json!({"source": "zero", "payloadSize": bytes / 128 * 127, "pieceSize": bytes});
        let mut pieces = vec![piece(1024), piece(512), piece(512)];
        pieces.truncate(if has(Fault::LeavesAGap) { 2 } else { 3 });
        let params = match stage {
            "echo" => json!({"payload": {"sector": number}}),
            _ => json!({
                "proof": "StackedDrg2KiBV1_1", "pieces": pieces,
                "unsealedPath": sector.join("unsealed"),
            }),
        };
        let number = if has(Fault::ReusesNames) { 1 } else { number };
        let now = Instant::now();
        Ok(Task {
            name: format!("sector-{number}/{stage}"),
            params,
            attempt: 0,
            status: Status::Waiting(now),
            done: None,
            advanced: now,
            temporary: 0,
        })
    };
    (1..=count).map(make).collect()
}

impl Task {
    /// Whether nothing more is done about it.
    pub fn is_over(&self) -> bool {
        matches!(self.status, Status::Done | Status::Failed(_))
    }

    /// Begins a try.
    pub fn begin(&mut self) {
        if !has(Fault::AttemptsStay) || self.attempt == 0 {
            self.attempt += 1;
        }
        if has(Fault::RenamesTasks) {
            self.name.push('+');
        }
        (self.status, self.done, self.advanced) = (Status::Open, None, Instant::now());
    }

    /// The process has died with the task open.
    pub fn lose(&mut self) {
        if self.status == Status::Open {
            self.status = match has(Fault::DeathIsFinal) {
                true => Status::Failed("its process has died".into()),
                false => Status::Waiting(Instant::now()),
            };
        }
    }

    /// It was answered with a result.
    pub fn take_result(&mut self, result: &Value) {
        self.status = match self.fits(result) || has(Fault::TakesAnyResult) {
            true => Status::Done,
            false => Status::Failed(format!("a result that does not fit: {result}")),
        };
    }

    fn fits(&self, result: &Value) -> bool {
        let output = &result["output"];
        let Some(pieces) = self.params["pieces"].as_array() else {
            return output.get("payload") == self.params.get("payload");
        };
        let Some(answered) = output["pieces"].as_array() else { return false };
        let hex = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        answered.len() == pieces.len()
            && answered.iter().zip(pieces).all(|(answered, piece)| {
                answered["commP"].as_str().is_some_and(hex)
                    && answered["pieceSize"] == piece["pieceSize"]
            })
    }

    /// It was answered with an error.
    pub fn take_error(&mut self, error: &Value) {
        let code = error["code"].as_i64().unwrap_or(0);
        let retry = &error["data"]["retry"];
        let known = ["same", "other-process", "other-device"];
        let odd = retry["where"].as_str().is_some_and(|place| !known.contains(&place));
        let temporary = is_temporary(code, error.get("data"));
        self.temporary += 1;
        let exhausted = self.temporary > MAX_TEMPORARY && !has(Fault::TriesForEver);
        if !temporary || exhausted || odd && has(Fault::DiesOfHints) {
            self.status = Status::Failed(format!("the processor says {error}"));
            return;
        }
        let asked = Duration::from_millis(retry["afterMs"].as_u64().unwrap_or(0)).min(MOST_DELAY);
        let asked = if has(Fault::IgnoresHints) { Duration::ZERO } else { asked };
        self.status = Status::Waiting(Instant::now() + asked.max(RETRY_DELAY));
    }
}

/// Whether an error is worth another try.
fn is_temporary(code: i64, data: Option<&Value>) -> bool {
    // The table of SPEC.md; a code that is not in it is permanent.
    let by_code = matches!(code, -32603 | 1003 | 1007 | 1008 | 1009 | 1011);
    if has(Fault::EverythingIsTemporary) {
        return true;
    }
    if has(Fault::CodeDecides) {
        return by_code;
    }
    match data.and_then(|data| data.get("class")).and_then(Value::as_str) {
        Some("temporary") => true,
        Some("critical") => has(Fault::CriticalIsTemporary),
        Some("abort") => has(Fault::AbortIsTemporary),
        Some("permanent") => false,
        Some(_) => has(Fault::UnknownIsTemporary),
        None if data.is_none() => {
            let table = [1001, 1002, 1004, 1005, 1006, 1010, 2001].contains(&code) || code < 0;
            let unknown = !by_code && !table;
            by_code && !has(Fault::NoDataIsPermanent)
                || unknown && has(Fault::UnknownCodeIsTemporary)
        }
        None => by_code && !has(Fault::BadDataIsPermanent),
    }
}
