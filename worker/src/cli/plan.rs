// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe plan`: a configuration for a machine, with reasons.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};

use super::{Failure, exit, machine::MachineArgs, simulate::inputs};
use crate::plan::{self, Candidate, Gpus, Objective, Plan, PlanError, Wishes};

/// Propose a worker.toml for a machine: who gets which cores and GPUs, and why
///
/// Ways to share the machine are simulated with the worker's own scheduler; the best one is written
/// with its reasons and the next best beside it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealpipe plan > worker.toml                      for this machine
  sealpipe plan --objective cores-left
  sealpipe plan --pc1 28 --cores-per-pc1 2 --reserve-l3-groups 2 --share-gpus no
  sealpipe plan --topology machine.xml --gpus 2x10GiB --disk 30TiB
  sealpipe plan --profile ours.toml                with durations of your own

Objectives:
  sectors-per-day   as many as can be; of plans that are as good the one with the least waiting
  latency           the shortest way of a sector, for at most a tenth of the sectors a day
  cores-left        the most cores that nobody needs, for at most a twentieth of them

`sealpipe simulate --help` tells of profiles. Memory and disk are counted by the profile.")]
pub struct PlanArgs {
    /// What matters most
    #[arg(long, value_name = "WORD", default_value = "sectors-per-day")]
    objective: Objective,

    /// So many pc1 tasks at once, over all nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pc1: Option<u32>,

    /// Cores of one pc1 task: one that labels, and those that fetch parents for it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cores_per_pc1: Option<u32>,

    /// The last L3 groups of each node, which pc1 does not get
    #[arg(long, value_name = "N")]
    reserve_l3_groups: Option<u32>,

    /// Whether pc2 and c2 take turns on each GPU (yes), or each GPU serves one of them (no); the
    /// better of both unless given
    #[arg(long, value_name = "yes|no")]
    share_gpus: Option<Gpus>,

    /// Durations from a file, TOML or JSON
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Durations of sectors that this worker has sealed: their directories, or one that holds them
    #[arg(long, value_name = "DIR", num_args = 1..)]
    measured: Vec<PathBuf>,

    #[command(flatten)]
    machine: MachineArgs,

    /// Write the configuration to a file that is not there yet
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Print one JSON object with the configuration and what speaks for it
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The machine is not known or too small, or the result cannot be written.
pub fn run(args: &PlanArgs) -> Result<u8, Failure> {
    let profile = inputs::profile(args.profile.as_deref(), &args.measured)?;
    let hardware = args.machine.hardware()?;
    let count = |n: Option<u32>| n.and_then(|n| usize::try_from(n).ok());
    let wishes = Wishes {
        objective: args.objective,
        pc1: count(args.pc1),
        cores_per_pc1: count(args.cores_per_pc1),
        reserve_l3_groups: count(args.reserve_l3_groups),
        gpus: args.share_gpus,
    };
    let plan = plan::plan(&hardware, &profile, &wishes)?;
    if let Some(path) = &args.output {
        let written =
            fs::File::create_new(path).and_then(|mut f| f.write_all(plan.text.as_bytes()));
        written
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
        eprintln!("written: {}", path.display());
        eprintln!("next: sealpipe check {}", path.display());
    }
    let text = match (args.json, &args.output) {
        (true, _) => format!("{:#}\n", json(&plan)),
        (false, Some(_)) => String::new(),
        (false, None) => plan.text,
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot write the result: {error}")))?;
    Ok(exit::OK)
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::new(error.message).hint(error.hint)
    }
}

fn json(plan: &Plan) -> Value {
    json!({
        "toml": plan.text,
        "best": candidate(&plan.best),
        "runnerUp": plan.runner_up.as_ref().map(candidate),
        "pc1ByCores": plan.bounds.by_cores,
        "pc1ByMemory": plan.bounds.by_memory,
        "sectorsByDisk": plan.bounds.sectors_by_disk,
    })
}

fn candidate(candidate: &Candidate) -> Value {
    let draft = &candidate.draft;
    json!({
        "pc1": draft.n_pc1(),
        "gpusShared": draft.gpus == Gpus::Shared,
        "sectorsInFlight": draft.in_flight,
        "cpusLeft": draft.left,
        "report": candidate.report,
    })
}
