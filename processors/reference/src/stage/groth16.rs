// SPDX-License-Identifier: MIT OR Apache-2.0

//! What c2 and verify need before they can begin: the Groth16 parameters.

use std::{fs::File, io::BufReader};

use bellperson::groth16::VerifyingKey;
use blstrs::Bls12;
use sealpipe_params::{ParameterSet, Status};
use sealpipe_protocol::{Code, TaskError, stage::proof::SealProof};
use storage_proofs_core::parameter_cache::parameter_cache_dir;

use crate::{library, shape};

/// Bytes of a Groth16 proof, compressed, of one partition.
pub const PROOF_BYTES: usize = 192;

/// Checks that the parameters are there and whole; says whether they are the network's.
///
/// # Errors
/// [`Code::ParametersMissing`], with what to do about it.
pub fn check_parameters(proof: SealProof) -> Result<bool, TaskError> {
    let set = parameters(proof)?;
    match set.status() {
        Ok(Status::Present { network, .. }) => Ok(network),
        Ok(Status::Missing) => Err(missing(proof, &set)),
        Ok(Status::Damaged { path, reason }) => Err(TaskError::new(
            Code::ParametersMissing,
            format!("{} is corrupt: {reason}", path.display()),
        )
        .hint(format!("remove that file, then: {}", how_to_get(proof)))),
        Err(error) => Err(library::failure(Code::InputUnavailable, "the parameters", &error)),
    }
}

/// Checks that there is something to verify with: the key, or the parameters that it is taken from.
///
/// # Errors
/// [`Code::ParametersMissing`], with what to do about it.
pub(super) fn check_verifying_key(proof: SealProof) -> Result<(), TaskError> {
    let set = parameters(proof)?;
    if set.verifying_key_path().is_file() {
        return Ok(());
    }
    check_parameters(proof).map(drop)
}

/// Whether the verifying key is there and can be read: what is left to fail in a verification then
/// is the proof, or what it is about.
pub(super) fn verifying_key_is_good(proof: SealProof) -> bool {
    let Ok(set) = parameters(proof) else { return false };
    File::open(set.verifying_key_path())
        .and_then(|file| VerifyingKey::<Bls12>::read(BufReader::new(file)))
        .is_ok()
}

/// Partitions of a proof: how many Groth16 proofs it is made of.
pub fn n_partitions(proof: SealProof) -> usize {
    usize::from(shape::porep_config(proof).partitions)
}

/// The files of a proof's parameters, where filecoin-proofs looks for them.
///
/// # Errors
/// A defect: every proof has a name for them.
pub fn parameters(proof: SealProof) -> Result<ParameterSet, TaskError> {
    ParameterSet::new(proof.sector_bytes(), &parameter_cache_dir())
        .map_err(|error| library::failure(Code::InternalError, "the parameters' name", &error))
}

fn missing(proof: SealProof, set: &ParameterSet) -> TaskError {
    let (size, path) = (proof.size_name(), set.params_path());
    TaskError::new(
        Code::ParametersMissing,
        format!("no Groth16 parameters for {size} sectors at {}", path.display()),
    )
    .hint(how_to_get(proof))
}

fn how_to_get(proof: SealProof) -> String {
    let size = proof.size_name();
    match proof.is_test_size() {
        true => {
            format!("`sealpipe-reference params make --size {size}` makes them, for tests only")
        }
        false => format!(
            "`curio fetch-params {size}` or `lotus fetch-params {size}` fetches the network's own \
             into the directory that FIL_PROOFS_PARAMETER_CACHE names"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use storage_proofs_core::parameter_cache::PARAMETERS;

    /// The worker links no proofs library; its list is held against the library's here.
    #[test]
    fn the_workers_list_of_the_networks_files_is_that_of_filecoin_proofs() {
        let listed = include_str!("../../../../worker/src/parameters/network.json");
        let listed: Value = serde_json::from_str(listed).unwrap();
        let of_sealing =
            PARAMETERS.iter().filter(|(name, _)| name.contains("-proof-of-replication-"));
        let known: Value = of_sealing
            .map(|(name, file)| {
                let entry = json!({ "digest": file.digest, "sector_size": file.sector_size });
                (name.as_str(), entry)
            })
            .collect();
        assert_eq!(listed, known);
    }
}
