// SPDX-License-Identifier: MIT OR Apache-2.0

//! Echo jobs, as `sealpipe submit` takes them: one JSON object a line. Their runs take as long as they
//! ask for, or as long as the journal of a daemon tells that they took.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    time::Duration,
};

use sealpipe_protocol::Stage;
use serde::Deserialize;

use super::inputs;
use crate::{
    cli::Failure,
    control::order::Order,
    daemon::job::{EchoJob, Work},
    simulate::Step,
};

/// Reads jobs: each a sequence of runs of `echo`.
///
/// # Errors
/// A line is no echo job, or there is none; the journal lacks a run.
pub fn read(path: &Path, journal: Option<&Path>) -> Result<Vec<Vec<Step>>, Failure> {
    let text = inputs::text(path)?;
    let mut went = journal.map(went).transpose()?;
    let mut jobs = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = |error| Failure::new(format!("{}, line {}: {error}", path.display(), index + 1));
        let (name, mut steps) = job(line).map_err(|error| {
            at(error)
                .hint("expected such as {\"echo\":{\"steps\":3,\"ticks\":10,\"intervalMs\":100}}")
        })?;
        if let Some(went) = &mut went {
            went.apply(&name, &mut steps).map_err(at)?;
        }
        jobs.push(steps);
    }
    match jobs.is_empty() {
        true => Err(Failure::new(format!("{} holds no job", path.display()))),
        false => Ok(jobs),
    }
}

/// A job's name, empty when the daemon is to find one, and its runs.
fn job(line: &str) -> Result<(String, Vec<Step>), String> {
    let order: Order = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Order::Echo(echo) = &order else {
        return Err("sectors come by `--arrivals`, only echo jobs from a file".to_owned());
    };
    let name = echo.name.clone().unwrap_or_default();
    let file = |path: &Path| Ok((path.to_owned(), 0));
    let job = order.into_job(file, || "echo".to_owned()).map_err(|wrong| wrong.join("; "))?;
    let Work::Echo(EchoJob { steps, params }) = job.work else { return Ok((name, Vec::new())) };
    if params.fail.is_some() {
        return Err("a job that fails is not simulated".to_owned());
    }
    let takes = Duration::from_millis(params.ticks.saturating_mul(params.interval_ms));
    let step = Step { stage: Stage::Echo, pause: Duration::ZERO, takes };
    Ok((name, vec![step; steps as usize]))
}

/// A line of a daemon's journal, as far as it is about a run of a stage.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    at_ms: u64,
    event: String,
    #[serde(default)]
    sector: String,
}

/// How long runs took.
struct Went {
    /// In their order, by job.
    takes: BTreeMap<String, VecDeque<Duration>>,
    /// From the end of a run to the beginning of the one that it made way for: handing over, and
    /// writing that down.
    handover: Duration,
}

/// Reads a daemon's journal. Lines that a crash has cut short are left out.
fn went(path: &Path) -> Result<Went, Failure> {
    let text = inputs::text(path)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut begun = BTreeMap::new();
    let mut takes: BTreeMap<String, VecDeque<Duration>> = BTreeMap::new();
    let (mut ended, mut gaps) = (None, Vec::new());
    for line in lines {
        match line.event.as_str() {
            "stage-started" => {
                gaps.extend(ended.take().map(|ended| line.at_ms.saturating_sub(ended)));
                begun.insert(line.sector, line.at_ms);
            }
            "stage-finished" => {
                ended = Some(line.at_ms);
                let Some(since) = begun.remove(&line.sector) else { continue };
                let took = Duration::from_millis(line.at_ms.saturating_sub(since));
                takes.entry(line.sector).or_default().push_back(took);
            }
            _ => {}
        }
    }
    gaps.sort_unstable();
    let median = gaps.get(gaps.len() / 2).copied().unwrap_or(0);
    Ok(Went { takes, handover: Duration::from_millis(median) })
}

impl Went {
    fn apply(&mut self, name: &str, steps: &mut [Step]) -> Result<(), String> {
        if name.is_empty() {
            return Err("a job without a name is not found in a journal".to_owned());
        }
        let lacks = || format!("the journal tells of fewer than {} runs of {name:?}", steps.len());
        let takes = self.takes.remove(name).filter(|takes| takes.len() >= steps.len());
        let takes = takes.ok_or_else(lacks)?;
        for (step, took) in steps.iter_mut().zip(takes) {
            step.takes = took + self.handover;
        }
        Ok(())
    }
}
