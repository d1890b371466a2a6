// SPDX-License-Identifier: MIT OR Apache-2.0

//! `params`: parameters for tests, computed on a GPU.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use sealpipe_params::DEFAULT_SEED;
use sealpipe_protocol::{Code, TaskError, failure, stage::proof::SealProof};
use sealpipe_reference::stage::groth16;
use serde_json::json;

use crate::{
    circuit::Circuit,
    gpu,
    params::{
        kept::{self, Kept},
        make,
    },
};

/// How often progress is shown.
const INTERVAL: Duration = Duration::from_secs(1);

/// The variable that names the directory of parameters.
const DIRECTORY: &str = "FIL_PROOFS_PARAMETER_CACHE";

/// What to do with parameters.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make parameters for tests on the first GPU: their proofs convince nobody but you
    ///
    /// They are made in the form in which this program takes them, beside which filecoin-proofs finds the
    /// verifying key; nothing else can prove with them. For 32GiB and 64GiB FIL_PROOFS_PARAMETER_CACHE has to
    /// name a directory without the network's own.
    Make(Make),
}

/// What to make.
#[derive(Clone, Debug, Args)]
pub struct Make {
    /// The sector size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long)]
    size: SealProof,
    /// Write JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Does what the command says.
pub fn main(command: &Command) -> ExitCode {
    let Command::Make(arguments) = command;
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = error.data.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            let _ = write!(io::stderr(), "error: {}\n{hint}", error.message);
            ExitCode::FAILURE
        }
    }
}

fn run(Make { size: proof, json }: &Make) -> Result<(), TaskError> {
    let set = groth16::parameters(*proof)?;
    let name = proof.size_name();
    if !proof.is_test_size() && std::env::var_os(DIRECTORY).is_none() {
        let text = format!("parameters for {name} in the place of the network's");
        return Err(TaskError::new(Code::InvalidParams, text)
            .hint(format!("name a directory for tests in {DIRECTORY}")));
    }
    refuse_the_networks_place(*proof)?;
    let there = set.params_path();
    if there.exists() {
        let text = format!("there are parameters for {name} at {}", there.display());
        return Err(TaskError::new(Code::InvalidParams, text)
            .hint("they are taken into use as they are; to make others, remove them first"));
    }
    let dirs = [Some(kept::directory()), there.parent().map(Path::to_owned)];
    for dir in dirs.into_iter().flatten() {
        fs::create_dir_all(&dir)
            .map_err(|error| failure::output("the parameters' directory", &dir, &error))?;
    }
    let device = make::first_device()?;
    let progress = Display::new(*json);
    let kept = Kept::of(&set, false);
    let _turn = kept.take_turn(|| {
        progress.show("waiting for whoever else writes there", 0, 0);
        Ok(())
    })?;
    let began = Instant::now();
    progress.show("extracting the circuit", 0, 0);
    let circuit = Circuit::of(*proof, &kept::directory(), &AtomicBool::new(false))?;
    let extracted = began.elapsed();
    let target = kept.converted();
    let tell = |phase: &str, done, total| progress.show(phase, done, total);
    make::make(&set, target, &circuit, gpu::ORDER, &device, DEFAULT_SEED, &tell)?;
    let made = began.elapsed() - extracted;
    let shown = target.display();
    let _ = match json {
        true => writeln!(
            io::stdout(),
            "{}",
            json!({
                "size": name,
                "path": target,
                "extractedMs": extracted.as_millis() as u64,
                "madeMs": made.as_millis() as u64,
            })
        ),
        false => writeln!(io::stdout(), "made test parameters for {name} at {shown}"),
    };
    Ok(())
}

/// Refuses a directory with a key of the network's: of the same size, whose place it would take, and for a
/// size of the network's of any.
fn refuse_the_networks_place(proof: SealProof) -> Result<(), TaskError> {
    for other in SealProof::ALL {
        let set = groth16::parameters(*other)?;
        let counts = *other == proof || !proof.is_test_size();
        let found = set
            .has_network_key()
            .map_err(|error| TaskError::new(Code::InputUnavailable, error.to_string()))?;
        if counts && found {
            let path = set.verifying_key_path();
            let text = format!("the network's own key is there: {}", path.display());
            return Err(TaskError::new(Code::InvalidParams, text)
                .hint(format!("name a directory for tests in {DIRECTORY}")));
        }
    }
    Ok(())
}

/// Shows progress now and then.
struct Display {
    json: bool,
    last: Mutex<Option<(String, Instant)>>,
}

impl Display {
    fn new(json: bool) -> Self {
        Self { json, last: Mutex::new(None) }
    }

    fn show(&self, phase: &str, done: u64, total: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |(shown, at): &(String, Instant)| shown != phase || at.elapsed() >= INTERVAL;
        if !last.as_ref().is_none_or(is_due) {
            return;
        }
        *last = Some((phase.to_owned(), Instant::now()));
        let _ = match (self.json, total) {
            (true, _) => {
                let line = json!({ "phase": phase, "done": done, "total": total });
                writeln!(io::stdout(), "{line}")
            }
            (false, 0) => writeln!(io::stderr(), "{phase} …"),
            (false, _) => writeln!(io::stderr(), "{phase} {} %", 100 * done / total),
        };
    }
}
