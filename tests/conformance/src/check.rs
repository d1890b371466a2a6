// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a check is: data with a stable id, the rules that it proves, and a function.

use crate::bench::Bench;

/// How a check ends.
pub type Verdict<T = ()> = Result<T, Failure>;

/// Why a check has not passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The processor does not keep a rule, and how that was seen.
    Broken(String),
    /// A time was not kept, and which: the processor breaks a rule, or the machine is too busy. Only
    /// a second look can tell.
    Untimely(String),
    /// The check says nothing about this processor or on this machine, and why.
    Skipped(String),
    /// The harness itself failed: nothing is said about the processor.
    Harness(String),
}

impl Failure {
    /// A fault of the harness.
    pub fn harness(what: &str, error: impl std::fmt::Display) -> Self {
        Self::Harness(format!("{what}: {error}"))
    }

    /// The same failure, with words on where it happened before it.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        match self {
            Self::Broken(text) => Self::Broken(format!("{place}: {text}")),
            Self::Untimely(text) => Self::Untimely(format!("{place}: {text}")),
            Self::Skipped(text) => Self::Skipped(format!("{place}: {text}")),
            Self::Harness(text) => Self::Harness(format!("{place}: {text}")),
        }
    }
}

/// How bad a broken rule is (RFC 2119).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The processor does not conform.
    Must,
    /// A warning.
    Should,
}

impl Level {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// What a check costs, and so how it is scheduled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// It mostly waits: many run at a time.
    Quick,
    /// It waits for seconds whatever the processor does, and so begins early.
    Long,
    /// It moves megabytes: few run at a time.
    Heavy,
    /// It waits for more than a minute: only with `--patient`, or when it is named by `--only`.
    Patient,
}

/// A check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable and never used again: `P-017` of the protocol, `S-…` of a stage, `W-…` of the worker.
    pub id: &'static str,
    /// What a processor that passes does, in few words.
    pub name: &'static str,
    /// How bad it is to fail.
    pub level: Level,
    /// What it costs.
    pub pace: Pace,
    /// Numbers of the rules of SPEC.md that it proves.
    pub rules: &'static [u16],
    /// The check itself.
    pub run: fn(&Bench) -> Verdict,
}

impl Check {
    /// A check of a MUST.
    pub const fn must(
        id: &'static str,
        name: &'static str,
        rules: &'static [u16],
        run: fn(&Bench) -> Verdict,
    ) -> Self {
        Self { id, name, level: Level::Must, pace: Pace::Quick, rules, run }
    }

    /// A check of a SHOULD.
    pub const fn should(
        id: &'static str,
        name: &'static str,
        rules: &'static [u16],
        run: fn(&Bench) -> Verdict,
    ) -> Self {
        Self { id, name, level: Level::Should, pace: Pace::Quick, rules, run }
    }

    /// The same check, which moves megabytes.
    #[must_use]
    pub const fn heavy(mut self) -> Self {
        self.pace = Pace::Heavy;
        self
    }

    /// The same check, which takes seconds.
    #[must_use]
    pub const fn long(mut self) -> Self {
        self.pace = Pace::Long;
        self
    }

    /// The same check, which takes more than a minute.
    #[must_use]
    pub const fn patient(mut self) -> Self {
        self.pace = Pace::Patient;
        self
    }

    /// The rules as SPEC.md writes them.
    pub fn rule_names(&self) -> Vec<String> {
        self.rules.iter().map(|number| format!("R-{number:03}")).collect()
    }
}

/// Ends the check unless the condition holds: the processor has broken a rule.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err($crate::check::Failure::Broken(format!($($text)+)));
        }
    };
}

/// Ends the check unless the condition, which is one of time, holds.
macro_rules! ensure_timely {
    ($condition:expr, $($text:tt)+) => {
        let holds: bool = $condition;
        if !holds {
            return Err($crate::check::Failure::Untimely(format!($($text)+)));
        }
    };
}

/// Ends the check: it says nothing here.
macro_rules! skip {
    ($($text:tt)+) => {
        return Err($crate::check::Failure::Skipped(format!($($text)+)))
    };
}

pub(crate) use ensure;
pub(crate) use ensure_timely;
pub(crate) use skip;
