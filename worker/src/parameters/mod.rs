// SPDX-License-Identifier: MIT OR Apache-2.0

//! The network's Groth16 parameters of sealing: which files there are, and whether those found are right.
//!
//! `network.json` is what filecoin-proofs 19.1.0 has in its `parameters.json` of
//! `stacked-proof-of-replication`, without the addresses: a digest is the first 16 bytes of the file's
//! BLAKE2b-512, in hex.

mod examine;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sealpipe_protocol::stage::proof::SealProof;
use serde::{Deserialize, Serialize};

pub use self::examine::examine;

/// The variable by which filecoin-proofs is told where they are.
pub const PARAMETER_CACHE: &str = "FIL_PROOFS_PARAMETER_CACHE";

/// Where filecoin-proofs looks otherwise (storage-proofs-core, `settings.rs`).
pub const DEFAULT_CACHE: &str = "/var/tmp/filecoin-proof-parameters";

const NETWORK: &str = include_str!("network.json");

#[derive(Deserialize)]
struct Entry {
    digest: String,
    sector_size: u64,
}

/// A file that the network has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its digest, in hex.
    pub digest: String,
}

/// What is found in the place of one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum State {
    /// Its digest is the network's.
    Right,
    /// It has another digest.
    Wrong {
        /// That digest, in hex.
        found: String,
    },
    /// There is none.
    Missing,
    /// It cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// A file of the network, looked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The sector size that it is for.
    pub size: &'static str,
    /// Where it was looked for.
    pub path: PathBuf,
    /// Its length in bytes, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The network's digest.
    pub digest: String,
    /// What was found.
    #[serde(flatten)]
    pub state: State,
    /// Whether the digest was taken before, and the file has not changed since.
    pub cached: bool,
}

/// The files of a sector size: the verifying key, then the parameters.
pub fn files(proof: SealProof) -> Vec<Known> {
    let all: BTreeMap<String, Entry> = serde_json::from_str(NETWORK).unwrap_or_default();
    let of_size = all.into_iter().filter(|(_, entry)| entry.sector_size == proof.sector_bytes());
    let mut files: Vec<_> =
        of_size.map(|(name, entry)| Known { name, digest: entry.digest }).collect();
    files.sort_by_key(|file| !file.name.ends_with(".vk"));
    files
}

/// The directory of the parameters, as filecoin-proofs would take it from the environment.
pub fn directory(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    PathBuf::from(variable(PARAMETER_CACHE).unwrap_or_else(|| DEFAULT_CACHE.to_owned()))
}

/// What stands beside a file whose digest was taken.
fn marker(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".digest");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_key_and_parameters() {
        for proof in SealProof::ALL {
            let files = files(*proof);
            let endings: Vec<_> =
                files.iter().filter_map(|file| file.name.rsplit('.').next()).collect();
            assert_eq!(endings, ["vk", "params"], "{proof}");
            assert!(files.iter().all(|file| file.digest.len() == 32), "{files:?}");
            let stem = |i: usize| files[i].name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
            assert_eq!(stem(0), stem(1));
        }
    }

    #[test]
    fn the_directory_is_filecoin_proofs() {
        assert_eq!(directory(|_| None), Path::new(DEFAULT_CACHE));
        let named = |name: &str| (name == PARAMETER_CACHE).then(|| "/p".to_owned());
        assert_eq!(directory(named), Path::new("/p"));
    }
}
