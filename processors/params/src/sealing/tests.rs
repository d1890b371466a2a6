// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names, states and repairs of a set, with a circuit small enough to make in an instant.

use std::fs;
use std::sync::atomic::AtomicBool;

use bellperson::{ConstraintSystem, SynthesisError};
use ff::Field;
use tempfile::TempDir;

use super::*;

struct Tiny;

impl Circuit<Scalar> for Tiny {
    fn synthesize<CS: ConstraintSystem<Scalar>>(self, cs: &mut CS) -> Result<(), SynthesisError> {
        let x = cs.alloc(|| "x", || Ok(Scalar::ONE))?;
        cs.enforce(|| "row", |lc| lc + x, |lc| lc + x, |lc| lc + CS::one());
        Ok(())
    }
}

fn set(sector_bytes: u64) -> (TempDir, ParameterSet) {
    let directory = tempfile::tempdir().unwrap();
    let set = ParameterSet::new(sector_bytes, directory.path()).unwrap();
    (directory, set)
}

fn make_tiny(set: &ParameterSet) -> Result<Made, Error> {
    set.make_from(Tiny, DEFAULT_SEED, Watch::new(&|_| {}, &AtomicBool::new(false)))
}

fn make_whole(set: &ParameterSet) -> Result<Made, Error> {
    // Tests only reach this where it ends before any work.
    set.make(DEFAULT_SEED, &|_| {}, &AtomicBool::new(true))
}

#[test]
fn names_are_those_of_filecoin_proofs() {
    for n_bytes in SUPPORTED_SECTOR_SIZES {
        let (directory, set) = set(n_bytes);
        let config = PoRepConfig::new_groth16(n_bytes, [7; 32], ApiVersion::V1_2_0);
        let theirs = config.get_cache_params_path::<filecoin_proofs::SectorShapeBase>();
        let name = set.params_path().strip_prefix(directory.path()).unwrap().to_owned();
        if filecoin_proofs::is_sector_shape_base(n_bytes) {
            assert_eq!(theirs.unwrap().file_name(), Some(name.as_os_str()));
        }
        // The network publishes keys of these sizes, under the same names.
        let is_published = filecoin_proofs::PUBLISHED_SECTOR_SIZES.contains(&n_bytes);
        assert_eq!(get_verifying_key_data(&set.cache_id).is_some(), is_published);
    }
    let (_directory, set) = set(2048);
    let known = "stacked-proof-of-replication-merkletree-poseidon_hasher-8-0-0-sha256_hasher-\
                 032d3138d22506ec0082ed72b2dcba18df18477904e35bafee82b3793b06832f";
    assert_eq!(set.cache_id, known);
}

#[test]
fn a_set_is_three_files_and_present() {
    let (directory, set) = set(2048);
    assert_eq!(set.status().unwrap(), Status::Missing);
    let made = make_tiny(&set).unwrap();
    assert_eq!(set.status().unwrap(), Status::Present { network: false, layout: made.layout });
    assert_eq!(fs::read(set.metadata_path()).unwrap(), b"{\"sector_size\":2048}");
    let key = fs::read(set.verifying_key_path()).unwrap();
    assert_eq!(key, verifying_key(&set.params_path()).unwrap());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn files_missing_beside_the_parameters_are_added() {
    let (_directory, set) = set(2048);
    make_tiny(&set).unwrap();
    let key = fs::read(set.verifying_key_path()).unwrap();
    fs::remove_file(set.verifying_key_path()).unwrap();
    fs::remove_file(set.metadata_path()).unwrap();
    assert!(matches!(set.status().unwrap(), Status::Present { .. }));
    assert!(make_tiny(&set).unwrap().found);
    assert_eq!(fs::read(set.verifying_key_path()).unwrap(), key);
    assert!(set.metadata_path().exists());
}

#[test]
fn a_key_left_without_parameters_is_replaced() {
    let (_directory, set) = set(2048);
    fs::write(set.verifying_key_path(), b"of a maker that died").unwrap();
    assert_eq!(set.status().unwrap(), Status::Missing);
    make_tiny(&set).unwrap();
    assert!(matches!(set.status().unwrap(), Status::Present { .. }));
}

#[test]
fn parameters_stay_invisible_where_the_key_cannot_be_written() {
    let (directory, set) = set(2048);
    fs::create_dir(set.metadata_path()).unwrap();
    assert!(make_tiny(&set).unwrap_err().is_io());
    assert_eq!(set.status().unwrap(), Status::Missing);
    // The key, and the directory in the way; neither parameters nor anything half-made.
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    fs::remove_dir(set.metadata_path()).unwrap();
    assert!(!make_tiny(&set).unwrap().found);
    assert!(matches!(set.status().unwrap(), Status::Present { .. }));
}

#[test]
fn a_key_of_other_parameters_is_damage() {
    let (_directory, set) = set(2048);
    make_tiny(&set).unwrap();
    fs::write(set.verifying_key_path(), b"another").unwrap();
    assert!(matches!(set.status().unwrap(), Status::Damaged { path, .. }
        if path == set.verifying_key_path()));
    assert!(make_whole(&set).unwrap_err().is_damaged());
}

#[test]
fn parameters_cut_short_are_damage() {
    let (_directory, set) = set(2048);
    let n_bytes = make_tiny(&set).unwrap().layout.n_bytes();
    let file = fs::File::options().write(true).open(set.params_path()).unwrap();
    file.set_len(n_bytes - 1).unwrap();
    assert!(matches!(set.status().unwrap(), Status::Damaged { path, .. }
        if path == set.params_path()));
    assert!(make_whole(&set).unwrap_err().is_damaged());
}

#[test]
fn the_networks_sizes_are_refused_with_the_way_to_fetch_them() {
    for (n_bytes, name) in [(32 << 30, "32GiB"), (64 << 30, "64GiB")] {
        let (directory, set) = set(n_bytes);
        assert_eq!(set.status().unwrap(), Status::Missing);
        let error = make_whole(&set).unwrap_err();
        assert!(error.is_network_size());
        let hint = error.hint().unwrap();
        assert!(hint.contains(&format!("curio fetch-params {name}")), "{hint}");
        assert!(hint.contains("lotus fetch-params") && hint.contains("paramfetch"), "{hint}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn an_unknown_size_is_refused_with_those_allowed() {
    let error = ParameterSet::new(1000, Path::new("/nowhere")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sector size 1000 bytes is unknown, allowed are 2KiB, 4KiB, 16KiB, 32KiB, 8MiB, 16MiB, \
         512MiB, 1GiB, 32GiB, 64GiB"
    );
}

#[test]
fn cancelling_before_the_start_leaves_nothing() {
    let (directory, set) = set(4096);
    assert!(make_whole(&set).unwrap_err().is_cancelled());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
