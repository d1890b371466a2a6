// SPDX-License-Identifier: MIT OR Apache-2.0

//! `c2`: proves the output of c1 in zero knowledge. The library checks its own proof at the end.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use filecoin_proofs::{MerkleTreeTrait, SealCommitPhase1Output};
use sealpipe_protocol::{
    Base64, Bytes32, Code, TaskError, failure,
    stage::c2::{Output, Params},
};
use sha2::{Digest, Sha256};
use storage_proofs_core::sector::SectorId;

use super::{groth16, phase1_json, vanilla};
use crate::{
    library,
    report::{Reporter, ticking},
    sector_files,
    shape::{self, with_tree},
    tap,
};

/// Largest output of c1 that is read, in bytes: a 64 GiB sector's has about 60 MiB.
const MAX_C1_BYTES: u64 = 1 << 30;

/// How often the phase is looked at.
const TICK: Duration = Duration::from_millis(500);

/// The phases: how each begins in the library's log, and its name.
const PHASES: [(&str, &str); 9] = [
    ("", "reading"),
    ("seal_commit_phase2:start", "loading parameters"),
    ("Bellperson ", "synthesis"),
    ("starting proof timer", "fft"),
    ("multiexp h", "multiexp h"),
    ("multiexp l", "multiexp l"),
    ("multiexp a b_g1", "multiexp a b_g1"),
    ("multiexp b_g2", "multiexp b_g2"),
    ("verify_seal:start", VERIFICATION),
];

/// The phase in which the library checks its own proof.
const VERIFICATION: &str = "verification";

/// Runs the stage.
///
/// # Errors
/// Inputs that are missing or wrong, parameters that are missing, a proof that does not verify.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    let network = groth16::check_parameters(params.proof)?;
    let proof = with_tree!(params.proof, prove(params, reporter))?;
    Ok(Output { proof: Base64(proof), network_parameters: Some(network) })
}

fn prove<Tree: 'static + MerkleTreeTrait>(
    params: &Params,
    reporter: &Reporter,
) -> Result<Vec<u8>, TaskError> {
    let config = shape::porep_config(params.proof);
    let phase1 = read_phase1::<Tree>(params)?;
    vanilla::check(params, &phase1)?;
    let (proved, phase) = following(reporter, || {
        filecoin_proofs::seal_commit_phase2::<Tree>(
            &config,
            phase1,
            params.prover_id.0,
            SectorId::from(params.sector_number),
        )
    });
    proved.map(|output| output.proof).map_err(|error| {
        let code = match phase {
            VERIFICATION => Code::VerificationFailed,
            _ => Code::InternalError,
        };
        library::failure(code, "proving", error.as_ref())
    })
}

/// Reads the output of c1 that the parameters name.
///
/// # Errors
/// A file that is missing, is not the one that c1 wrote, or is of another proof.
pub fn read_phase1<Tree: MerkleTreeTrait>(
    params: &Params,
) -> Result<SealCommitPhase1Output<Tree>, TaskError> {
    let phase1 = phase1_json::read::<Tree>(params.proof, &read_c1(params)?)?;
    let partitions = groth16::n_partitions(params.proof);
    let found = phase1.vanilla_proofs.len();
    if found == partitions {
        return Ok(phase1);
    }
    let message = format!("the output of c1 has {found} partitions, expected {partitions}");
    Err(TaskError::new(Code::InvalidInput, message))
}

fn read_c1(params: &Params) -> Result<Vec<u8>, TaskError> {
    let (path, size) = (&params.c1.path, params.c1.size);
    if size > MAX_C1_BYTES {
        return Err(TaskError::new(
            Code::InvalidInput,
            format!("`c1.size` is {size} bytes, at most {MAX_C1_BYTES} are read"),
        ));
    }
    sector_files::open_sized("the output of c1", path, size)?;
    let bytes = fs::read(path).map_err(|error| failure::input("the output of c1", path, &error))?;
    let sha256 = Bytes32(Sha256::digest(&bytes).into());
    if sha256 == params.c1.sha256 {
        return Ok(bytes);
    }
    Err(TaskError::new(
        Code::InvalidInput,
        format!("{} has the SHA-256 {sha256}, `c1.sha256` is {}", path.display(), params.c1.sha256),
    )
    .hint("the file was changed after c1 wrote it; run c1 again"))
}

/// Does the library's work while its phases are read from its log; gives the last of them too.
fn following<T>(reporter: &Reporter, work: impl FnOnce() -> T) -> (T, &'static str) {
    let phase = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&phase);
    let _listening = tap::listen(move |_, line| {
        heard.fetch_max(next_phase(heard.load(Ordering::Relaxed), line), Ordering::Relaxed);
    });
    let name = |current: usize| PHASES.get(current).map_or("", |(_, name)| name);
    let tick = || {
        let current = phase.load(Ordering::Relaxed);
        reporter.progress(name(current), current as u64, PHASES.len() as u64, "phases");
    };
    let value = ticking(TICK, tick, work);
    (value, name(phase.load(Ordering::Relaxed)))
}

/// The phase after a line of the log.
fn next_phase(current: usize, line: &str) -> usize {
    let later = PHASES.iter().skip(current + 1).position(|(start, _)| line.starts_with(start));
    later.map_or(current, |steps| current + 1 + steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_the_log() {
        let mut phase = 0;
        for (line, expected) in [
            ("seal_commit_phase2:start: SectorId(1)", "loading parameters"),
            ("Bellperson 0.27.0 is being used!", "synthesis"),
            ("synthesis time: 2s", "synthesis"),
            ("starting proof timer", "fft"),
            ("get h", "fft"),
            ("multiexp h", "multiexp h"),
            ("multiexp l", "multiexp l"),
            ("multiexp a b_g1", "multiexp a b_g1"),
            ("multiexp b_g2", "multiexp b_g2"),
            ("prover time: 9s", "multiexp b_g2"),
            ("verify_seal:start: SectorId(1)", "verification"),
            ("multiexp h", "verification"),
        ] {
            phase = next_phase(phase, line);
            assert_eq!(PHASES[phase].1, expected, "{line}");
        }
    }
}
