// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe verify DIR`: checks the proof of a sealed sector again.

use std::{io::Write, path::PathBuf};

use clap::Args;
use sealpipe_protocol::{Stage, stage::verify};

use super::{
    Failure, exit,
    report::{self, Report},
    session::{self, load_config},
    show::{self, Detail},
};
use crate::pipeline::{
    steps,
    store::SectorDir,
    task::{Driver, Passing, Task, run_task, task_id},
};

/// Check the proof of a sealed sector
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sealpipe verify sector/")]
pub struct VerifyArgs {
    /// The sector's directory, as `seal --out` made it
    dir: PathBuf,

    /// Configuration with the processors
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: VerifyArgs) -> Result<u8, Failure> {
    let config = load_config(args.config.as_deref())?;
    let mut dir = SectorDir::open(&args.dir)?;
    if dir.record.results.proof.is_none() {
        return Err(Failure::new(format!("the sector in {} has no proof yet", args.dir.display()))
            .hint("run the `sealpipe seal` command that began it to go on"));
    }
    let observer = show::on_stderr(Detail::Quiet);
    let job = steps::job(&dir.record, &dir.layout, Stage::Verify);
    let sector = dir.record.sector.name();
    let valid = session::run(&config, &observer, async |fleet| {
        let id = task_id(&sector, Stage::Verify).map_err(|e| Failure::new(e.to_string()))?;
        let task = Task { sector: &sector, id, journey: None, job };
        let driver = Driver::attended(fleet, &observer);
        let mut once = Passing::<verify::Output>::new(Stage::Verify);
        run_task(&driver, &task, None, &mut once).await?;
        Ok(once.output.is_some_and(|output| output.valid))
    })?;
    dir.record.results.valid = Some(valid);
    let report = Report::new(&dir);
    let text = if args.json { report::json(&[report]) } else { report.verdict() };
    write_out(&text)?;
    Ok(if valid { exit::OK } else { exit::PROOF_INVALID })
}

/// Writes a result to stdout.
pub fn write_out(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|error| Failure::new(format!("cannot write the result: {error}")))
}
