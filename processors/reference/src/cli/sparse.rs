// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sparse`: the output of c1 for a sector that does not exist.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use sealpipe_protocol::{
    Bytes32, TaskError, durable,
    stage::{c1::FileRef, c2, proof::SealProof},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::sparse;

/// What to open.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The sector size: 2KiB, 8MiB, 512MiB, 32GiB or 64GiB
    #[arg(long)]
    size: SealProof,
    /// The file to write, in the form in which c1 writes it
    #[arg(long)]
    out: PathBuf,
    /// The sector's number
    #[arg(long, default_value_t = 1)]
    number: u64,
    /// What everything is drawn from that is free; the same number gives the same file
    #[arg(long, default_value_t = 1)]
    draw: u64,
}

/// Does what the command says.
pub fn main(arguments: &Arguments) -> ExitCode {
    let written = write(arguments).map(|value| writeln!(io::stdout(), "{value}"));
    match written {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            let hint = error.data.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
            let _ = write!(io::stderr(), "error: {}\n{hint}", error.message);
            ExitCode::FAILURE
        }
    }
}

/// Writes the file; gives c2's parameters for it, and what a proof of it is verified with.
fn write(arguments: &Arguments) -> Result<serde_json::Value, TaskError> {
    let Arguments { size: proof, out, number, draw } = arguments;
    let prover_id = Bytes32([0; 32]);
    let opened = sparse::open(*proof, prover_id, *number, *draw)?;
    durable::write_bytes(out, &opened.c1)?;
    let path = out.canonicalize().unwrap_or_else(|_| Path::new(out).to_owned());
    let sha256 = Bytes32(Sha256::digest(&opened.c1).into());
    let c1 = FileRef { path, size: opened.c1.len() as u64, sha256 };
    let params = c2::Params { proof: *proof, prover_id, sector_number: *number, c1 };
    Ok(json!({
        "c2": params,
        "commD": opened.comm_d,
        "commR": opened.comm_r,
        "ticket": opened.ticket,
        "seed": opened.seed,
    }))
}
