// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is ordered, as people and programs write it: one JSON object a sector.

use std::path::{Path, PathBuf};

use sealpipe_protocol::{
    Bytes32, MAX_INTEGER, Stage,
    stage::{StageParams as _, echo, proof::SealProof},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    daemon::job::{EchoJob, Job, SectorJob, Source, Work},
    pipeline::{
        sector::{Keep, Prover, Randomness, lay_out, practice_randomness},
        steps::STAGES,
        store::absolute,
    },
};

/// Runs of one demonstration.
pub const MAX_STEPS: u32 = 10_000;

/// Longest payload of a demonstration, in bytes of JSON.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// Longest name of a demonstration, in characters.
const MAX_NAME_CHARS: usize = 64;

/// Something to work on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// A sector to seal.
    Sector(SectorOrder),
    /// A demonstration.
    Echo(EchoOrder),
}

/// A sector to seal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SectorOrder {
    /// Its size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB.
    pub size: String,
    /// The miner's ID address; for the test sizes f01000 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner: Option<String>,
    /// A prover id instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prover_id: Option<Bytes32>,
    /// Its number.
    pub number: u64,
    /// Its directory.
    pub dir: PathBuf,
    /// Files to seal; none for committed capacity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PathBuf>,
    /// The ticket; for the test sizes a fixed one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Source>,
    /// The seed; unless given a fixed one for the test sizes, and waited for otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Source>,
    /// The last stage to run; `verify` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Which files stay once it is proven.
    #[serde(default)]
    pub keep: Keep,
}

/// A demonstration: runs of the stage `echo`, one after another.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EchoOrder {
    /// Its name; a free one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Runs of the stage.
    #[serde(default = "one")]
    pub steps: u32,
    /// What is given back.
    #[serde(default)]
    pub payload: Value,
    /// Signs of progress that each run gives.
    #[serde(default)]
    pub ticks: u64,
    /// Milliseconds before each of them.
    #[serde(default)]
    pub interval_ms: u64,
    /// How each run ends instead of answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<echo::Failure>,
}

fn one() -> u32 {
    1
}

impl Order {
    /// The order with its relative paths made absolute.
    #[must_use]
    pub fn from_dir(mut self, dir: &Path) -> Self {
        if let Self::Sector(order) = &mut self {
            order.dir = dir.join(&order.dir);
            order.pieces.iter_mut().for_each(|piece| *piece = dir.join(&*piece));
        }
        self
    }

    /// The job that is ordered. `piece_file` gives the real path and the length of a file that can be
    /// read, and `free_name` a name that nobody has.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn into_job(
        self,
        piece_file: impl Fn(&Path) -> Result<(PathBuf, u64), String>,
        free_name: impl FnOnce() -> String,
    ) -> Result<Job, Vec<String>> {
        match self {
            Self::Sector(order) => order.into_job(piece_file),
            Self::Echo(order) => order.into_job(free_name),
        }
    }
}

/// Collects what is wrong.
fn noted<T>(wrong: &mut Vec<String>, value: Result<T, String>) -> Option<T> {
    value.map_err(|why| wrong.push(why)).ok()
}

impl SectorOrder {
    fn into_job(
        self,
        piece_file: impl Fn(&Path) -> Result<(PathBuf, u64), String>,
    ) -> Result<Job, Vec<String>> {
        let mut wrong = Vec::new();
        let proof = noted(&mut wrong, self.size.parse::<SealProof>());
        let until = noted(&mut wrong, self.until());
        let dir = noted(&mut wrong, self.absolute_dir());
        if self.number > MAX_INTEGER {
            wrong.push(format!("`number` is at most {MAX_INTEGER}, got {}", self.number));
        }
        let Some(proof) = proof else { return Err(wrong) };
        let prover = noted(&mut wrong, self.prover(proof));
        let ticket = noted(&mut wrong, self.ticket(proof));
        let seed = self.seed.clone().unwrap_or(match proof.is_test_size() {
            true => Source::Given(practice_randomness(Randomness::Seed)),
            false => Source::Awaited,
        });
        let mut files = Vec::new();
        for path in &self.pieces {
            let file = match path.is_absolute() {
                true => piece_file(path),
                false => Err(format!("a piece is an absolute path, got {:?}", path.display())),
            };
            files.extend(noted(&mut wrong, file));
        }
        let pieces = noted(&mut wrong, lay_out(proof, &files));
        let (Some(until), Some(dir), Some(prover), Some(ticket), Some(pieces), true) =
            (until, dir, prover, ticket, pieces, wrong.is_empty())
        else {
            return Err(wrong);
        };
        let (number, keep) = (self.number, self.keep);
        let work = SectorJob { proof, prover, number, pieces, ticket, seed, dir, until, keep };
        Ok(Job { name: work.sector().name(), work: Work::Sector(work) })
    }

    fn until(&self) -> Result<Stage, String> {
        let name = self.until.as_deref().unwrap_or(Stage::Verify.name());
        STAGES.iter().copied().find(|stage| stage.name() == name).ok_or_else(|| {
            let names: Vec<_> = STAGES.iter().map(|stage| stage.name()).collect();
            format!("`until` is {name:?}; the stages of sealing are {}", names.join(", "))
        })
    }

    fn absolute_dir(&self) -> Result<PathBuf, String> {
        if !self.dir.is_absolute() {
            return Err(format!("`dir` is an absolute path, got {:?}", self.dir.display()));
        }
        absolute(&self.dir).map_err(|error| error.message)
    }

    fn prover(&self, proof: SealProof) -> Result<Prover, String> {
        match (&self.miner, self.prover_id) {
            (Some(_), Some(_)) => Err("`miner` and `proverId` are one too many".to_owned()),
            (Some(miner), None) => Prover::parse_miner(miner),
            (None, Some(id)) => Ok(Prover::Raw(id)),
            (None, None) if proof.is_test_size() => Ok(Prover::Miner(1000)),
            (None, None) => Err(format!("a {} sector needs its `miner`", proof.size_name())),
        }
    }

    fn ticket(&self, proof: SealProof) -> Result<Source, String> {
        match &self.ticket {
            Some(Source::Awaited) => {
                Err("`ticket` is 64 hex digits or a command: only a seed is waited for".to_owned())
            }
            Some(ticket) => Ok(ticket.clone()),
            None if proof.is_test_size() => {
                Ok(Source::Given(practice_randomness(Randomness::Ticket)))
            }
            None => Err(format!(
                "a {} sector is the network's: its `ticket` is the chain's to give",
                proof.size_name()
            )),
        }
    }
}

impl EchoOrder {
    fn into_job(self, free_name: impl FnOnce() -> String) -> Result<Job, Vec<String>> {
        let mut wrong = Vec::new();
        let name = self.name.unwrap_or_else(free_name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let named = !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.chars().all(plain);
        if !named || name.starts_with("t0") {
            wrong.push(format!(
                "`name` is up to {MAX_NAME_CHARS} letters, digits and `-_.`, and does not begin \
                 like a sector's with t0; got {name:?}"
            ));
        }
        if !(1..=MAX_STEPS).contains(&self.steps) {
            wrong.push(format!("`steps` is from 1 to {MAX_STEPS}, got {}", self.steps));
        }
        let bytes = self.payload.to_string().len();
        if bytes > MAX_PAYLOAD_BYTES {
            wrong.push(format!("`payload` has at most {MAX_PAYLOAD_BYTES} bytes, got {bytes}"));
        }
        let Self { payload, ticks, interval_ms, fail, steps, .. } = self;
        let params = echo::Params { payload, ticks, interval_ms, fail };
        if let Err(error) = params.validate() {
            wrong.push(error.message);
        }
        match wrong.is_empty() {
            true => Ok(Job { name, work: Work::Echo(EchoJob { steps, params }) }),
            false => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Job, String> {
        let order: Order = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let size = |path: &Path| match path.to_str() {
            Some("/w/there") => Ok((path.to_owned(), 1016)),
            _ => Err(format!("piece {} cannot be read", path.display())),
        };
        let job = order.from_dir(Path::new("/w")).into_job(size, || "echo-1".to_owned());
        job.map_err(|wrong| wrong.join("; "))
    }

    #[test]
    fn an_order_is_filled_up_with_what_goes_without_saying() {
        let job = read(r#"{"sector":{"size":"2KiB","number":7,"dir":"s","pieces":["there"]}}"#);
        let job = job.unwrap();
        assert_eq!(job.name, "t01000-7");
        let Work::Sector(sector) = job.work else { panic!("a sector") };
        assert_eq!((sector.dir, sector.until), (PathBuf::from("/w/s"), Stage::Verify));
        assert_eq!(sector.seed, Source::Given(practice_randomness(Randomness::Seed)));
        assert_eq!(sector.pieces.len(), 2);
        let hex = "0a".repeat(32);
        let real = format!(
            r#"{{"sector":{{"size":"32GiB","miner":"f05","number":1,"dir":"/s","ticket":"{hex}"}}}}"#
        );
        let Work::Sector(sector) = read(&real).unwrap().work else { panic!("a sector") };
        assert_eq!(sector.seed, Source::Awaited);
        assert_eq!(read(r#"{"echo":{}}"#).unwrap().name, "echo-1");
    }

    #[test]
    fn everything_that_is_wrong_is_said() {
        let check = |line: &str, expected: &[&str]| {
            let said = read(line).unwrap_err();
            for text in expected {
                assert!(said.contains(text), "{line}: {said:?} lacks {text:?}");
            }
        };
        check(
            r#"{"sector":{"size":"32GiB","number":9007199254740993,"dir":"s","pieces":["gone"],
                "until":"pc3"}}"#,
            &["needs its `miner`", "`ticket` is the chain's", "at most", "gone", "\"pc3\""],
        );
        check(r#"{"sector":{"size":"3GiB","number":1,"dir":"s"}}"#, &["unknown sector size"]);
        check(
            r#"{"sector":{"size":"2KiB","number":1,"dir":"s","miner":"x","ticket":"wait"}}"#,
            &["a miner's ID address", "only a seed is waited for"],
        );
        check(r#"{"sector":{"size":"2KiB","nummer":1}}"#, &["unknown field `nummer`"]);
        check(r#"{"sector":{"size":"2KiB","dir":"s"}}"#, &["missing field `number`"]);
        check(r#"{"secter":{}}"#, &["unknown variant `secter`"]);
        check(
            r#"{"echo":{"name":"t01000-1","steps":0,"ticks":9000000}}"#,
            &["`name` is", "`steps` is", "`ticks` is"],
        );
    }
}
