// SPDX-License-Identifier: MIT OR Apache-2.0

//! Echo jobs, as `sealpipe submit` takes them: one JSON object a line.

use std::{path::Path, time::Duration};

use sealpipe_protocol::Stage;

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
/// A line is no echo job, or there is none.
pub fn read(path: &Path) -> Result<Vec<Vec<Step>>, Failure> {
    let text = inputs::text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let jobs: Vec<Vec<Step>> = lines
        .map(|(index, line)| {
            job(line).map_err(|error| {
                Failure::new(format!("{}, line {}: {error}", path.display(), index + 1)).hint(
                    "expected such as {\"echo\":{\"steps\":3,\"ticks\":10,\"intervalMs\":100}}",
                )
            })
        })
        .collect::<Result<_, _>>()?;
    match jobs.is_empty() {
        true => Err(Failure::new(format!("{} holds no job", path.display()))),
        false => Ok(jobs),
    }
}

fn job(line: &str) -> Result<Vec<Step>, String> {
    let order: Order = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Order::Echo(_) = order else {
        return Err("sectors come by `--arrivals`, only echo jobs from a file".to_owned());
    };
    let file = |path: &Path| Ok((path.to_owned(), 0));
    let job = order.into_job(file, || "echo".to_owned()).map_err(|wrong| wrong.join("; "))?;
    let Work::Echo(EchoJob { steps, params }) = job.work else { return Ok(Vec::new()) };
    if params.fail.is_some() {
        return Err("a job that fails is not simulated".to_owned());
    }
    let takes = Duration::from_millis(params.ticks.saturating_mul(params.interval_ms));
    let step = Step { stage: Stage::Echo, pause: Duration::ZERO, takes };
    Ok(vec![step; steps as usize])
}
