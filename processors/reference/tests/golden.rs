// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every stage up to c1 against the golden vectors, bit for bit.

mod common;

use std::fs;

use common::{Sector, Vector};
use sealpipe_protocol::{Bytes32, stage::piece::unpadded};
use sealpipe_reference::{report::Reporter, stage};
use sha2::{Digest, Sha256};

fn check(name: &'static str) {
    let sector = Sector::new(name);
    let vector = &sector.vector;
    let reporter = Reporter::silent();

    let output = stage::add_pieces::run(&sector.add_pieces_params(), &reporter).unwrap();
    assert_eq!(output.pieces, vector.pieces(), "{name}");
    assert_eq!(sector.digest("unsealed").0, vector.digest("unsealed"), "{name}");

    let output = stage::tree_d::run(&sector.tree_d_params(), &reporter).unwrap();
    assert_eq!(output.comm_d, vector.bytes32("comm_d"), "{name}");

    assert_eq!(sector.pc1().unwrap(), None, "{name}");
    sector.pc2().unwrap();
    assert_eq!(sector.digest("sealed").0, vector.digest("sealed"), "{name}");
    assert_eq!(sector.digest("unsealed").0, vector.digest("unsealed"), "{name}");
    sector.check_files(|_| true);
    // Exactly the library's files, and no scratch.
    let mut names: Vec<_> = vector.cache_files().into_iter().map(|(name, ..)| name).collect();
    names.push("t_aux".to_owned());
    names.sort();
    assert_eq!(sector.names("cache"), names, "{name}");
    assert_eq!(sector.names("work/pc2"), [""; 0], "{name}");

    let output = stage::c1::run(&sector.c1_params(), &reporter).unwrap();
    assert_eq!((output.file.sha256, output.file.size), vector.c1_api(), "{name}");
    assert_eq!(sector.digest("c1.json"), vector.c1_api(), "{name}");

    if vector.proof().n_nodes() > 64 {
        return check_unseal(&sector, 1_234_567, 3_000_000);
    }
    check_unseal(&sector, 0, unpadded(vector.proof().sector_bytes()));
    check_unseal(&sector, 130, 1_000);
    check_unseal(&sector, 127, 1);
    check_unseal(&sector, 5, 0);
}

fn check_unseal(sector: &Sector, offset: u64, size: u64) {
    let before = sector.names("cache");
    let output =
        stage::unseal::run(&sector.unseal_params(offset, size), &Reporter::silent()).unwrap();
    let whole = unpadded(sector.vector.proof().sector_bytes()) as usize;
    let data = sector.vector.data().unwrap_or_else(|| vec![0; whole]);
    let expected = &data[offset as usize..][..size as usize];
    assert_eq!(fs::read(sector.path("data")).unwrap(), expected, "{offset} {size}");
    assert_eq!(output.size, size);
    assert_eq!(output.sha256, Bytes32(Sha256::digest(expected).into()));
    assert_eq!(sector.names("cache"), before);
}

#[test]
fn a_2kib_sector_of_committed_capacity() {
    check("2KiB-cc");
    let golden = fs::read(Vector::dir().join("2KiB-cc.c1-api.json")).unwrap();
    assert_eq!(golden.len(), 99_794);
}

#[test]
fn a_2kib_sector_of_data() {
    check("2KiB-data");
}

#[test]
fn an_8mib_sector_of_data() {
    check("8MiB-data");
}
