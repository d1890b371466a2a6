// SPDX-License-Identifier: MIT OR Apache-2.0

//! `bench`: whole proofs as a worker asks for them, from a process that stays.
//!
//! [`sectors`] makes sectors through c1, [`worker`] asks this same program for their proofs over pipes;
//! [`synthetic`] has the prover alone, at any size.

mod sectors;
mod synthetic;
mod worker;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::Instant,
};

use clap::Args;
use sealpipe_gpu::device;
use sealpipe_params::DEFAULT_SEED;
use sealpipe_protocol::{Code, TaskError, stage::proof::SealProof};
use sealpipe_reference::stage::groth16;
use serde_json::{Value, json};

use self::{sectors::Sector, worker::Processor};
use crate::{gpu, params::kept};

/// The largest sums that are measured, in the first and the second group, as powers of two.
const MSM_SIZES: (u32, u32) = (24, 22);

/// What to measure.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many different sectors
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    count: u64,
    /// Their size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB. For the first three test parameters are made where there
    /// are none
    #[arg(long, default_value = "2KiB")]
    size: SealProof,
    /// Open sectors that do not exist, in place of sealing them: the way to measure 32GiB
    #[arg(long)]
    sparse: bool,
    /// Measure the kernels too
    #[arg(long)]
    kernels: bool,
    /// Measure the prover on a circuit of so many rows, as a power of two, that means nothing, instead of
    /// sectors; 98 of 100 variables are bits. 27 has the size of a partition of 32GiB
    #[arg(long, value_name = "LG", value_parser = clap::value_parser!(u32).range(10..=27))]
    synthetic: Option<u32>,
    /// With `--synthetic`: no variable is a bit
    #[arg(long, requires = "synthetic")]
    dense: bool,
}

/// Measures and prints a JSON object a line.
pub fn main(arguments: &Arguments, device: &str) -> ExitCode {
    match measure(arguments, device) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&json!({ "error": error.message, "hint": error.data.hint }));
            ExitCode::FAILURE
        }
    }
}

fn tell(value: &Value) {
    let _ = writeln!(io::stdout(), "{value}");
}

fn measure(arguments: &Arguments, device: &str) -> Result<(), TaskError> {
    if !arguments.size.is_test_size() && !arguments.sparse {
        let text = format!("sectors of {} are not sealed here", arguments.size.size_name());
        return Err(TaskError::new(Code::InvalidParams, text)
            .hint("measure 2KiB or 8MiB, or sectors that do not exist: --sparse"));
    }
    if arguments.kernels {
        let devices = device::all()?;
        let context = gpu::open(&devices[0])?;
        gpu::bench::run(&context, &[], &mut tell)?;
        gpu::msm::bench::bench(&context, &devices[0], MSM_SIZES)?;
    }
    if let Some(lg) = arguments.synthetic {
        let devices = device::all()?;
        return synthetic::measure(&devices[0], lg, arguments.dense, &tell);
    }
    if arguments.size.is_test_size() && !kept::is_ready(arguments.size) {
        make_parameters(arguments.size)?;
    }
    let dir = sectors::directory()?;
    let began = Instant::now();
    let make = if arguments.sparse { Sector::sparse } else { Sector::make };
    let make = |i| make(dir.path(), arguments.size, i);
    let sectors = sectors::all(arguments.count, &make)?;
    let made = if arguments.sparse { "sparse sectors" } else { "sectors through c1" };
    tell(&json!({ "bench": made, "count": sectors.len(), "ms": ms(began) }));
    let began = Instant::now();
    let mut processor = Processor::start(device)?;
    tell(&json!({ "bench": "start", "ms": ms(began), "processor": processor.offer }));
    let mut all = Vec::new();
    for (i, sector) in sectors.iter().enumerate() {
        let began = Instant::now();
        let proof = processor.prove(i, sector)?;
        let took = ms(began);
        // Without the process' own check: this one is another's.
        let valid = sector.verify(&proof)?;
        // The first takes the device into use and loads, or converts, the parameters.
        tell(&json!({
            "bench": "c2", "sector": i, "ms": took, "valid": valid, "first": i == 0,
            "phases": processor.log,
        }));
        if !valid {
            let text = format!("the proof of sector {i} does not verify");
            return Err(TaskError::new(Code::VerificationFailed, text));
        }
        if i > 0 || sectors.len() == 1 {
            all.push(took);
        }
    }
    all.sort_by(f64::total_cmp);
    tell(&json!({
        "bench": "c2, task/run to response, median", "size": arguments.size.size_name(),
        "sectors": all.len(), "ms": all[all.len() / 2], "min": all[0], "max": all[all.len() - 1],
    }));
    processor.end();
    Ok(())
}

/// Makes the parameters of a test size where there are none.
fn make_parameters(proof: SealProof) -> Result<(), TaskError> {
    let began = Instant::now();
    let made = groth16::parameters(proof)?
        .make(DEFAULT_SEED, &|_| {}, &AtomicBool::new(false))
        .map_err(|error| TaskError::new(Code::InternalError, error.to_string()))?;
    if !made.found {
        tell(&json!({ "bench": "test parameters made", "ms": ms(began) }));
    }
    Ok(())
}

fn ms(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}
