// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a crash, another sector or another program may leave behind, and the library would take
//! for its own work.

mod common;

use std::{fs, path::Path};

use common::Sector;
use sealpipe_protocol::{Bytes32, Code, stage::files};
use sealpipe_reference::{report::Reporter, stage};
use serde_json::json;

const NAME: &str = "2KiB-data";
const LAYER_BYTES: usize = 2048;

fn labelled() -> Sector {
    let sector = Sector::new(NAME).staged();
    assert_eq!(sector.pc1().unwrap(), None);
    sector
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

/// Overwrites pc1's manifest.
fn plant_manifest(sector: &Sector, replica_id: Bytes32, boot_id: &str, layers: &[Bytes32]) {
    let dir = sector.path("work/pc1");
    fs::create_dir_all(&dir).unwrap();
    let manifest = json!({ "replicaId": replica_id, "bootId": boot_id, "layers": layers });
    fs::write(dir.join("reference-pc1.json"), manifest.to_string()).unwrap();
}

/// Changes one byte in the middle of a file.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn finished_layers_are_kept() {
    let sector = labelled();
    fs::remove_file(sector.layer(2)).unwrap();
    assert_eq!(sector.pc1().unwrap().as_deref(), Some("layer 1"));
    sector.check_layers();
    assert_eq!(sector.pc1().unwrap().as_deref(), Some("layer 2"));
    sector.check_layers();
}

#[test]
fn layers_without_a_manifest_are_not_trusted() {
    let sector = labelled();
    fs::remove_dir_all(sector.path("work/pc1")).unwrap();
    assert_eq!(sector.pc1().unwrap(), None);
    sector.check_layers();
}

#[test]
fn a_layer_of_zeros_is_not_trusted() {
    let sector = Sector::new(NAME).staged();
    fs::write(sector.layer(1), [0; LAYER_BYTES]).unwrap();
    plant_manifest(&sector, sector.vector.bytes32("replica_id"), &boot_id(), &[]);
    assert_eq!(sector.pc1().unwrap(), None);
    sector.check_layers();
}

#[test]
fn a_layer_of_another_replica_is_not_trusted() {
    let sector = labelled();
    let manifest = Bytes32([7; 32]);
    let digests: Vec<_> =
        (1..=2).map(|layer| sector.digest(&format!("cache/{}", files::layer(layer))).0).collect();
    plant_manifest(&sector, manifest, &boot_id(), &digests);
    assert_eq!(sector.pc1().unwrap(), None);
    sector.check_layers();
}

#[test]
fn a_layer_that_changed_after_it_was_recorded_is_not_trusted_nor_any_after_it() {
    let sector = labelled();
    damage(&sector.layer(1));
    assert_eq!(sector.pc1().unwrap(), None);
    sector.check_layers();
}

#[test]
fn a_layer_cut_short_is_not_trusted() {
    let sector = labelled();
    let bytes = fs::read(sector.layer(2)).unwrap();
    fs::write(sector.layer(2), &bytes[..LAYER_BYTES / 2]).unwrap();
    assert_eq!(sector.pc1().unwrap().as_deref(), Some("layer 1"));
    sector.check_layers();
}

#[test]
fn an_unrecorded_layer_is_kept_in_the_same_boot_and_in_no_other() {
    let replica_id = |sector: &Sector| sector.vector.bytes32("replica_id");
    let sector = labelled();
    plant_manifest(&sector, replica_id(&sector), &boot_id(), &[]);
    assert_eq!(sector.pc1().unwrap().as_deref(), Some("layer 2"));
    let digest = sector.digest(&format!("cache/{}", files::layer(1))).0;
    plant_manifest(&sector, replica_id(&sector), "an earlier boot", &[digest]);
    assert_eq!(sector.pc1().unwrap().as_deref(), Some("layer 1"));
    sector.check_layers();
}

#[test]
fn a_layer_half_written_by_the_library_is_removed() {
    let sector = Sector::new(NAME).staged();
    fs::write(sector.layer(1).with_extension(".tmp"), b"half").unwrap();
    sector.pc1().unwrap();
    assert!(sector.names("cache").iter().all(|name| !name.contains("tmp")));
}

#[test]
fn pc1_builds_tree_d_when_it_is_absent_and_refuses_a_wrong_one() {
    let sector = labelled();
    let path = sector.cache_dir().join(files::TREE_D);
    fs::remove_file(&path).unwrap();
    sector.pc1().unwrap();
    sector.check_files(|name| name == files::TREE_D);
    // Half-built by the library: full length, no root yet.
    fs::write(&path, [0; 4064]).unwrap();
    let error = sector.pc1().unwrap_err();
    assert_eq!(error.known_code(), Some(Code::InvalidInput), "{error}");
    assert!(error.message.contains(files::TREE_D), "{error}");
    stage::tree_d::run(&sector.tree_d_params(), &Reporter::silent()).unwrap();
    sector.check_files(|name| name == files::TREE_D);
}

#[test]
fn pc1_refuses_pieces_that_are_not_the_data() {
    let sector = Sector::new(NAME).staged();
    let mut params = sector.pc1_params();
    params.pieces.swap(1, 2);
    let error = stage::pc1::run(&params, &Reporter::silent()).unwrap_err();
    assert_eq!(error.known_code(), Some(Code::InvalidInput));
    assert!(error.data.hint.is_some());
}

#[test]
fn pc2_takes_over_no_stale_tree_and_can_be_run_again() {
    let sector = labelled();
    let tree_c = sector.cache_dir().join("sc-02-data-tree-c.dat");
    fs::write(&tree_c, [1; 2336]).unwrap();
    fs::create_dir_all(sector.path("work/pc2/scratch/cache")).unwrap();
    fs::write(sector.path("work/pc2/scratch/cache/sc-02-data-tree-c.dat"), [1; 2336]).unwrap();
    sector.pc2().unwrap();
    sector.check_files(|_| true);
    let sealed = sector.digest("sealed");
    assert_eq!(sealed.0, sector.vector.digest("sealed"));
    sector.pc2().unwrap();
    sector.check_files(|_| true);
    assert_eq!(sector.digest("sealed"), sealed);
}

#[test]
fn pc2_seals_data_that_may_not_be_written() {
    let sector = labelled();
    let mut permissions = fs::metadata(sector.path("unsealed")).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(sector.path("unsealed"), permissions).unwrap();
    sector.pc2().unwrap();
    sector.check_files(|_| true);
}

#[test]
fn pc2_names_the_input_that_is_missing_or_wrong_and_leaves_the_replica() {
    let sector = labelled();
    fs::write(sector.path("sealed"), b"an earlier replica").unwrap();
    let check = |code, named: &str| {
        let error = sector.pc2().unwrap_err();
        assert_eq!(error.known_code(), Some(code), "{error}");
        assert!(error.message.contains(named), "{error}");
        assert_eq!(fs::read(sector.path("sealed")).unwrap(), b"an earlier replica");
    };
    let layer = fs::read(sector.layer(2)).unwrap();
    fs::write(sector.layer(2), [0; LAYER_BYTES]).unwrap();
    check(Code::InvalidInput, "layer-2");
    fs::remove_file(sector.layer(2)).unwrap();
    check(Code::InputUnavailable, "layer-2");
    fs::write(sector.layer(2), layer).unwrap();
    fs::write(sector.path("unsealed"), [0; 2047]).unwrap();
    check(Code::InvalidInput, "has 2047 bytes, expected 2048");
}

#[test]
fn t_aux_holds_the_directory_where_the_files_are() {
    let sector = labelled();
    sector.pc2().unwrap();
    let t_aux = fs::read(sector.cache_dir().join(files::T_AUX)).unwrap();
    let text = String::from_utf8_lossy(&t_aux);
    assert_eq!(text.matches(sector.cache_dir().to_str().unwrap()).count(), 5);
    assert!(!text.contains("scratch"));
}

#[test]
fn c1_names_the_file_that_is_missing_or_wrong() {
    let sector = Sector::new(NAME).sealed();
    let check = |name: &str, change: &dyn Fn(&Path), code| {
        let path = sector.path(name);
        let before = fs::read(&path).unwrap();
        change(&path);
        let error = stage::c1::run(&sector.c1_params(), &Reporter::silent()).unwrap_err();
        assert_eq!(error.known_code(), Some(code), "{name}: {error}");
        assert!(error.message.contains(name), "{name}: {error}");
        assert!(!sector.path("c1.json").exists());
        fs::write(&path, before).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let zero_root = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let root = bytes.len() - 32;
        bytes[root..].fill(0);
        fs::write(path, bytes).unwrap();
    };
    for name in ["tree-d.dat", "tree-c.dat", "tree-r-last.dat"] {
        let name = format!("cache/sc-02-data-{name}");
        check(&name, &remove, Code::InputUnavailable);
        check(&name, &zero_root, Code::InvalidInput);
    }
    check("cache/p_aux", &remove, Code::InputUnavailable);
    check("cache/p_aux", &zero_root, Code::InvalidInput);
    // No field element, on which the library's hasher would panic.
    check("cache/p_aux", &|path| fs::write(path, [0xff; 64]).unwrap(), Code::InvalidInput);
    check("sealed", &remove, Code::InputUnavailable);
    let zero = |path: &Path| fs::write(path, [0; LAYER_BYTES]).unwrap();
    check("cache/sc-02-data-layer-1.dat", &zero, Code::InvalidInput);
    // What no check sees is found by the vanilla proofs themselves.
    fs::write(sector.path("sealed"), [1; LAYER_BYTES]).unwrap();
    let error = stage::c1::run(&sector.c1_params(), &Reporter::silent()).unwrap_err();
    assert_eq!(error.known_code(), Some(Code::VerificationFailed), "{error}");
}

#[test]
fn unseal_refuses_the_replica_of_another_ticket() {
    let sector = Sector::new(NAME).sealed();
    let mut params = sector.unseal_params(0, 100);
    params.ticket = Bytes32([1; 32]);
    let error = stage::unseal::run(&params, &Reporter::silent()).unwrap_err();
    assert_eq!(error.known_code(), Some(Code::InvalidInput), "{error}");
    assert!(!sector.path("data").exists());
    assert!(!sector.path("cache/.unseal").exists());
}

#[test]
fn tree_d_refuses_data_that_is_not_padded() {
    let sector = Sector::new(NAME);
    fs::write(sector.path("unsealed"), [0xff; LAYER_BYTES]).unwrap();
    let error = stage::tree_d::run(&sector.tree_d_params(), &Reporter::silent()).unwrap_err();
    assert_eq!(error.known_code(), Some(Code::InvalidInput), "{error}");
    assert_eq!(sector.names("cache"), [""; 0]);
}
