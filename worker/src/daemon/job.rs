// SPDX-License-Identifier: MIT OR Apache-2.0

//! What was submitted: everything about a sector, or about a demonstration, that does not change
//! while it is worked on. Plain data.

use std::{fmt, path::PathBuf};

use sealpipe_protocol::{
    Bytes32, Stage,
    stage::{echo, piece::PieceSource, proof::SealProof},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pipeline::sector::{Keep, Prover, Sector};

/// Longest command that prints a ticket or a seed, in bytes.
pub const MAX_COMMAND_BYTES: usize = 4096;

/// Something to be worked on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// What people call it: the sector's name, or one that was given.
    pub name: String,
    /// What it is.
    pub work: Work,
}

/// What a job is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// A sector to seal.
    Sector(SectorJob),
    /// A demonstration: runs of `echo`, one after another.
    Echo(EchoJob),
}

/// A sector to seal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SectorJob {
    /// The registered seal proof.
    pub proof: SealProof,
    /// Whose sector it is.
    pub prover: Prover,
    /// Its number.
    pub number: u64,
    /// The pieces, filling the sector.
    pub pieces: Vec<PieceSource>,
    /// Where the ticket comes from.
    pub ticket: Source,
    /// Where the seed comes from.
    pub seed: Source,
    /// Its directory, an absolute path.
    pub dir: PathBuf,
    /// The last stage to run.
    pub until: Stage,
    /// Which files stay once it is proven.
    pub keep: Keep,
}

/// A demonstration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EchoJob {
    /// Runs of `echo`.
    pub steps: u32,
    /// What each of them does.
    pub params: echo::Params,
}

/// Where randomness of the chain comes from. In JSON 64 hex digits, `{"command": "…"}`, or `"wait"`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Source {
    /// It is known.
    Given(Bytes32),
    /// A shell's command prints it.
    Command(String),
    /// Somebody will say it.
    Awaited,
}

impl Source {
    /// What is known from the start.
    pub fn given(&self) -> Option<Bytes32> {
        match self {
            Self::Given(value) => Some(*value),
            Self::Command(_) | Self::Awaited => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(value) => write!(f, "{value}"),
            Self::Command(command) => write!(f, "command {command:?}"),
            Self::Awaited => f.write_str("wait"),
        }
    }
}

impl From<Source> for Value {
    fn from(source: Source) -> Self {
        match source {
            Source::Given(value) => value.to_string().into(),
            Source::Command(command) => serde_json::json!({ "command": command }),
            Source::Awaited => "wait".into(),
        }
    }
}

impl TryFrom<Value> for Source {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let expected = "expected 64 hex digits, {\"command\": \"…\"} or \"wait\"";
        match &value {
            Value::String(text) if text == "wait" => Ok(Self::Awaited),
            Value::String(text) => {
                text.parse().map(Self::Given).map_err(|error| format!("{error}; {expected}"))
            }
            Value::Object(members) => match (members.len(), members.get("command")) {
                (1, Some(Value::String(command))) => Self::command(command),
                _ => Err(format!("{expected}, got {value}")),
            },
            _ => Err(format!("{expected}, got {value}")),
        }
    }
}

impl Source {
    /// A command that prints it.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn command(command: &str) -> Result<Self, String> {
        match command.len() {
            0 => Err("the command is empty".to_owned()),
            ..=MAX_COMMAND_BYTES if !command.contains('\0') => {
                Ok(Self::Command(command.to_owned()))
            }
            n => Err(format!("a command has at most {MAX_COMMAND_BYTES} bytes, got {n}")),
        }
    }
}

impl SectorJob {
    /// The sector as far as it is known.
    pub fn sector(&self) -> Sector {
        Sector {
            proof: self.proof,
            prover: self.prover,
            number: self.number,
            ticket: self.ticket.given(),
            seed: self.seed.given(),
            pieces: self.pieces.clone(),
        }
    }
}

impl Job {
    /// What differs from another job of the same name, with both values; empty when they are the
    /// same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        match (&self.work, &other.work) {
            (Work::Sector(ours), Work::Sector(theirs)) => ours.differences(theirs),
            (Work::Echo(ours), Work::Echo(theirs)) if ours == theirs => Vec::new(),
            (Work::Echo(_), Work::Echo(_)) => vec!["another echo".to_owned()],
            _ => vec!["one is a sector, the other an echo".to_owned()],
        }
    }
}

impl SectorJob {
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = self.sector().differences(&other.sector());
        let mut compare = |what: &str, ours: String, theirs: String| {
            if ours != theirs {
                found.push(format!("{what} {ours}, not {theirs}"));
            }
        };
        if self.ticket.given().and(other.ticket.given()).is_none() {
            compare("ticket", self.ticket.to_string(), other.ticket.to_string());
        }
        if self.seed.given().and(other.seed.given()).is_none() {
            compare("seed", self.seed.to_string(), other.seed.to_string());
        }
        compare("directory", self.dir.display().to_string(), other.dir.display().to_string());
        compare("until", self.until.to_string(), other.until.to_string());
        compare("keep", self.keep.to_string(), other.keep.to_string());
        found
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pipeline::sector::lay_out;

    /// A sector of 2 KiB without data.
    pub fn sector(number: u64) -> SectorJob {
        let proof = SealProof::StackedDrg2KiBV1_1;
        SectorJob {
            proof,
            prover: Prover::Miner(1000),
            number,
            pieces: lay_out(proof, &[]).unwrap(),
            ticket: Source::Given(Bytes32([1; 32])),
            seed: Source::Awaited,
            dir: PathBuf::from(format!("/s/{number}")),
            until: Stage::C1,
            keep: Keep::Needed,
        }
    }

    /// The same as a job.
    pub fn job(number: u64) -> Job {
        let work = sector(number);
        Job { name: work.sector().name(), work: Work::Sector(work) }
    }

    #[test]
    fn a_source_is_hex_or_a_command_or_later() {
        let check = |json: &str, expected: &str| {
            let read = serde_json::from_str::<Source>(json);
            let shown = read.map_or_else(|e| format!("error: {e}"), |source| source.to_string());
            assert!(shown.starts_with(expected), "{json}: {shown}");
        };
        let hex = "0a".repeat(32);
        check(&format!("{hex:?}"), &hex);
        check(r#"{"command":"lotus chain"}"#, "command \"lotus chain\"");
        check(r#""wait""#, "wait");
        check(r#""0A""#, "error: ");
        check(r#"{"command":""}"#, "error: the command is empty");
        check(r#"{"command":"a","b":1}"#, "error: expected 64 hex digits");
        check("7", "error: expected 64 hex digits");
        check(&format!(r#"{{"command":"{}"}}"#, "x".repeat(5000)), "error: a command has at most");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let echo = EchoJob {
            steps: 3,
            params: echo::Params { payload: Value::Null, ticks: 1, interval_ms: 2, fail: None },
        };
        let echo = Job { name: "demo-1".into(), work: Work::Echo(echo) };
        for job in [job(1), echo] {
            let text = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
        }
    }

    #[test]
    fn jobs_of_one_name_are_compared_member_by_member() {
        let check = |change: fn(&mut SectorJob), expected: &[&str]| {
            let mut other = sector(1);
            change(&mut other);
            assert_eq!(sector(1).differences(&other), expected);
        };
        check(|_| {}, &[]);
        check(|s| s.dir = "/t".into(), &["directory /s/1, not /t"]);
        check(|s| s.until = Stage::Pc1, &["until c1, not pc1"]);
        check(|s| s.seed = Source::Command("x".into()), &["seed wait, not command \"x\""]);
        check(|s| s.keep = Keep::All, &["keep needed, not all"]);
        check(|s| s.number = 2, &["sector number 1, not 2"]);
        let [ticket] = &sector(1)
            .differences(&SectorJob { ticket: Source::Given(Bytes32([3; 32])), ..sector(1) })[..]
        else {
            panic!("one difference")
        };
        assert!(ticket.starts_with("ticket 0101"), "{ticket}");
    }
}
