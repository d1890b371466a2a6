// SPDX-License-Identifier: MIT OR Apache-2.0

//! Both stages over the protocol, against the golden vectors, bit for bit.

mod common;

use std::fs;

use common::{Processor, Sector};
use sealpipe_protocol::{Bytes32, stage::files};

fn seal(name: &'static str, environment: &[(&str, &str)], tree_d_first: bool) {
    let parents = tempfile::tempdir().unwrap();
    let sector = Sector::new(name);
    let mut processor = Processor::start(parents.path(), 2, environment);
    let comm_d = sector.vector.bytes32("comm_d").to_string();
    if tree_d_first {
        let id = processor.run("t", 1, &sector.tree_d());
        assert_eq!(processor.output(id)["output"]["commD"], comm_d);
    }
    let id = processor.run("p", 1, &sector.pc1());
    let result = processor.output(id);
    assert_eq!(result["output"]["commD"], comm_d);
    let replica_id = sector.vector.bytes32("replica_id").to_string();
    assert_eq!(result["output"]["replicaId"], replica_id);
    assert!(result["resumedFrom"].is_null());
    sector.check();
    // Again: nothing to do, and nothing changed.
    let id = processor.run("p", 2, &sector.pc1());
    let result = processor.output(id);
    let all = format!("layer {}", sector.vector.proof().n_layers());
    assert_eq!(result["resumedFrom"], all);
    sector.check();
    processor.finish();
}

#[test]
fn a_small_sector_of_zeros() {
    seal("2KiB-cc", &[], true);
    seal("2KiB-cc", &[("SEALPIPE_PC1_KERNEL", "portable")], false);
}

#[test]
fn a_small_sector_of_data() {
    seal("2KiB-data", &[], false);
    seal("2KiB-data", &[("SEALPIPE_PC1_KERNEL", "portable")], true);
}

#[test]
fn a_sector_of_8_mib_by_each_kernel() {
    seal("8MiB-data", &[], true);
    seal("8MiB-data", &[("SEALPIPE_PC1_KERNEL", "portable")], false);
}

#[test]
fn the_kernel_the_lanes_and_the_cpus_are_said() {
    let parents = tempfile::tempdir().unwrap();
    let environment = [
        ("SEALPIPE_PC1_KERNEL", "portable"),
        ("FIL_PROOFS_USE_MULTICORE_SDR", "1"),
        ("FIL_PROOFS_MULTICORE_SDR_PRODUCERS", "1"),
        ("FIL_PROOFS_MAXIMIZE_CACHING", "1"),
    ];
    let processor = Processor::start(parents.path(), 1, &environment);
    let stages = processor.hello["result"]["stages"].as_array().unwrap();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(names, ["pc1", "tree_d"]);
    let said = stages[0]["implementation"].as_str().unwrap();
    assert!(said.starts_with("portable SHA-256, up to 1 a thread on cpus "), "{said}");
    assert_eq!(stages[0]["maxConcurrent"], 1);
    processor.finish();
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let parents = tempfile::tempdir().unwrap();
    let check = |change: &dyn Fn(&mut Sector, &mut sealpipe_protocol::stage::pc1::Params),
                 code,
                 word: &str| {
        let mut sector = Sector::new("2KiB-data");
        let mut params = sector.pc1_params();
        change(&mut sector, &mut params);
        let mut processor = Processor::start(parents.path(), 1, &[]);
        let id = processor.run("p", 1, &sealpipe_protocol::stage::Job::Pc1(params));
        let answer = processor.answer(id);
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{answer}");
        assert!(!sector.layer(1).exists());
        processor.finish();
    };
    check(&|_, params| params.comm_d = Bytes32([1; 32]), 1006, "commD");
    check(&|_, params| params.pieces.swap(0, 1), -32602, "pieces[1]");
    check(&|sector, _| fs::remove_file(sector.path("unsealed")).unwrap(), 1005, "unsealed");
    check(&|sector, _| fs::write(sector.path("unsealed"), [1; 2048]).unwrap(), 1006, "root");
    let half_tree = |sector: &mut Sector, _: &mut _| {
        let path = sector.path("cache").join(files::TREE_D);
        fs::write(path, vec![0; 4064]).unwrap();
    };
    check(&half_tree, 1006, "tree-d");
}
