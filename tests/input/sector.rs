// SPDX-License-Identifier: MIT OR Apache-2.0

//! Wrong pieces, options and directories.

use std::fs;

use sealpipe_tests::{Bench, pattern};

const SEAL: &[&str] = &["seal", "--size", "2KiB", "--until", "add_pieces", "--out", "sector"];

/// Checks what is said of options, and that no directory is made.
#[track_caller]
fn check(options: &[&str], code: i32, says: &[&str]) {
    let bench = Bench::new();
    bench.write("fits", pattern(2032));
    bench.write("large", pattern(2033));
    bench.write("empty", "");
    fs::create_dir(bench.path("directory")).unwrap();
    let before = bench.files(".");
    bench.run(&[SEAL, options].concat()).code(code).says(says);
    assert_eq!(bench.files("."), before, "{options:?}: nothing is made or changed");
    assert!(!bench.path("sector").exists(), "{options:?}: no directory is made");
    bench.check_nothing_is_left();
}

#[test]
fn a_piece_that_does_not_fit_is_refused() {
    let hint = "hint: a piece takes the next power of two of 128/127 of its size";
    check(&["--piece", "large"], 1, &["/large of 2033 bytes takes 4096 with padding", hint]);
    let second = ["--piece", "fits", "--piece", "fits"];
    check(&second, 1, &["2032 bytes takes 2048 with padding, the 2KiB sector has 0 left", hint]);
}

#[test]
fn a_piece_that_cannot_be_read_is_refused() {
    check(
        &["--piece", "missing"],
        1,
        &["error: piece missing cannot be read: No such file or directory"],
    );
    check(
        &["--piece", "directory"],
        1,
        &["error: piece directory cannot be read: it is not a regular file"],
    );
    check(&["--piece", "empty"], 1, &["error: piece ", "/empty is empty", "hint: "]);
    check(&["--piece", "fits/below"], 1, &["error: piece fits/below cannot be read: Not a dir"]);
}

#[test]
fn options_that_are_no_values_are_refused() {
    check(&["--ticket", "abc"], 2, &["error: invalid value 'abc' for '--ticket <HEX>'", "64"]);
    let long = "g".repeat(64);
    check(&["--ticket", &long], 2, &["for '--ticket <HEX>'"]);
    check(&["--seed", "0x12"], 2, &["error: invalid value '0x12' for '--seed <HEX>'"]);
    check(
        &["--miner", "f1abc"],
        2,
        &["expected a miner's ID address such as f01000, got \"f1abc\""],
    );
    check(&["--miner", "01000"], 2, &["for '--miner <ADDRESS>'", "such as f01000"]);
    check(&["--sector", "-1"], 2, &["error: "]);
    check(&["--sector", "9007199254740992"], 2, &["error: invalid value", "--sector <N>"]);
    check(&["--count", "0"], 2, &["--count <N>"]);
    check(&["--prover-id", &"0".repeat(63)], 2, &["for '--prover-id <HEX>'"]);
}

#[test]
fn a_stage_or_a_size_that_is_none_is_refused_with_those_that_are() {
    let bench = Bench::new();
    let args = ["seal", "--size", "2KiB", "--out", "sector", "--until", "snap"];
    let stages = "the stages of sealing are add_pieces, tree_d, pc1, pc2, c1, c2, verify";
    bench.run(&args).code(2).says(&["error: invalid value 'snap' for '--until <STAGE>'", stages]);
    let args = ["seal", "--size", "3KiB", "--out", "sector"];
    let sizes = ["error: invalid value '3KiB' for '--size <SIZE>'", "2KiB", "8MiB", "32GiB"];
    bench.run(&args).code(2).says(&sizes);
    assert_eq!(bench.files("sector"), None);
}

#[test]
fn a_foreign_directory_is_left_alone() {
    let bench = Bench::new();
    fs::create_dir(bench.path("sector")).unwrap();
    bench.write("sector/letter.txt", "dear");
    let before = bench.files("sector");
    bench.run(SEAL).fails_with(&[
        "error: ",
        "/sector is not empty and holds no sector",
        "hint: give a new or an empty directory as --out",
    ]);
    assert_eq!(bench.files("sector"), before);
    bench.run(&["verify", "sector"]).fails_with(&["holds no sector", "hint: `sealpipe seal"]);
    bench.run(&["unseal", "nowhere", "-o", "x"]).fails_with(&["holds no sector", "hint: "]);
}

#[test]
fn a_file_in_place_of_the_directory_is_left_alone() {
    let bench = Bench::new();
    bench.write("sector", "dear");
    bench.run(SEAL).fails_with(&["error: ", "sector"]);
    assert_eq!(fs::read(bench.path("sector")).unwrap(), b"dear");
}

#[test]
fn another_sectors_directory_is_left_alone() {
    let bench = Bench::new();
    bench.write("piece", pattern(100));
    bench.run(SEAL).ok();
    let before = bench.files("sector");
    let check = |options: &[&str], says: &str| {
        bench.run(&[SEAL, options].concat()).fails_with(&[
            "error: ",
            "/sector holds another sector: ",
            says,
            "hint: give another --out, or the options that this sector was begun with",
        ]);
        assert_eq!(bench.files("sector"), before, "{options:?}");
    };
    check(&["--sector", "2"], "sector number 1, not 2");
    check(&["--miner", "f01001"], "prover e807");
    check(&["--ticket", &"01".repeat(32)], "ticket ");
    check(&["--seed", &"01".repeat(32)], "seed ");
    check(&["--piece", "piece"], "other pieces");
    let larger = ["seal", "--size", "8MiB", "--until", "add_pieces", "--out", "sector"];
    bench.run(&larger).fails_with(&["size 2KiB, not 8MiB"]);
    assert_eq!(bench.files("sector"), before);
}

#[test]
fn a_piece_that_has_changed_since_is_not_sealed() {
    let bench = Bench::new();
    bench.write("piece", pattern(100));
    let mut args = vec!["seal", "--size", "2KiB", "--out", "sector", "--piece", "piece"];
    args.extend(["--until", "add_pieces"]);
    bench.run(&args).ok();
    bench.write("piece", pattern(101));
    bench.run(&args).fails_with(&["holds another sector: other pieces"]);
}

#[test]
fn a_record_that_is_damaged_is_refused() {
    let bench = Bench::new();
    bench.run(SEAL).ok();
    let whole = fs::read(bench.path("sector/sector.json")).unwrap();
    let check = |content: &[u8], why: &str| {
        bench.write("sector/sector.json", content);
        let before = bench.files("sector");
        let hint = "hint: it is written by sealpipe alone; restore it, or begin anew in another";
        for args in [SEAL, &["verify", "sector"], &["unseal", "sector", "-o", "x"]] {
            bench.run(args).fails_with(&["sector.json is no sector's record: ", why, hint]);
        }
        assert_eq!(bench.files("sector"), before, "{why}");
    };
    check(b"", "EOF");
    check(&whole[..whole.len() / 2], "EOF");
    check(b"\xff\xfe", "expected value");
    check(b"[]", "");
    check(b"{\"format\": 1}", "missing field");
    let later = String::from_utf8(whole.clone()).unwrap().replace("\"format\": 1", "\"format\": 2");
    check(later.as_bytes(), "format 2, expected 1");
    let other = String::from_utf8(whole.clone()).unwrap().replace("2KiBV1_1", "3KiBV1_1");
    check(other.as_bytes(), "3KiB");
    // The record restored, the sector goes on.
    bench.write("sector/sector.json", whole);
    bench.run(SEAL).ok();
}

#[test]
fn what_is_not_there_yet_is_neither_checked_nor_unsealed() {
    let bench = Bench::new();
    bench.run(SEAL).ok();
    let hint = "hint: run the `sealpipe seal` command that began it to go on";
    bench.run(&["verify", "sector"]).fails_with(&["has no proof yet", hint]);
    bench
        .run(&["unseal", "sector", "--whole", "-o", "x"])
        .fails_with(&["holds no replica yet", hint]);
    bench.run(&["unseal", "sector", "-o", "x"]).fails_with(&["holds no piece, only zeros", "hint"]);
    assert!(!bench.path("x").exists());
}
