// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bench`: whole proofs in one process, as a worker would ask for them.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use sealpipe_gpu::device;
use sealpipe_protocol::{
    Bytes32, Code, TaskError, failure,
    stage::{c1::FileRef, c2::Params, proof::SealProof},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{resident::Resident, stage, watch::Watch};

/// What to measure.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Outputs of c1 of one sector size, in files named `<anything>-<sector number>.json`
    #[arg(required = true)]
    c1: Vec<PathBuf>,
    /// The miner's address payload, in hex, zero padded to 32 bytes
    #[arg(long, default_value = "0909090909090909090909090909090909090909090909090909090909090909")]
    prover_id: Bytes32,
    /// The size of the sectors: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long, default_value = "2KiB")]
    size: SealProof,
}

/// Measures and prints.
pub fn main(arguments: &Arguments) -> ExitCode {
    match measure(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&json!({ "error": error.message, "hint": error.data.hint }));
            ExitCode::FAILURE
        }
    }
}

fn tell(value: &serde_json::Value) {
    let _ = writeln!(io::stdout(), "{value}");
}

fn measure(arguments: &Arguments) -> Result<(), TaskError> {
    let devices = device::all()?;
    let watch = Watch::nobody();
    let began = Instant::now();
    let mut resident = Resident::load(arguments.size, &devices[..1], &watch)?;
    tell(&json!({ "bench": "load", "ms": ms(began), "device": devices[0].name }));
    let mut all = Vec::new();
    for path in &arguments.c1 {
        let params = params(arguments, path)?;
        let began = Instant::now();
        // Each is verified before it is given out.
        stage::run(&params, &mut resident, &watch)?;
        let took = ms(began);
        tell(&json!({ "bench": "c2", "sector": params.sector_number, "ms": took }));
        all.push(took);
    }
    all.sort_by(f64::total_cmp);
    let median = all[all.len() / 2];
    tell(&json!({
        "bench": "c2 median", "size": arguments.size.size_name(), "sectors": all.len(),
        "ms": median, "min": all[0], "max": all[all.len() - 1],
    }));
    Ok(())
}

fn ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// The task of a sector whose number is in the file's name.
fn params(arguments: &Arguments, path: &Path) -> Result<Params, TaskError> {
    let content =
        fs::read(path).map_err(|error| failure::input("the output of c1", path, &error))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let number = name.rsplit('-').next().and_then(|number| number.parse().ok());
    let sector_number = number.ok_or_else(|| {
        let text = format!("{} does not end in a sector's number", path.display());
        TaskError::new(Code::InvalidParams, text)
    })?;
    let sha256 = Bytes32(Sha256::digest(&content).into());
    let c1 = FileRef { path: path.to_owned(), sha256, size: content.len() as u64 };
    Ok(Params { proof: arguments.size, prover_id: arguments.prover_id, sector_number, c1 })
}
