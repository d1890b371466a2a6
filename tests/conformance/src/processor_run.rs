// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe-conformance run`: the checks of a processor.

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use sealpipe_conformance::{
    check::{Failure, Pace},
    stage::setting::Setting,
    suite::{self, Plan},
};
use sealpipe_protocol::stage::proof::SealProof;

use crate::{EXAMPLES, Options};

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// The stage to test; `echo` tests the protocol alone
    #[arg(long, default_value = "echo")]
    stage: String,
    /// Size of the sectors that the stage's own checks have: 2KiB or 8MiB
    #[arg(long, value_name = "SIZE", default_value = "2KiB", value_parser = size)]
    size: SealProof,
    /// The reference processor, which answers random tasks [default: `sealpipe-reference` beside
    /// this program or on the PATH]
    #[arg(long, value_name = "PROGRAM")]
    reference: Option<PathBuf>,
    /// Repeat the random sectors of a run, which prints its seed
    #[arg(long, value_name = "HEX", value_parser = seed)]
    seed: Option<u64>,
    /// Run also the checks that wait for more than a minute
    #[arg(long)]
    patient: bool,
    /// How long `initialize` may take, in milliseconds, as the worker's `stable_wait`
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    stable_wait_ms: u64,
    #[command(flatten)]
    options: Options,
    /// The processor: its program and arguments
    #[arg(last = true, required_unless_present = "list")]
    processor: Vec<OsString>,
}

fn size(text: &str) -> Result<SealProof, String> {
    let proof: SealProof = text.parse()?;
    let small = [SealProof::StackedDrg2KiBV1_1, SealProof::StackedDrg8MiBV1_1];
    small.contains(&proof).then_some(proof).ok_or_else(|| "there are 2KiB and 8MiB".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|e| format!("up to 16 hex digits: {e}"))
}

impl Run {
    /// Runs or lists the checks; the exit code.
    ///
    /// # Errors
    /// A command line that makes no sense, and faults of the harness.
    pub fn start(self) -> Result<u8, Failure> {
        let wait = Duration::from_millis(self.stable_wait_ms);
        let mut limits = self.options.limits()?;
        limits.stable_wait = wait;
        let all = suite::checks(&self.stage);
        let of_what = format!("`{}`", self.stage);
        let wanted = |pace| self.patient || pace != Pace::Patient;
        let checks = self.options.choose(all, &of_what, |check| wanted(check.pace))?;
        if self.options.list {
            return self.options.show(&checks);
        }
        let setting = self.setting()?;
        let Self { stage, options, processor: command, .. } = self;
        let jobs = options.jobs;
        options.carry_out(&Plan {
            command,
            stage,
            setting,
            limits,
            jobs,
            checks,
            ..Plan::default()
        })
    }

    /// What is chosen for the stage's own checks.
    fn setting(&self) -> Result<Setting, Failure> {
        let mut setting = Setting { size: self.size, ..Setting::default() };
        setting.seed = self.seed.unwrap_or(setting.seed);
        if let Some(program) = &self.reference {
            if !program.is_file() {
                let text = format!("`--reference`: there is no {}", program.display());
                return Err(Failure::Broken(text));
            }
            setting.reference = Some(program.clone());
        }
        if self.stage != "echo" {
            // With stderr gone there is nobody to tell.
            let _ = writeln!(io::stderr(), "seed: {:016x}", setting.seed);
        }
        Ok(setting)
    }
}
