// SPDX-License-Identifier: MIT OR Apache-2.0

//! Finished sectors: a task's inputs are copied from one, and its files are compared with those there.
//!
//! Golden sectors of 2KiB come with this program. All others are sealed by the reference processor
//! at run time, over the same protocol.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealpipe_protocol::{
    Bytes32,
    stage::{Stage, proof::SealProof},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    facts::{Facts, Source},
    golden::{self, Golden},
    layout::{self, Variant},
    random::Random,
    setting::Setting,
};
use crate::{
    bench::Bench,
    check::{Failure, Verdict},
    session::Session,
};

/// How long the reference processor may take for a stage, before `--slow`.
const PATIENCE: Duration = Duration::from_secs(900);

/// A finished sector.
#[derive(Debug)]
pub struct Model {
    /// For people: the golden vector's name, or which random sector it is.
    pub name: String,
    /// What is known of it.
    pub facts: Facts,
    root: PathBuf,
}

impl Model {
    /// The content of a file, by its path as in [`layout`].
    ///
    /// # Errors
    /// [`Failure::Harness`] when it is not there.
    pub fn content(&self, path: &str) -> Verdict<Vec<u8>> {
        if let Some(number) = path.strip_prefix("pieces/piece-")
            && let Some(piece) = number.parse().ok().and_then(|i: usize| self.facts.pieces.get(i))
            && let Source::File { content, .. } = &piece.source
        {
            return Ok(content.clone());
        }
        let file = self.root.join(path);
        fs::read(&file).map_err(|e| Failure::harness(&file.display().to_string(), e))
    }
}

/// Which sector.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Which {
    Golden(usize),
    Random(u64),
}

/// The sectors of a run, each made when it is first asked for.
#[derive(Debug)]
pub struct Models {
    /// What is chosen.
    pub setting: Setting,
    made: Mutex<BTreeMap<Which, Verdict<Arc<Model>>>>,
}

impl Models {
    /// No sector yet.
    pub fn new(setting: Setting) -> Self {
        Self { setting, made: Mutex::default() }
    }

    /// The golden sectors of the chosen size.
    ///
    /// # Errors
    /// [`Failure::Skipped`] where they take a reference processor and there is none.
    pub fn golden(&self, bench: &Bench) -> Verdict<Vec<Arc<Model>>> {
        let n = golden::of(self.setting.size).len();
        (0..n).map(|i| self.get(bench, Which::Golden(i))).collect()
    }

    /// A golden sector of 2KiB, whatever size is chosen: nothing is needed for it.
    ///
    /// # Errors
    /// [`Failure::Harness`] when it cannot be written.
    pub fn small(&self, bench: &Bench) -> Verdict<Model> {
        match golden::of(SealProof::StackedDrg2KiBV1_1) {
            [golden, ..] => of_golden(bench, golden, Stage::C1),
            [] => Err(Failure::Harness("there is no golden sector of 2KiB".into())),
        }
    }

    /// The first golden sector of the chosen size.
    ///
    /// # Errors
    /// As [`Self::golden`].
    pub fn first(&self, bench: &Bench) -> Verdict<Arc<Model>> {
        self.get(bench, Which::Golden(0))
    }

    /// Another sector of the chosen size: other data, and with a reference processor also another
    /// miner, number and ticket.
    ///
    /// # Errors
    /// As [`Self::golden`].
    pub fn other(&self, bench: &Bench) -> Verdict<Arc<Model>> {
        if self.setting.reference.is_none() && golden::of(self.setting.size).len() > 1 {
            return self.get(bench, Which::Golden(1));
        }
        self.random(bench, 0)
    }

    /// A random sector, by its number in this run.
    ///
    /// # Errors
    /// [`Failure::Skipped`] without a reference processor.
    pub fn random(&self, bench: &Bench, number: u64) -> Verdict<Arc<Model>> {
        self.get(bench, Which::Random(number))
    }

    fn get(&self, bench: &Bench, which: Which) -> Verdict<Arc<Model>> {
        // Others wait meanwhile: most of them for the same sector.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(which).or_insert_with(|| self.make(bench, which).map(Arc::new)).clone()
    }

    fn make(&self, bench: &Bench, which: Which) -> Verdict<Model> {
        let last = last_stage(bench.known_stage()?);
        match which {
            Which::Golden(i) => of_golden(bench, &golden::of(self.setting.size)[i], last),
            Which::Random(number) => {
                let seed = self.setting.seed.wrapping_add(number);
                let facts = Random(seed).sector(self.setting.size);
                sealed(bench, format!("the random sector of the seed {seed:016x}"), facts, last)
            }
        }
    }
}

/// The last stage whose files a test of `stage` needs.
fn last_stage(stage: Stage) -> Stage {
    match stage {
        Stage::C2 | Stage::Verify => Stage::C1,
        Stage::Unseal => Stage::Pc2,
        other => other,
    }
}

fn of_golden(bench: &Bench, golden: &Golden, last: Stage) -> Verdict<Model> {
    let facts = golden.facts()?;
    if golden.files.is_empty() {
        let model = sealed(bench, golden.name.to_owned(), facts, last)?;
        return is_golden(&model, golden).map(|()| model);
    }
    let root = bench.dir()?;
    for (path, content) in golden.files {
        write(&root.join(path), content)?;
    }
    Ok(Model { name: golden.name.to_owned(), facts, root })
}

/// Whether the reference processor has sealed what is golden: otherwise nothing can be compared.
fn is_golden(model: &Model, golden: &Golden) -> Verdict {
    for (path, expected) in golden.digests()? {
        if !model.root.join(&path).exists() {
            continue;
        }
        let found = Bytes32(Sha256::digest(model.content(&path)?).into()).to_string();
        if found != expected {
            let text = format!("the reference processor's {path} of {} is wrong", golden.name);
            return Err(Failure::Harness(text));
        }
    }
    Ok(())
}

/// Has the reference processor seal a sector up to `last`.
fn sealed(bench: &Bench, name: String, mut facts: Facts, last: Stage) -> Verdict<Model> {
    let mut oracle = Oracle::start(bench)?;
    let root = bench.dir()?;
    for (i, piece) in facts.pieces.iter().enumerate() {
        if let Source::File { content, .. } = &piece.source {
            write(&root.join(format!("pieces/piece-{i}")), content)?;
        }
    }
    for stage in [Stage::AddPieces, Stage::TreeD, Stage::Pc1, Stage::Pc2, Stage::C1] {
        let dirs = layout::work_dir(stage).into_iter().chain([layout::CACHE.to_owned()]);
        for dir in dirs {
            let made = fs::create_dir_all(root.join(dir));
            made.map_err(|e| Failure::harness("cannot make a directory", e))?;
        }
        let output = oracle.output(stage, layout::params(stage, Variant::Plain, &facts, &root))?;
        facts.outputs.insert(stage, output);
        if stage == last {
            break;
        }
    }
    Ok(Model { name, facts, root })
}

/// Writes a file, and makes the directories above it.
pub fn write(path: &Path, content: &[u8]) -> Verdict {
    let failed = |e| Failure::harness(&format!("cannot write {}", path.display()), e);
    fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
    fs::write(path, content).map_err(failed)
}

/// The reference processor, which knows what is right.
pub struct Oracle {
    session: Session,
    asked: u64,
}

impl Oracle {
    /// Starts it.
    ///
    /// # Errors
    /// [`Failure::Skipped`] where there is none, [`Failure::Harness`] when it does not start.
    pub fn start(bench: &Bench) -> Verdict<Self> {
        let command = bench.models().setting.oracle(bench.known_stage()?)?;
        let mut session = bench.session_of(command)?;
        session.initialize(bench.initialize_params()).map_err(of_the_reference)?;
        Ok(Self { session, asked: 0 })
    }

    /// What it answers to a stage's parameters.
    ///
    /// # Errors
    /// [`Failure::Harness`] when that is an error: the parameters are right.
    pub fn output(&mut self, stage: Stage, params: Value) -> Verdict<Value> {
        self.asked += 1;
        let run = serde_json::json!({
            "taskId": format!("oracle-{}", self.asked),
            "attempt": 1,
            "stage": stage.name(),
            "schemaVersion": "1.0",
            "params": params,
        });
        let within = PATIENCE.mul_f64(self.session.limits.slow.max(1.0));
        let id = self.session.ask("task/run", run).map_err(of_the_reference)?;
        let heard = self.session.answer(&id, within).map_err(of_the_reference)?;
        if heard.code() == Some(PARAMETERS_MISSING) {
            return Err(Failure::Skipped(format!(
                "the reference processor: {}",
                heard.at("/error/data/hint")
            )));
        }
        match heard.message.pointer("/result/output") {
            Some(output) => Ok(output.clone()),
            None => Err(Failure::Harness(format!(
                "the reference processor fails at {stage}: {}",
                heard.excerpt()
            ))),
        }
    }
}

/// The code of missing Groth16 parameters.
pub const PARAMETERS_MISSING: i64 = 2001;

fn of_the_reference(failure: Failure) -> Failure {
    match failure {
        Failure::Broken(why) | Failure::Untimely(why) | Failure::Harness(why) => {
            Failure::Harness(format!("the reference processor: {why}"))
        }
        skipped @ Failure::Skipped(_) => skipped,
    }
}
