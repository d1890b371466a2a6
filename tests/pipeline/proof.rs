// SPDX-License-Identifier: MIT OR Apache-2.0

//! The whole way to a proof. One proof takes minutes on two cores, so there is one test.

use std::{fs, time::Duration};

use sealpipe_tests::Bench;
use serde_json::Value;

use crate::tour;

/// Making the parameters and a proof on one slow core.
pub const PROOF_LIMIT: Duration = Duration::from_secs(1_800);

/// Length of the Groth16 proof of a sector with one partition, in hex digits.
const PROOF_DIGITS: usize = 2 * 192;

const SEAL: [&str; 7] = ["seal", "--size", "2KiB", "--piece", "piece.bin", "--out", "sector"];

#[test]
fn the_tour_of_the_readme_seals_proves_checks_and_gets_back() {
    let bench = Bench::new();
    tour::walk(&bench);
    bench.check_nothing_is_left();
    check_files(&bench);
    again(&bench);
    verify(&bench);
    let data = fs::read(bench.path("piece.bin")).unwrap();
    unseal(&bench, &data);
    forge(&bench);
    bench.check_nothing_is_left();
}

/// What later proofs need is kept, and nothing else.
fn check_files(bench: &Bench) {
    let files: Vec<_> = bench.files("sector").unwrap().into_keys().collect();
    let cache = ["p_aux", "sc-02-data-tree-r-last.dat", "t_aux"].map(|n| format!("cache/{n}"));
    let own = ["journal.jsonl", "sealed", "sector.json"].map(String::from);
    assert_eq!(files, [cache, own].concat());
}

/// Sealing a finished sector runs no stage and shows the same.
fn again(bench: &Bench) {
    let started = || {
        let events = bench.journal("sector").events();
        events.iter().filter(|event| event["event"] == "stage-started").count()
    };
    let before = started();
    let text = bench.run(&SEAL).ok();
    text.check(text.last_line() == "proof verified", "the last line");
    let json = bench.run(&[&SEAL[..], &["--json"]].concat()).ok();
    assert_eq!(started(), before, "no stage ran");
    check_json(&json.json()["sectors"][0]);
}

fn check_json(sector: &Value) {
    let hex = |value: &Value, digits: usize| {
        let text = value.as_str().unwrap_or_default();
        let ok = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(ok, "{value} has not {digits} hex digits in {sector:#}");
    };
    hex(&sector["commD"]["hex"], 64);
    hex(&sector["commR"]["hex"], 64);
    hex(&sector["proof"], PROOF_DIGITS);
    assert!(sector["commD"]["cid"].as_str().unwrap().starts_with("baga6ea4seaq"), "{sector:#}");
    assert!(sector["commR"]["cid"].as_str().unwrap().starts_with("bagboea4b5abc"), "{sector:#}");
    assert_eq!(sector["verified"], true, "{sector:#}");
    assert_eq!(sector["networkParameters"], false, "{sector:#}");
    assert_eq!(sector["size"], "2KiB", "{sector:#}");
    let stages = sector["stages"].as_array().unwrap().iter();
    let stages: Vec<_> = stages.map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["add_pieces", "tree_d", "pc1", "pc2", "c1", "c2", "verify"]);
}

fn verify(bench: &Bench) {
    let before = bench.files("sector");
    let text = bench.run(&["verify", "sector"]).ok();
    text.check(text.last_line() == "proof verified", "the last line");
    let json = bench.run(&["verify", "sector", "--json"]).ok();
    check_json(&json.json()["sectors"][0]);
    assert_eq!(bench.files("sector"), before, "checking changes nothing");
}

fn unseal(bench: &Bench, data: &[u8]) {
    let before = bench.files("sector");
    let json = bench.run(&["unseal", "sector", "-o", "back", "--json"]).ok();
    assert_eq!(fs::read(bench.path("back")).unwrap(), data, "the piece comes back");
    assert_eq!(json.json()["bytes"], data.len());
    assert_eq!(bench.files("sector"), before, "unsealing changes nothing");
}

/// The same proof for other randomness does not hold.
fn forge(bench: &Bench) {
    let path = bench.path("sector/sector.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["sector"]["seed"] = "07".repeat(32).into();
    fs::write(&path, record.to_string()).unwrap();
    let text = bench.run(&["verify", "sector"]).code(3);
    text.check(text.last_line() == "the proof does NOT hold", "the last line");
    let json = bench.run(&["verify", "sector", "--json"]).code(3);
    assert_eq!(json.json()["sectors"][0]["verified"], false);
}
