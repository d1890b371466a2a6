// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe simulate FILE`: a configuration in virtual time.

pub(super) mod inputs;
mod jobs;
mod text;

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};

use self::inputs::Arrivals;
use super::{Failure, exit};
use crate::simulate::{self, Decider, Experiment, Jitter, Profile, Report, Supply, Trace};

/// Longest time that is simulated.
const MAX_DAYS: f64 = 3_660.0;

/// Simulate a configuration: what it seals in a month, who waits, and for what
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealpipe simulate worker.toml                                    a month of committed capacity
  sealpipe simulate a.toml b.toml --policy sealpipe,damocles       side by side
  sealpipe simulate worker.toml --set processors.limitation.concurrent.pc2=3
  sealpipe simulate worker.toml --arrivals 60/day --jitter 10%
  sealpipe simulate worker.toml --measured sectors/                durations of sectors sealed here
  sealpipe simulate worker.toml --html run.html                    a chart to look at in a browser

Policies:
  sealpipe         the worker's own scheduler, as the file sets it
  fifo             the same, oldest task first
  damocles         damocles-worker: who just comes and who waits for a lock have the same chance
  damocles-worst   the same, who just comes always passes who waits
  damocles-best    the same, who just comes never passes who waits on the same entry

A profile is a file such as:
  name = \"32GiB on our machine\"
  wait_seed = \"75min\"
  [stages.pc2]
  takes = \"11min 30s\"
  concurrent = 1       # tasks at once for an entry without `concurrent`
  [entries]
  \"pc2[1]\" = \"20min\"   # one that is slower

What a profile does not name is as in the built-in one: 32GiB sectors, filecoin-proofs on an
EPYC 7642 with RTX 3080.")]
pub struct SimulateArgs {
    /// The configurations
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Days to simulate
    #[arg(long, default_value_t = 30.0, value_parser = days)]
    days: f64,

    /// Who decides; several are compared
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "sealpipe")]
    policy: Vec<Decider>,

    /// A changed value of the configuration, such as processors.limitation.concurrent.pc2=3; may be
    /// repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Durations from a file, TOML or JSON
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,

    /// Durations of sectors that this worker has sealed: their directories, or one that holds them
    #[arg(long, value_name = "DIR", num_args = 1..)]
    measured: Vec<PathBuf>,

    /// How many sectors come: `unlimited`, or such as 200/day or 8/hour
    #[arg(long, value_name = "RATE", default_value = "unlimited")]
    arrivals: Arrivals,

    /// Echo jobs instead of sectors, one JSON object a line as `sealpipe submit` takes them
    #[arg(long, value_name = "FILE", conflicts_with = "arrivals")]
    jobs: Option<PathBuf>,

    /// With --jobs: each run takes as long as a daemon's journal tells (daemon.jsonl)
    #[arg(long, value_name = "FILE", requires = "jobs")]
    journal: Option<PathBuf>,

    /// Durations vary up to so much, evenly
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = percent)]
    jitter: f64,

    /// The seed of all that is random
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Write a page with a chart, for a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write every task, one JSON object a line, in the order in which they started
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn days(text: &str) -> Result<f64, String> {
    let days: f64 = text.parse().map_err(|_| "expected a number of days".to_owned())?;
    let expected = format!("expected more than 0 and at most {MAX_DAYS} days");
    if days > 0.0 && days <= MAX_DAYS { Ok(days) } else { Err(expected) }
}

fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    match number {
        Some(percent) if (0.0..100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("expected such as 10%, below 100%".to_owned()),
    }
}

/// One simulated configuration under one policy.
pub struct Run {
    /// The configuration.
    pub name: String,
    /// Who decided.
    pub decider: Decider,
    /// The experiment.
    pub experiment: Experiment,
    /// What happened.
    pub trace: Trace,
    /// What it means.
    pub report: Report,
}

/// Runs the command.
///
/// # Errors
/// What cannot be read, simulated or written.
pub fn run(args: &SimulateArgs) -> Result<u8, Failure> {
    let profile = inputs::profile(args.profile.as_deref(), &args.measured)?;
    let journal = args.journal.as_deref();
    let jobs = args.jobs.as_deref().map(|path| jobs::read(path, journal)).transpose()?;
    let mut runs = Vec::new();
    for file in &args.files {
        let experiment = experiment(args, file, &profile, jobs.as_deref())?;
        for decider in &args.policy {
            let (trace, report) = decider.run(&experiment).map_err(|error| {
                let hint = "bound `limitation.concurrent` or `scheduling.sectors_in_flight`";
                Failure::new(format!("{}: {error}", file.display())).hint(hint)
            })?;
            let (name, experiment) = (file.display().to_string(), experiment.clone());
            runs.push(Run { name, decider: *decider, experiment, trace, report });
        }
    }
    if let Some(path) = &args.html {
        let text = simulate::page(&title(args), &page_runs(&runs));
        fs::write(path, text).map_err(|error| cannot_write(path, &error))?;
    }
    if let Some(path) = &args.trace {
        write_trace(path, &runs).map_err(|error| cannot_write(path, &error))?;
    }
    let text = if args.json {
        format!("{:#}\n", json(args, &profile, &runs))
    } else {
        text::text(&profile, &runs)
    };
    io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot write the result: {error}")))?;
    Ok(exit::OK)
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {}: {error}", path.display()))
}

fn experiment(
    args: &SimulateArgs,
    file: &Path,
    profile: &Profile,
    jobs: Option<&[Vec<simulate::Step>]>,
) -> Result<Experiment, Failure> {
    let configured = inputs::configuration(file, &args.set, profile)?;
    let supply = match (jobs, args.arrivals) {
        (Some(jobs), _) => Supply::Jobs(jobs.to_vec()),
        (None, Arrivals::Unlimited) => Supply::Unlimited,
        (None, Arrivals::Every(interval)) => Supply::Every(interval),
    };
    Ok(Experiment {
        site: simulate::Site::new(&configured.processors, profile),
        written: configured.written,
        supply,
        way: simulate::sector(profile, &configured.ready),
        jitter: Jitter { part: args.jitter, seed: args.seed },
        until: Duration::from_secs_f64(args.days * 24.0 * 3_600.0),
        max_tasks: simulate::MAX_TASKS,
    })
}

fn title(args: &SimulateArgs) -> String {
    let files: Vec<_> = args.files.iter().map(|file| file.display().to_string()).collect();
    files.join(", ")
}

fn page_runs<'a>(runs: &'a [Run]) -> Vec<simulate::PageRun<'a>> {
    let page_run = |run: &'a Run| simulate::PageRun {
        name: format!("{}, {}", run.name, run.decider),
        experiment: &run.experiment,
        trace: &run.trace,
        report: &run.report,
    };
    runs.iter().map(page_run).collect()
}

fn json(args: &SimulateArgs, profile: &Profile, runs: &[Run]) -> Value {
    let one = |run: &Run| {
        json!({
            "file": run.name,
            "policy": run.decider.name(),
            "report": run.report,
        })
    };
    json!({
        "profile": profile.name,
        "days": args.days,
        "seed": args.seed,
        "jitter": args.jitter,
        "set": args.set,
        "runs": runs.iter().map(one).collect::<Vec<_>>(),
    })
}

fn write_trace(path: &Path, runs: &[Run]) -> io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for run in runs {
        for task in run.trace.grants.iter().map(|task| &run.trace.tasks[*task]) {
            let started = task.started;
            let line = json!({
                "file": run.name,
                "policy": run.decider.name(),
                "sector": task.sector,
                "step": task.step,
                "stage": task.stage,
                "processor": started.map(|(place, _)| &run.experiment.site.places[place].name),
                "requestedS": task.requested.as_secs_f64(),
                "startedS": started.map(|(_, at)| at.as_secs_f64()),
                "endedS": task.ended.map(|at| at.as_secs_f64()),
            });
            writeln!(file, "{line}")?;
        }
    }
    file.flush()
}
