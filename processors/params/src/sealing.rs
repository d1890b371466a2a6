// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parameters of the sealing circuit in filecoin-proofs' parameter cache.
//!
//! A set is three files, `v28-stacked-proof-of-replication-…-<digest>.{params,vk,meta}`, which
//! filecoin-proofs looks for in `FIL_PROOFS_PARAMETER_CACHE` (`/var/tmp/filecoin-proof-parameters`
//! when unset). The names depend on the sector size, layers and challenges, and not on the porep
//! id, so that one set serves every proof version of a size. The key and the metadata become
//! visible before the parameters: whoever finds the parameters finds the rest, and a set without
//! parameters is made anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bellperson::Circuit;
use blake2b_simd::blake2b;
use blstrs::Scalar;
use filecoin_proofs::parameters::public_params;
use filecoin_proofs::types::PoRepConfig;
use filecoin_proofs::{DefaultPieceHasher, SUPPORTED_SECTOR_SIZES, with_shape};
use rand_core::SeedableRng;
use rand_xorshift::XorShiftRng;
use storage_proofs_core::api_version::ApiVersion;
use storage_proofs_core::compound_proof::CompoundProof;
use storage_proofs_core::merkle::MerkleTreeTrait;
use storage_proofs_core::parameter_cache::{
    CacheableParameters, get_parameter_data, get_verifying_key_data, metadata_id,
    parameter_cache_dir, parameter_id, verifying_key_id,
};
use storage_proofs_porep::stacked::{PublicParams, StackedCircuit, StackedCompound};

use crate::error::{Error, Kind, size_name};
use crate::file::{read_if_there, write_small};
use crate::format::{Layout, verifying_key};
use crate::make::{Made, make_and};
use crate::progress::{Progress, Watch};

/// The seed of rust-fil-proofs' own tests, 16 bytes for `XorShiftRng`. Sets made with it are the
/// same on every machine.
pub const DEFAULT_SEED: [u8; 16] = filecoin_proofs::TEST_SEED;

/// From this size on the network's parameters exist and test parameters would take days.
const MIN_NETWORK_BYTES: u64 = 32 << 30;

/// What is known of a sector size's parameters without reading all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is no parameter file.
    Missing,
    /// There is one, as long as its counts say, and its key is the key beside it, if any.
    Present {
        /// Whether the key is the network's: its BLAKE2b digest is the one in filecoin-proofs'
        /// `parameters.json`. A proof made with other parameters convinces nobody but us.
        network: bool,
        /// The parameter file's counts.
        layout: Layout,
    },
    /// There is a file that cannot be right.
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why, in a line.
        reason: String,
    },
}

/// The parameter set of one sector size: where it is, whether it is there, and how to make it.
#[derive(Clone, Debug)]
pub struct ParameterSet {
    sector_bytes: u64,
    cache_id: String,
    directory: PathBuf,
}

/// Makes the test parameters of `sector_bytes` in the parameter cache; see [`ParameterSet::make`].
///
/// # Errors
/// Those of [`ParameterSet::new`] and [`ParameterSet::make`].
pub fn make_for_sector(
    sector_bytes: u64,
    seed: [u8; 16],
    progress: &(dyn Fn(Progress) + Sync),
    cancel: &AtomicBool,
) -> Result<Made, Error> {
    ParameterSet::new(sector_bytes, &parameter_cache_dir())?.make(seed, progress, cancel)
}

/// Looks for the parameters of `sector_bytes` in the parameter cache; see [`ParameterSet::status`].
///
/// # Errors
/// Those of [`ParameterSet::new`] and [`ParameterSet::status`].
pub fn status_for_sector(sector_bytes: u64) -> Result<Status, Error> {
    ParameterSet::new(sector_bytes, &parameter_cache_dir())?.status()
}

impl ParameterSet {
    /// The set of `sector_bytes` in `directory`, which need not exist. Touches no file.
    ///
    /// # Errors
    /// A size that filecoin-proofs does not know.
    pub fn new(sector_bytes: u64, directory: &Path) -> Result<Self, Error> {
        if !SUPPORTED_SECTOR_SIZES.contains(&sector_bytes) {
            let allowed = SUPPORTED_SECTOR_SIZES.map(size_name).join(", ");
            return Err(Kind::UnknownSize { n_bytes: sector_bytes, allowed }.into());
        }
        let cache_id = with_shape!(sector_bytes, cache_id, sector_bytes)?;
        Ok(ParameterSet { sector_bytes, cache_id, directory: directory.to_owned() })
    }

    /// The name that filecoin-proofs' parameter cache gives to what belongs to the circuit of the size.
    pub fn cache_id(&self) -> &str {
        &self.cache_id
    }

    /// The parameters, which the prover maps into memory.
    pub fn params_path(&self) -> PathBuf {
        self.directory.join(parameter_id(&self.cache_id))
    }

    /// The verifying key, which is also the parameter file's head.
    pub fn verifying_key_path(&self) -> PathBuf {
        self.directory.join(verifying_key_id(&self.cache_id))
    }

    /// A line of JSON with the sector size.
    pub fn metadata_path(&self) -> PathBuf {
        self.directory.join(metadata_id(&self.cache_id))
    }

    /// Looks at the files' lengths and at the key; points are not checked.
    ///
    /// # Errors
    /// [`Error::is_io`] where a file is there and cannot be read.
    pub fn status(&self) -> Result<Status, Error> {
        let params = self.params_path();
        if !params.try_exists().map_err(Error::io("look for", &params))? {
            return Ok(Status::Missing);
        }
        let layout = match Layout::read(&params) {
            Ok(layout) => layout,
            Err(error) if error.is_damaged() => {
                return Ok(Status::Damaged { path: params, reason: error.to_string() });
            }
            Err(error) => return Err(error),
        };
        let key = verifying_key(&params)?;
        let path = self.verifying_key_path();
        match read_if_there(&path)? {
            Some(found) if found != key => {
                let reason = format!("it is not the key of {}", params.display());
                Ok(Status::Damaged { path, reason })
            }
            _ => Ok(Status::Present { network: self.is_network_key(&key), layout }),
        }
    }

    /// The digest of the network's parameter file, as filecoin-proofs' `parameters.json` has it: the first 16
    /// bytes of its BLAKE2b-512. Nothing for sizes that it does not list.
    pub fn network_digest(&self) -> Option<[u8; 16]> {
        let known = get_parameter_data(&self.cache_id)?;
        let byte = |i: usize| u8::from_str_radix(known.digest.get(2 * i..2 * i + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..16).map(byte).collect();
        bytes?.try_into().ok()
    }

    /// Makes the set with a trapdoor drawn from `XorShiftRng` with `seed`, as filecoin-proofs'
    /// own tests do, unless it is there; files missing beside complete parameters are added.
    ///
    /// For 2KiB that is 1.1 GB in the file; README.md has times and memory. Waiting, cancelling
    /// and crashing are as in [`crate::make`].
    ///
    /// # Errors
    /// [`Error::is_network_size`] for 32GiB and 64GiB, [`Error::is_damaged`] where a file is there
    /// that cannot be right, an error where the network's key is there without its parameters, and
    /// those of [`crate::make`].
    pub fn make(
        &self,
        seed: [u8; 16],
        progress: &(dyn Fn(Progress) + Sync),
        cancel: &AtomicBool,
    ) -> Result<Made, Error> {
        if self.sector_bytes >= MIN_NETWORK_BYTES {
            return Err(Kind::NetworkSize { n_bytes: self.sector_bytes }.into());
        }
        match self.status()? {
            Status::Damaged { path, reason } => return Err(Kind::Damaged { path, reason }.into()),
            Status::Missing => self.check_no_network_key()?,
            Status::Present { .. } => {}
        }
        let watch = Watch::new(progress, cancel);
        with_shape!(self.sector_bytes, make_shaped, self, seed, watch)
    }

    fn is_network_key(&self, key: &[u8]) -> bool {
        // parameters.json keeps the first 16 bytes of the digest, in hex.
        get_verifying_key_data(&self.cache_id)
            .is_some_and(|known| blake2b(key).to_hex()[..32] == known.digest)
    }

    /// A test key in the place of the network's would make the verification of real proofs fail.
    fn check_no_network_key(&self) -> Result<(), Error> {
        let path = self.verifying_key_path();
        match read_if_there(&path)? {
            Some(key) if self.is_network_key(&key) => Err(Kind::NetworkKey { path }.into()),
            _ => Ok(()),
        }
    }

    /// Whether the network's key is there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn has_network_key(&self) -> Result<bool, Error> {
        let key = read_if_there(&self.verifying_key_path())?;
        Ok(key.is_some_and(|key| self.is_network_key(&key)))
    }

    /// Writes the files beside the parameters, other than a key that is there already.
    ///
    /// # Errors
    /// What the disk says, and the network's key where another is to be.
    pub fn write_companions(&self, key: &[u8]) -> Result<(), Error> {
        let path = self.verifying_key_path();
        if read_if_there(&path)?.is_none_or(|found| found != key) {
            self.check_no_network_key()?;
            write_small(&path, key)?;
        }
        let metadata = format!("{{\"sector_size\":{}}}", self.sector_bytes);
        write_small(&self.metadata_path(), metadata.as_bytes())
    }

    fn make_from(
        &self,
        circuit: impl Circuit<Scalar>,
        seed: [u8; 16],
        watch: Watch<'_>,
    ) -> Result<Made, Error> {
        let mut rng = XorShiftRng::from_seed(seed);
        let params = self.params_path();
        let made = make_and(circuit, &mut rng, &params, watch, |key| self.write_companions(key))?;
        let is_there = |path: PathBuf| path.try_exists().map_err(Error::io("look for", &path));
        if made.found && !(is_there(self.verifying_key_path())? && is_there(self.metadata_path())?)
        {
            self.write_companions(&verifying_key(&params)?)?;
        }
        Ok(made)
    }
}

/// The porep id is not part of the circuit and names no file; any will do.
fn setup<Tree: 'static + MerkleTreeTrait>(n_bytes: u64) -> Result<PublicParams<Tree>, Error> {
    public_params::<Tree>(&PoRepConfig::new_groth16(n_bytes, [0; 32], ApiVersion::V1_1_0))
        .map_err(|error| Kind::Setup { n_bytes, reason: error.to_string() }.into())
}

fn cache_id<Tree: 'static + MerkleTreeTrait>(sector_bytes: u64) -> Result<String, Error> {
    let params = setup::<Tree>(sector_bytes)?;
    Ok(<StackedCompound<Tree, DefaultPieceHasher> as CacheableParameters<
        StackedCircuit<Tree, DefaultPieceHasher>,
        _,
    >>::cache_identifier(&params))
}

fn make_shaped<Tree: 'static + MerkleTreeTrait>(
    set: &ParameterSet,
    seed: [u8; 16],
    watch: Watch<'_>,
) -> Result<Made, Error> {
    let params = setup::<Tree>(set.sector_bytes)?;
    let circuit = StackedCompound::<Tree, DefaultPieceHasher>::blank_circuit(&params);
    set.make_from(circuit, seed, watch)
}

#[cfg(test)]
mod tests;
