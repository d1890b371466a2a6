// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sectors of the golden vectors, through the command line, bit for bit.

use sealpipe_tests::{Bench, Vector, pattern, text};

fn check(name: &'static str) {
    let bench = Bench::new();
    let vector = Vector::read(name);
    let args = vector.seal(&bench, "sector");
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let ended = bench.run(&args).ok();
    ended.check(ended.last_line() == "stopped after c1, as asked", "the last line");
    ended.check(ended.stdout.contains(vector.comm_r()), "CommR");
    vector.check(&bench.path("sector"));
    bench.check_nothing_is_left();
    again(&bench, &args, &vector);
}

/// What is done up to c1 is shown and not done again.
fn again(bench: &Bench, args: &[&str], vector: &Vector) {
    let before = bench.files("sector").unwrap();
    let ended = bench.run(&[args, &["--json"]].concat()).ok();
    let json = ended.json();
    let sectors = json["sectors"].as_array().unwrap();
    ended.check(sectors.len() == 1, "one sector");
    ended.check(text(&sectors[0]["commR"], "hex") == vector.comm_r(), "CommR");
    let stages = sectors[0]["stages"].as_array().unwrap().iter();
    let stages: Vec<_> = stages.map(|stage| text(stage, "stage")).collect();
    assert_eq!(stages, ["add_pieces", "tree_d", "pc1", "pc2", "c1"]);
    ended.check(sectors[0]["verified"].is_null(), "no proof yet");
    let mut after = bench.files("sector").unwrap();
    after.insert("journal.jsonl".to_owned(), before["journal.jsonl"].clone());
    assert_eq!(after, before, "nothing but the journal has changed");
}

#[test]
fn a_2kib_sector_of_committed_capacity_is_the_golden_one() {
    check("2KiB-cc");
}

#[test]
fn a_2kib_sector_of_three_pieces_is_the_golden_one() {
    check("2KiB-data");
}

#[test]
fn an_8mib_sector_of_three_pieces_is_the_golden_one() {
    check("8MiB-data");
}

#[test]
fn pieces_of_any_length_come_back_one_by_one_and_together() {
    let bench = Bench::new();
    let data = pattern(128 + 1 + 1016);
    let (first, rest) = data.split_at(128);
    let (second, third) = rest.split_at(1);
    for (name, piece) in [("first", first), ("second", second), ("third", third)] {
        bench.write(name, piece);
    }
    let pieces = ["--piece", "first", "--piece", "second", "--piece", "third"];
    let seal = [&["seal", "--size", "2KiB", "--out", "s", "--until", "pc2"][..], &pieces].concat();
    bench.run(&seal).ok();
    let check = |options: &[&str], expected: &[u8]| {
        let ended = bench.run(&[&["unseal", "s", "-o", "back"], options].concat()).ok();
        let found = std::fs::read(bench.path("back")).unwrap();
        ended.check(found == expected, &format!("the data of {options:?}"));
        let bytes = format!("{} bytes written to ", expected.len());
        ended.check(ended.stdout.starts_with(&bytes), "how much it was");
    };
    check(&[], &data);
    check(&["--piece", "1"], first);
    check(&["--piece", "2"], second);
    check(&["--piece", "3"], third);
    // The second piece takes 128 bytes, 127 of them payload, right behind the 256 of the first.
    let mut whole = vec![0; 2032];
    whole[..128].copy_from_slice(first);
    whole[254..255].copy_from_slice(second);
    whole[1016..].copy_from_slice(third);
    check(&["--whole"], &whole);
    let args = ["unseal", "s", "-o", "none", "--piece", "4"];
    bench.run(&args).fails_with(&["there is no piece 4: the sector holds 3"]);
    assert!(!bench.path("none").exists());
    bench.check_nothing_is_left();
}

#[test]
fn sectors_side_by_side_are_those_that_are_sealed_alone() {
    let bench = Bench::new();
    let seal = ["seal", "--size", "2KiB", "--until", "c1"];
    bench.run(&[&seal[..], &["--count", "3", "--sector", "7", "--out", "many"]].concat()).ok();
    for number in ["7", "8", "9"] {
        let name = format!("t01000-{number}");
        bench.run(&[&seal[..], &["--sector", number, "--out", "alone"]].concat()).ok();
        let of = |dir: &str| {
            let mut files = bench.files(dir).unwrap();
            files.retain(|file, _| {
                !["sector.json", "journal.jsonl", "cache/t_aux"].contains(&&**file)
            });
            files
        };
        assert_eq!(of(&format!("many/{name}")), of("alone"), "sector {number}");
        assert!(of("alone").contains_key("c1.json"));
        let events = bench.journal(&format!("many/{name}")).events();
        let others = events.iter().filter(|e| !e["sector"].is_null() && e["sector"] != *name);
        assert_eq!(others.count(), 0, "a journal is one sector's");
        std::fs::remove_dir_all(bench.path("alone")).unwrap();
    }
    bench.check_nothing_is_left();
}
