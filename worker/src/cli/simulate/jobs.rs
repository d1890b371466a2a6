// SPDX-License-Identifier: MIT OR Apache-2.0

//! Echo jobs, as `sealpipe submit` takes them: one JSON object a line.

use std::{path::Path, time::Duration};

use sealpipe_protocol::Stage;
use serde::Deserialize;

use super::inputs;
use crate::{cli::Failure, simulate::Step};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Order {
    Echo(EchoOrder),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EchoOrder {
    #[serde(default = "one")]
    steps: u32,
    #[serde(default)]
    ticks: u64,
    #[serde(default)]
    interval_ms: u64,
}

fn one() -> u32 {
    1
}

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
    let Order::Echo(order) = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let takes = Duration::from_millis(order.ticks.saturating_mul(order.interval_ms));
    let step = Step { stage: Stage::Echo, pause: Duration::ZERO, takes };
    Ok(vec![step; order.steps as usize])
}
