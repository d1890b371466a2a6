// SPDX-License-Identifier: MIT OR Apache-2.0

//! A task of a stage: its directories with copied inputs, its run, and what is to be said of how it
//! ended.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sealpipe_protocol::stage::{Stage, proof::SealProof};
use serde_json::Value;

use super::{
    facts::Facts,
    layout::{self, SECTOR, Variant},
    model::{Model, PARAMETERS_MISSING, write},
    snapshot::{Snapshot, difference},
};
use crate::{
    bench::Bench,
    check::{Failure, Verdict, ensure},
    session::{Heard, Session},
};

/// The stage is not served for this proof.
pub const UNSUPPORTED: i64 = 1002;

/// Another process holds the sector's directory.
const CONFLICT: i64 = 1007;

/// Most characters of what has changed that are shown.
const MOST_SHOWN: usize = 400;

/// A task.
pub struct Trial<'b> {
    bench: &'b Bench,
    /// The stage.
    pub stage: Stage,
    /// How the task differs from others.
    pub variant: Variant,
    /// The sector.
    pub facts: Facts,
    /// The directory with the sector and what lies around it.
    pub root: PathBuf,
    /// The stage's parameters, right ones at first.
    pub params: Value,
    /// The files that the stage owns, and what has to be in them.
    pub expected: Vec<(String, Vec<u8>)>,
    task_id: String,
    attempts: u64,
}

impl<'b> Trial<'b> {
    /// Lays out a task in a directory of its own.
    ///
    /// # Errors
    /// [`Failure::Harness`] when files cannot be written.
    pub fn new(bench: &'b Bench, model: &Model, variant: Variant) -> Verdict<Self> {
        Self::at(bench, bench.dir()?, model, variant)
    }

    /// Lays out a task in `root`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn at(bench: &'b Bench, root: PathBuf, model: &Model, variant: Variant) -> Verdict<Self> {
        static TASKS: AtomicU64 = AtomicU64::new(0);
        let stage = bench.known_stage()?;
        let task_id = format!("{stage}-{}", TASKS.fetch_add(1, Ordering::Relaxed));
        let trial = Self {
            bench,
            stage,
            variant,
            facts: model.facts.clone(),
            params: layout::params(stage, variant, &model.facts, &root),
            expected: expected(stage, variant, model)?,
            root,
            task_id,
            attempts: 0,
        };
        // Somebody else's sector: nothing here is the task's.
        write(&trial.path("beside/sector/sealed"), b"another sector")?;
        for dir in layout::work_dir(stage).into_iter().chain([layout::CACHE.to_owned()]) {
            let made = fs::create_dir_all(trial.path(&dir));
            made.map_err(|e| Failure::harness("cannot make a directory", e))?;
        }
        trial.lay_out(model)?;
        Ok(trial)
    }

    /// Copies the inputs of a sector, over those that are there.
    pub fn lay_out(&self, model: &Model) -> Verdict {
        for path in layout::inputs(self.stage, self.variant, &model.facts) {
            write(&self.path(&path), &model.content(&path)?)?;
        }
        Ok(())
    }

    /// Makes it a task of another sector in the same directories, with whatever stands there.
    pub fn become_of(&mut self, model: &Model) -> Verdict {
        self.lay_out(model)?;
        self.facts = model.facts.clone();
        self.params = layout::params(self.stage, self.variant, &self.facts, &self.root);
        self.expected = expected(self.stage, self.variant, model)?;
        Ok(())
    }

    /// A path in the task's directories.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// What is in the directories now.
    pub fn look(&self) -> Verdict<Snapshot> {
        Snapshot::take(&self.root)
    }

    /// Sends it as a new attempt; the id of the request.
    pub fn begin(&mut self, session: &mut Session) -> Verdict<Value> {
        self.attempts += 1;
        let run = self.bench.run_params(&self.task_id, self.attempts, self.params.clone());
        session.ask("task/run", run)
    }

    /// Asks to cancel it.
    pub fn cancel(&self, session: &mut Session) -> Verdict {
        session.ask("task/cancel", serde_json::json!({"taskId": self.task_id})).map(drop)
    }

    /// How it ended, however long it takes.
    ///
    /// # Errors
    /// [`Failure::Skipped`] when the processor serves no such sectors or lacks its parameters.
    pub fn end(&self, session: &mut Session, id: &Value) -> Verdict<Heard> {
        let heard = self.any_end(session, id)?;
        if heard.code() == Some(UNSUPPORTED) {
            let size = self.facts.proof.size_name();
            return Err(Failure::Skipped(format!("it does not serve {size}")));
        }
        Ok(heard)
    }

    /// How it ended, even if that is a refusal to serve such sectors.
    ///
    /// # Errors
    /// [`Failure::Skipped`] when the processor lacks its parameters.
    pub fn any_end(&self, session: &mut Session, id: &Value) -> Verdict<Heard> {
        let heard = session.answer(id, self.patience())?;
        session.earlier();
        let proves = matches!(self.stage, Stage::C2 | Stage::Verify);
        if proves && heard.code() == Some(PARAMETERS_MISSING) {
            return Err(Failure::Skipped(format!(
                "the Groth16 parameters of {} are not there: {}",
                self.facts.proof.size_name(),
                heard.at("/error/message")
            )));
        }
        Ok(heard)
    }

    /// Runs it to its end.
    pub fn run(&mut self, session: &mut Session) -> Verdict<Heard> {
        let id = self.begin(session)?;
        self.end(session, &id)
    }

    /// Runs it to its end; waits for what an earlier process has left running.
    pub fn run_after_death(&mut self, session: &mut Session) -> Verdict<Heard> {
        let deadline = std::time::Instant::now() + self.bench.limits.cancelled();
        loop {
            let heard = self.run(session)?;
            if heard.code() != Some(CONFLICT) || std::time::Instant::now() >= deadline {
                return Ok(heard);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How long it may take: sectors differ more than processors do.
    fn patience(&self) -> Duration {
        let seconds = match (self.stage, self.facts.proof) {
            (Stage::C2, _) => 3_600,
            (_, SealProof::StackedDrg2KiBV1_1) => 60,
            _ => 1_800,
        };
        Duration::from_secs(seconds).mul_f64(self.bench.limits.slow.max(1.0))
    }

    /// It has answered what is right, all of it and nothing else.
    pub fn answers_right(&self, heard: &Heard) -> Verdict {
        let Some(output) = heard.message.pointer("/result/output") else {
            return Err(Failure::Broken(format!("expected a result, got {}", heard.excerpt())));
        };
        let out_path = self.path("sector/c1.json").display().to_string();
        let expected = self.facts.output(self.stage, self.variant, &out_path);
        ensure!(*output == expected, "expected the output {expected}, got {output}");
        Ok(())
    }

    /// Its files are there, and right.
    pub fn files_are_right(&self) -> Verdict {
        for (path, expected) in &self.expected {
            let file = self.path(path);
            let found = fs::read(&file)
                .map_err(|e| Failure::Broken(format!("{path} cannot be read: {e}")))?;
            if let Some(difference) = difference(path, &found, expected) {
                return Err(Failure::Broken(difference));
            }
        }
        Ok(())
    }

    /// It has ended well: a result, and the files. Values are for [`Self::answers_right`].
    pub fn ended_well(&self, heard: &Heard) -> Verdict {
        let ended = heard.message.get("result").is_some();
        ensure!(ended, "expected a result, got {}", heard.excerpt());
        self.files_are_right()
    }

    /// Each of its files is absent, complete, or as it was before: never half there.
    pub fn no_file_is_half_there(&self, before: &Snapshot) -> Verdict {
        let changes = before.changes(&self.look()?, |path| !self.owns(path));
        for (path, expected) in &self.expected {
            let Ok(found) = fs::read(self.path(path)) else { continue };
            let is_changed = changes.iter().any(|change| change.starts_with(&format!("{path} ")));
            if let Some(difference) = difference(path, &found, expected).filter(|_| is_changed) {
                return Err(Failure::Broken(difference));
            }
        }
        Ok(())
    }

    /// Nothing has changed but its files, its scratch, and what is new in the directories of its
    /// files.
    pub fn inputs_are_unchanged(&self, before: &Snapshot) -> Verdict {
        let changes =
            before.changes(&self.look()?, |path| self.owns(path) || self.is_scratch(path));
        nothing(changes.into_iter().filter(|change| !self.is_beside(change)).collect())
    }

    /// Nothing is there beyond what was, its files and its scratch.
    pub fn nothing_is_left(&self, before: &Snapshot) -> Verdict {
        nothing(before.changes(&self.look()?, |path| self.owns(path) || self.is_scratch(path)))
    }

    /// Nothing has changed, its scratch apart.
    pub fn wrote_no_output(&self, before: &Snapshot) -> Verdict {
        let changes = before.changes(&self.look()?, |path| self.is_scratch(path));
        nothing(changes.into_iter().filter(|change| !self.is_beside(change)).collect())
    }

    /// Nothing has changed at all.
    pub fn touched_nothing(&self, before: &Snapshot) -> Verdict {
        nothing(before.changes(&self.look()?, |_| false))
    }

    fn owns(&self, path: &str) -> bool {
        self.expected.iter().any(|(owned, _)| owned == path)
    }

    fn is_scratch(&self, path: &str) -> bool {
        layout::work_dir(self.stage)
            .is_some_and(|dir| Path::new(path).starts_with(dir) || path == format!("{SECTOR}/work"))
    }

    /// Whether a change is a temporary file: new, and in the directory of one of its files.
    fn is_beside(&self, change: &str) -> bool {
        let Some(path) = change.strip_suffix(" is new").filter(|path| !self.owns(path)) else {
            return false;
        };
        let parents = self.expected.iter().filter_map(|(owned, _)| Path::new(owned).parent());
        parents.into_iter().any(|parent| Path::new(path).starts_with(parent))
    }
}

fn nothing(changes: Vec<String>) -> Verdict {
    let shown: String = changes.join(", ").chars().take(MOST_SHOWN).collect();
    ensure!(changes.is_empty(), "{shown}");
    Ok(())
}

fn expected(stage: Stage, variant: Variant, model: &Model) -> Verdict<Vec<(String, Vec<u8>)>> {
    let outputs = layout::outputs(stage, variant, &model.facts).into_iter();
    let content = |path: &str| match variant {
        Variant::Range { offset, size } => Ok(model.facts.range(offset, size)),
        _ => model.content(path),
    };
    outputs.map(|path| content(&path).map(|content| (path, content))).collect()
}
