// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks of a stage: the right values, the right files, and nothing else touched.
//!
//! Reading order: [`setting`] (what is chosen), [`facts`] (what is known of a sector), [`layout`] (the
//! stages' files and parameters), [`golden`] and [`random`] (where sectors come from), [`model`]
//! (finished sectors, and the reference processor that makes them), [`trial`] (a task and how it is
//! judged), then the checks: [`right`], [`wrong`], [`disk`], [`stop`], [`proofs`].

pub mod disk;
pub mod facts;
pub mod golden;
pub mod layout;
pub mod model;
pub mod proofs;
pub mod random;
pub mod right;
pub mod setting;
pub mod snapshot;
pub mod stop;
pub mod trial;
pub mod wrong;

use sealpipe_protocol::Stage;
use serde_json::Value;

use self::trial::Trial;
use crate::{
    bench::Bench,
    check::{Check, Failure, Verdict},
    work::Work,
};

/// Inputs of these stages have nothing to contradict.
const CONTRADICTIONS: &str = "S-022";

/// The checks of `stage`; none for `echo`, which the protocol's checks run all the time.
pub fn checks(stage: &str) -> Vec<Check> {
    let mut checks = match stage.parse() {
        Ok(Stage::Echo) | Err(_) => Vec::new(),
        Ok(Stage::C2) => proofs::C2.to_vec(),
        Ok(Stage::Verify) => proofs::VERIFY.to_vec(),
        Ok(_) => [right::CHECKS, wrong::CHECKS, disk::CHECKS, stop::CHECKS].concat(),
    };
    let has_contradictions = !matches!(stage.parse(), Ok(Stage::AddPieces | Stage::TreeD));
    checks.retain(|check| has_contradictions || check.id != CONTRADICTIONS);
    checks
}

/// Tasks of `stage` for the checks of the protocol.
pub fn work(stage: &str) -> Option<Box<dyn Work>> {
    stage.parse().ok().map(|stage| Box::new(StageWork(stage)) as Box<dyn Work>)
}

/// Tasks of a stage, of golden 2KiB sectors.
struct StageWork(Stage);

impl StageWork {
    fn params(&self, bench: &Bench) -> Verdict<Value> {
        let model = bench.models().small(bench)?;
        Ok(Trial::new(bench, &model, right::usual(self.0, &model))?.params)
    }
}

impl Work for StageWork {
    fn brief(&self, bench: &Bench) -> Verdict<Value> {
        match self.0 {
            Stage::C2 => Err(Failure::Skipped("every proof takes a minute and more".into())),
            _ => self.params(bench),
        }
    }

    fn lasting(&self, bench: &Bench) -> Verdict<Value> {
        match self.0 {
            Stage::C2 => self.params(bench),
            _ => Err(Failure::Skipped(format!(
                "no task of `{}` on a small sector lasts; `--stage echo` has them",
                self.0
            ))),
        }
    }
}
