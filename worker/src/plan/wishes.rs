// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is asked of a plan.

use std::{fmt, str::FromStr};

/// What matters most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Objective {
    /// As many sectors a day as the machine can.
    #[default]
    SectorsPerDay,
    /// A sector's time from its first task to its last.
    Latency,
    /// Cores that nobody needs.
    CoresLeft,
}

/// How pc2 and c2 have GPUs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Gpus {
    /// Each serves one stage.
    Separate,
    /// Each serves both, which take turns by a lock.
    Shared,
}

/// Constraints and objective.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    /// What matters most.
    pub objective: Objective,
    /// Tasks of pc1 at once, over all nodes.
    pub pc1: Option<usize>,
    /// Cores of one pc1 task: one that labels, and those that fetch parents for it.
    pub cores_per_pc1: Option<usize>,
    /// The last L3 groups of each node, which pc1 does not get.
    pub reserve_l3_groups: Option<usize>,
    /// How pc2 and c2 have GPUs.
    pub gpus: Option<Gpus>,
}

/// Reads a word of a list.
fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("expected {}, got {text:?}", words.join(" or "))
    })
}

const OBJECTIVES: [(&str, Objective); 3] = [
    ("sectors-per-day", Objective::SectorsPerDay),
    ("latency", Objective::Latency),
    ("cores-left", Objective::CoresLeft),
];

const GPUS: [(&str, Gpus); 2] = [("no", Gpus::Separate), ("yes", Gpus::Shared)];

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &OBJECTIVES)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = OBJECTIVES.iter().find(|(_, value)| value == self).map_or("", |(word, _)| word);
        f.write_str(word)
    }
}

impl FromStr for Gpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        word(text, &GPUS)
    }
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(GPUS.iter().find(|(_, value)| value == self).map_or("", |(word, _)| word))
    }
}
