// SPDX-License-Identifier: MIT OR Apache-2.0

//! `c1`: opens the challenged columns and paths.

use std::panic::{AssertUnwindSafe, catch_unwind};

use filecoin_proofs::{MerkleTreeTrait, SealPreCommitOutput};
use sealpipe_protocol::{
    Bytes32, Code, TaskError, durable,
    stage::{
        c1::{FileRef, Output, Params},
        files,
    },
};
use sha2::{Digest, Sha256};
use storage_proofs_core::sector::SectorId;

use super::{pc2, phase1_json};
use crate::{
    library,
    report::Reporter,
    sector_files,
    shape::{self, with_tree},
};

/// Steps of the stage, for its progress.
const STEPS: [&str; 3] = ["checking", "vanilla proofs", "writing"];

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or contradict each other, and what the disk says.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    let step = |done: usize| {
        let phase = STEPS.get(done).copied().unwrap_or_default();
        reporter.progress(phase, done as u64, STEPS.len() as u64, "steps");
    };
    step(0);
    check_inputs(params)?;
    step(1);
    let bytes = with_tree!(params.proof, prove(params))?;
    step(2);
    durable::write_bytes(&params.out_path, &bytes)?;
    Ok(Output {
        file: FileRef {
            path: params.out_path.clone(),
            size: bytes.len() as u64,
            sha256: Bytes32(Sha256::digest(&bytes).into()),
        },
    })
}

/// The library panics on roots that do not fit together, without a word about which file it was.
fn check_inputs(params: &Params) -> Result<(), TaskError> {
    let (proof, cache_dir) = (params.proof, &params.cache_dir);
    shape::check_pieces(proof, &params.pieces, params.comm_d)?;
    sector_files::open_sized("the replica", &params.sealed_path, proof.sector_bytes())?;
    sector_files::check_tree_d(proof, cache_dir, params.comm_d)?;
    let p_aux = cache_dir.join(files::P_AUX);
    let (comm_c, comm_r_last) = pc2::read_p_aux(cache_dir)?;
    let comm_r = sector_files::comm_r(&p_aux, comm_c, comm_r_last)?;
    sector_files::expect_root(&p_aux, "`commR`", params.comm_r, comm_r)?;
    let (names, bytes) = (files::tree_c(proof), sector_files::tree_c_bytes(proof));
    let root = sector_files::split_root("tree-c", cache_dir, &names, Some(bytes))?;
    sector_files::expect_root(&cache_dir.join(&names[0]), "comm_c in p_aux", comm_c, root)?;
    let names = files::tree_r_last(proof);
    let root = sector_files::split_root("tree-r-last", cache_dir, &names, None)?;
    sector_files::expect_root(
        &cache_dir.join(&names[0]),
        "comm_r_last in p_aux",
        comm_r_last,
        root,
    )?;
    let replica_id = shape::replica_id(
        proof,
        params.prover_id,
        params.sector_number,
        params.ticket,
        params.comm_d,
    );
    (1..=proof.n_layers())
        .try_for_each(|layer| sector_files::check_layer(proof, cache_dir, layer, replica_id))
}

fn prove<Tree: 'static + MerkleTreeTrait>(params: &Params) -> Result<Vec<u8>, TaskError> {
    let pieces = shape::piece_infos(&params.pieces)?;
    let pre_commit = SealPreCommitOutput { comm_r: params.comm_r.0, comm_d: params.comm_d.0 };
    let proved = catch_unwind(AssertUnwindSafe(|| {
        filecoin_proofs::seal_commit_phase1::<_, Tree>(
            &shape::porep_config(params.proof),
            &params.cache_dir,
            &params.sealed_path,
            params.prover_id.0,
            SectorId::from(params.sector_number),
            params.ticket.0,
            params.seed.0,
            pre_commit,
            &pieces,
        )
    }));
    match proved {
        Ok(Ok(output)) => phase1_json::write(params.proof, &output),
        Ok(Err(error)) => Err(library::failure(
            Code::VerificationFailed,
            format!("vanilla proofs from {}", params.cache_dir.display()),
            error.as_ref(),
        )),
        Err(panic) => Err(TaskError::new(
            Code::VerificationFailed,
            format!(
                "vanilla proofs from {}: {}",
                params.cache_dir.display(),
                library::panic_text(panic.as_ref())
            ),
        )
        .hint("a file of the sector's cache directory or the replica is damaged; seal it again")),
    }
}
