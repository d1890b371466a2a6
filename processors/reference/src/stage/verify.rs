// SPDX-License-Identifier: MIT OR Apache-2.0

//! `verify`: checks a proof as the chain does.

use filecoin_proofs::MerkleTreeTrait;
use sealpipe_protocol::{
    Code, TaskError,
    method::LogLevel,
    stage::verify::{Output, Params},
};
use storage_proofs_core::sector::SectorId;

use super::groth16;
use crate::{
    library,
    report::Reporter,
    shape::{self, with_tree},
};

/// Runs the stage.
///
/// # Errors
/// A verifying key that is missing or cannot be read.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    reporter.progress("verify", 0, 1, "proofs");
    let valid = with_tree!(params.proof, verify(params, reporter))?;
    Ok(Output { valid })
}

fn verify<Tree: 'static + MerkleTreeTrait>(
    params: &Params,
    reporter: &Reporter,
) -> Result<bool, TaskError> {
    let bytes = &params.proof_bytes.0;
    if bytes.len() != groth16::n_partitions(params.proof) * groth16::PROOF_BYTES {
        reporter.log(LogLevel::Info, format!("no proof of this kind has {} bytes", bytes.len()));
        return Ok(false);
    }
    let config = shape::porep_config(params.proof);
    groth16::check_verifying_key(params.proof)?;
    let verified = filecoin_proofs::verify_seal::<Tree>(
        &config,
        params.comm_r.0,
        params.comm_d.0,
        params.prover_id.0,
        SectorId::from(params.sector_number),
        params.ticket.0,
        params.seed.0,
        bytes,
    );
    verified.or_else(|error| {
        if !groth16::verifying_key_is_good(params.proof) {
            let what = "the verifying key";
            return Err(library::failure(Code::InternalError, what, error.as_ref()));
        }
        reporter.log(LogLevel::Info, format!("the proof is malformed: {error}"));
        Ok(false)
    })
}
