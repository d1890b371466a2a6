// SPDX-License-Identifier: MIT OR Apache-2.0

//! A job's life, step by step: what may follow what. Pure; time is an argument.
//!
//! A step is written down before it is acted on, so that whoever reads a life after a crash knows at
//! least what was about to happen. Which stages of a sector are done its own record says; what stands
//! here about stages is for people, and for the tries that a task has left.

use std::fmt;

use sealpipe_protocol::{Bytes32, Class, Stage, TaskError};
use serde::{Deserialize, Serialize};

use crate::pipeline::{retry::Tries, sector::Randomness};

/// Longest text of an error that is kept, in characters.
const MAX_TEXT_CHARS: usize = 4096;

/// Longest text of an error in a list of many jobs, in characters.
const MAX_LISTED_CHARS: usize = 400;

/// Causes of an error in such a list.
const MAX_LISTED_CAUSES: usize = 2;

/// Where a job stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "is")]
pub enum State {
    /// Nothing is done, and nothing is made on any disk.
    Queued,
    /// It has begun, and waits for a place for a stage.
    Waiting {
        /// The stage.
        stage: Stage,
    },
    /// A processor runs a stage of it.
    Running {
        /// The stage.
        stage: Stage,
        /// Who runs it.
        processor: String,
        /// The number of the try.
        attempt: u32,
    },
    /// It waits for the chain.
    Asking {
        /// For what.
        what: Randomness,
    },
    /// It stopped, and a person has to look.
    Failed {
        /// Why.
        trouble: Trouble,
    },
    /// All that was asked for is done.
    Done,
    /// Somebody gave it up.
    Cancelled,
}

/// Why a job stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// In which stage, if in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The class of a processor's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What happened.
    pub message: String,
    /// What lay under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Trouble {
    /// Something that no processor has said.
    pub fn new(stage: Option<Stage>, message: &str, hint: Option<String>) -> Self {
        Self { stage, class: None, message: cut(message), causes: Vec::new(), hint }
    }

    /// What a processor has said.
    pub fn of_task(stage: Stage, error: &TaskError) -> Self {
        let data = &error.data;
        Self {
            stage: Some(stage),
            class: Some(data.class),
            message: cut(&error.message),
            causes: data.causes.iter().take(8).map(|cause| cut(cause)).collect(),
            hint: data.hint.as_deref().map(cut),
        }
    }
}

impl Trouble {
    /// As much of it as a list has room for; what is left out is told of the one job.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let short = |text: &String| match text.char_indices().nth(MAX_LISTED_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.clone(),
        };
        Self {
            message: short(&self.message),
            causes: self.causes.iter().take(MAX_LISTED_CAUSES).map(short).collect(),
            hint: self.hint.as_ref().map(short),
            ..self.clone()
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT_CHARS).collect()
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Some(stage) => write!(f, "stage `{stage}` failed: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A job's life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    /// Where it stands.
    pub state: State,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// When it was submitted.
    pub submitted_ms: u64,
    /// Whether it is held: what runs is finished, and nothing new of it starts.
    #[serde(default)]
    pub held: bool,
    /// Whether a run of it was ever given out: what it has made lies in its directory since.
    #[serde(default)]
    pub begun: bool,
    /// What has become of the tries of the stage at hand.
    #[serde(default)]
    pub tries: Tries,
    /// The number of the last try of the stage at hand, of a job without a directory of its own.
    #[serde(default)]
    pub attempt: u32,
    /// Runs of a demonstration that are done.
    #[serde(default)]
    pub steps_done: u32,
    /// A seed that somebody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Bytes32>,
}

/// What happens to a job.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the states that they lead to are described above")]
pub enum Step {
    /// A place for a stage is asked for.
    Wait { stage: Stage },
    /// A try begins.
    Start { stage: Stage, processor: String, attempt: u32 },
    /// A try is lost.
    Lose { stage: Stage, tries: Tries },
    /// A stage is done.
    Finish,
    /// The chain is asked.
    Ask { what: Randomness },
    /// It cannot go on.
    Fail { trouble: Trouble },
    /// All is done.
    Complete,
    /// Somebody gives it up.
    Cancel,
    /// Somebody wants it tried once more.
    Retry,
    /// Somebody says the seed.
    Seed { seed: Bytes32 },
    /// Somebody wants it held.
    Hold,
    /// … and no longer.
    Release,
}

/// Why a step is not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// There is no such job.
    #[error("no sector is called {0:?}")]
    Unknown(String),
    /// Its state does not allow it.
    #[error("{name} is {state}: it cannot be {what}")]
    NotNow {
        /// Which job.
        name: String,
        /// Its state, in a word.
        state: &'static str,
        /// What was to be done with it.
        what: &'static str,
    },
}

impl State {
    /// The state in a word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting { .. } => "waiting",
            Self::Running { .. } => "running",
            Self::Asking { what: Randomness::Ticket } => "waiting for ticket",
            Self::Asking { what: Randomness::Seed } => "waiting for seed",
            Self::Failed { .. } => "failed",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Done | Self::Cancelled)
    }

    /// The stage at hand.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Self::Waiting { stage } | Self::Running { stage, .. } => Some(*stage),
            Self::Failed { trouble } => trouble.stage,
            _ => None,
        }
    }
}

impl Life {
    /// The life of a job that was just submitted.
    pub fn new(now_ms: u64) -> Self {
        Self {
            state: State::Queued,
            since_ms: now_ms,
            submitted_ms: now_ms,
            held: false,
            begun: false,
            tries: Tries::default(),
            attempt: 0,
            steps_done: 0,
            seed: None,
        }
    }

    /// What people call its state: being held hides where it waits, but not that it runs or is over.
    pub fn word(&self) -> &'static str {
        match &self.state {
            state if state.is_over() => state.word(),
            state @ State::Running { .. } => state.word(),
            _ if self.held => "held",
            state => state.word(),
        }
    }

    /// Whether it has begun: its directory is made, or a run of it was given out.
    pub fn has_begun(&self) -> bool {
        self.begun || self.state != State::Queued
    }

    /// A life as it is found when a worker starts: nothing runs any more.
    pub fn found(mut self) -> Self {
        if let State::Running { stage, .. } = self.state {
            self.state = State::Waiting { stage };
        }
        self
    }

    /// The life after a step.
    ///
    /// # Errors
    /// The step does not follow.
    pub fn after(&self, name: &str, step: &Step, now_ms: u64) -> Result<Self, Refusal> {
        self.check(name, step)?;
        let mut next = self.clone();
        let state = match step {
            // Who waits in the queue has begun nothing yet.
            Step::Wait { .. } if self.state == State::Queued => return Ok(next),
            Step::Wait { stage } => State::Waiting { stage: *stage },
            Step::Start { stage, processor, attempt } => {
                next.attempt = *attempt;
                next.begun = true;
                State::Running { stage: *stage, processor: processor.clone(), attempt: *attempt }
            }
            Step::Lose { stage, tries } => {
                next.tries = *tries;
                State::Waiting { stage: *stage }
            }
            Step::Finish => {
                next.tries = Tries::default();
                next.attempt = 0;
                next.steps_done = next.steps_done.saturating_add(1);
                return Ok(next);
            }
            Step::Ask { what } => State::Asking { what: *what },
            Step::Fail { trouble } => State::Failed { trouble: trouble.clone() },
            Step::Complete => State::Done,
            Step::Cancel => State::Cancelled,
            Step::Retry => {
                next.tries = Tries::default();
                next.held = false;
                State::Queued
            }
            Step::Seed { seed } => {
                next.seed = Some(*seed);
                return Ok(next);
            }
            Step::Hold | Step::Release => {
                next.held = *step == Step::Hold;
                return Ok(next);
            }
        };
        if state != next.state {
            next.since_ms = now_ms;
        }
        next.state = state;
        Ok(next)
    }

    fn check(&self, name: &str, step: &Step) -> Result<(), Refusal> {
        let over = self.state.is_over();
        let (allowed, what) = match step {
            // A failed or finished job can be given up, so that its name is free again.
            Step::Cancel => (!matches!(self.state, State::Done | State::Cancelled), "cancelled"),
            Step::Retry => {
                let ended = matches!(self.state, State::Failed { .. } | State::Cancelled);
                (ended, "tried again")
            }
            Step::Seed { .. } => (!over, "given a seed"),
            Step::Hold => (!over, "paused"),
            Step::Release => (!over, "resumed"),
            _ => (!over, "worked on"),
        };
        let name = name.to_owned();
        let refused = Refusal::NotNow { name, state: self.word(), what };
        if allowed { Ok(()) } else { Err(refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(steps: &[Step]) -> Result<Life, Refusal> {
        let mut life = Life::new(0);
        for (at, step) in steps.iter().enumerate() {
            life = life.after("t01000-1", step, at as u64 + 1)?;
        }
        Ok(life)
    }

    fn start(stage: Stage) -> Step {
        Step::Start { stage, processor: "pc1[0]".into(), attempt: 1 }
    }

    fn trouble() -> Trouble {
        Trouble::new(Some(Stage::Pc2), "out of luck", None)
    }

    #[test]
    fn a_sector_goes_its_way() {
        let check = |steps: &[Step], word: &str, since_ms: u64| {
            let life = walk(steps).unwrap();
            assert_eq!((life.word(), life.since_ms), (word, since_ms), "{steps:?}");
        };
        let wait = Step::Wait { stage: Stage::Pc1 };
        let seed = Step::Ask { what: Randomness::Seed };
        check(&[], "queued", 0);
        check(std::slice::from_ref(&wait), "queued", 0);
        check(&[start(Stage::Pc1)], "running", 1);
        check(&[start(Stage::Pc1), Step::Finish, wait.clone()], "waiting", 3);
        check(
            &[start(Stage::Pc1), Step::Finish, seed.clone(), seed.clone()],
            "waiting for seed",
            3,
        );
        check(&[start(Stage::Pc1), Step::Complete], "done", 2);
        check(&[start(Stage::Pc1), Step::Fail { trouble: trouble() }], "failed", 2);
        check(&[Step::Cancel], "cancelled", 1);
        check(&[Step::Cancel, Step::Retry], "queued", 2);
        check(&[Step::Hold], "held", 0);
        check(&[Step::Hold, start(Stage::Pc1)], "running", 2);
        check(&[Step::Hold, Step::Release, Step::Hold], "held", 0);
    }

    #[test]
    fn what_is_over_stays_over_until_somebody_says_otherwise() {
        let check = |steps: &[Step], expected: &str| {
            assert_eq!(walk(steps).unwrap_err().to_string(), expected, "{steps:?}");
        };
        let fail = Step::Fail { trouble: trouble() };
        check(&[Step::Complete, Step::Cancel], "t01000-1 is done: it cannot be cancelled");
        check(&[Step::Complete, Step::Retry], "t01000-1 is done: it cannot be tried again");
        check(&[Step::Retry], "t01000-1 is queued: it cannot be tried again");
        check(&[fail.clone(), Step::Hold], "t01000-1 is failed: it cannot be paused");
        check(&[Step::Cancel, start(Stage::C1)], "t01000-1 is cancelled: it cannot be worked on");
        walk(&[fail, Step::Cancel]).unwrap();
    }

    #[test]
    fn tries_are_of_one_stage_and_a_person_renews_them() {
        let tries = Tries { lost: 3, temporary: 1, critical: 0 };
        let lose = Step::Lose { stage: Stage::Pc2, tries };
        let begun = [start(Stage::Pc2), lose];
        let life = walk(&begun).unwrap();
        assert_eq!((life.tries, life.attempt), (tries, 1));
        let kept: Life = serde_json::from_str(&serde_json::to_string(&life).unwrap()).unwrap();
        assert_eq!(kept.clone().found(), life);
        let after = |step| kept.after("", &step, 9).unwrap().tries;
        assert_eq!(after(Step::Finish), Tries::default());
        assert_eq!(after(start(Stage::Pc2)), tries);
        let failed = kept.after("", &Step::Fail { trouble: trouble() }, 9).unwrap();
        assert_eq!(failed.after("", &Step::Retry, 10).unwrap().tries, Tries::default());
    }

    #[test]
    fn a_list_of_errors_stays_short() {
        let long = "é".repeat(MAX_TEXT_CHARS);
        let mut trouble = Trouble::new(None, &long, Some("short".into()));
        trouble.causes = vec![long; 8];
        let short = trouble.shortened();
        assert_eq!(short.message, format!("{}…", "é".repeat(MAX_LISTED_CHARS)));
        assert_eq!((short.causes.len(), short.hint.as_deref()), (2, Some("short")));
        assert_eq!(short.shortened().causes.len(), 2);
    }

    #[test]
    fn what_has_begun_stays_so() {
        let fail = Step::Fail { trouble: trouble() };
        let check = |steps: &[Step], expected: bool| {
            assert_eq!(walk(steps).unwrap().has_begun(), expected, "{steps:?}");
        };
        check(&[start(Stage::Pc1), fail.clone(), Step::Retry], true);
        check(&[start(Stage::Pc1), Step::Cancel, Step::Retry], true);
        check(&[fail, Step::Retry], false);
        let older = r#"{"state":{"is":"queued"},"sinceMs":1,"submittedMs":1}"#;
        assert!(!serde_json::from_str::<Life>(older).unwrap().has_begun());
    }

    #[test]
    fn nothing_runs_when_a_worker_starts() {
        let found = walk(&[start(Stage::Pc2)]).unwrap().found();
        assert_eq!(found.state, State::Waiting { stage: Stage::Pc2 });
        assert!(found.has_begun());
        let ended = walk(&[Step::Complete]).unwrap();
        assert_eq!(ended.clone().found(), ended);
    }
}
