// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::{
    config::{Config, Source, parse},
    hardware::Description,
};

use super::*;

/// Two sockets of 16 groups of three cores, as the two schemes are written for.
const SEED: &str = "pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1";

const MULTICORE_1: &str =
    "envs = { FIL_PROOFS_USE_MULTICORE_SDR = \"1\", FIL_PROOFS_MULTICORE_SDR_PRODUCERS = \"1\" }\n";

fn config(text: &str) -> Config {
    let source = Source::new("test", text);
    let parsed = parse(&source);
    parsed.config().cloned().unwrap_or_else(|| {
        panic!("{}", parsed.diagnostics().render(&source, crate::config::Severity::Error))
    })
}

fn free(text: &str, machine: &str) -> String {
    let hardware = Description::of_text(machine).read().unwrap();
    free_cores(&config(text).processors, &hardware).to_string()
}

fn pc1(machine: &str, keys: &str, expected: &str) {
    assert_eq!(free(&format!("[[processors.pc1]]\n{keys}"), machine), expected, "{keys}");
}

#[test]
fn both_schemes_leave_the_four_cores_that_their_author_counts() {
    for text in [
        include_str!("../../../tests/data/scheme-a.toml"),
        include_str!("../../../tests/data/scheme-b.toml"),
    ] {
        assert_eq!(free(text, SEED), "38,41,86,89");
    }
}

#[test]
fn without_entries_every_core_is_free() {
    assert_eq!(free("", "pack:1 l3:2 core:2 pu:1"), "0-3");
    assert_eq!(free("[[processors.c2]]", "pack:1 l3:2 core:2 pu:1"), "0-3");
}

#[test]
fn each_group_serves_a_task_before_any_serves_its_second() {
    // Three groups of five cores, tasks of two: two tasks fit in a group, and one core is left.
    let machine = "pack:1 l3:3 core:5 pu:1";
    let keys = |n| format!("concurrent = {n}\n{MULTICORE_1}");
    pc1(machine, &keys(1), "2-14");
    pc1(machine, &keys(3), "2-4,7-9,12-14");
    pc1(machine, &keys(4), "4,7-9,12-14");
    pc1(machine, &keys(6), "4,9,14");
    // A seventh finds no room in any group, and runs on whatever is left.
    pc1(machine, &keys(7), "");
    pc1(machine, MULTICORE_1, "");
}

#[test]
fn producers_make_a_task_larger() {
    let machine = "pack:1 l3:2 core:8 pu:1";
    let multicore = "concurrent = 2\nenvs.FIL_PROOFS_USE_MULTICORE_SDR = \"true\"\n";
    // Three of them unless told otherwise.
    pc1(machine, multicore, "4-7,12-15");
    pc1(machine, &format!("{multicore}envs.FIL_PROOFS_MULTICORE_SDR_PRODUCERS = \"6\""), "7,15");
    // Larger than a group: nothing is bound, and the tasks run on all cpus.
    pc1(machine, &format!("{multicore}envs.FIL_PROOFS_MULTICORE_SDR_PRODUCERS = \"8\""), "");
    pc1(machine, "concurrent = 2\nenvs.FIL_PROOFS_USE_MULTICORE_SDR = \"0\"", "1-7,9-15");
}

#[test]
fn a_limit_of_the_stage_bounds_an_entry() {
    let text = format!("[[processors.pc1]]\nconcurrent = 9\n{MULTICORE_1}");
    let text = format!("{text}[processors.limitation.concurrent]\npc1 = 1");
    assert_eq!(free(&text, "pack:1 l3:2 core:3 pu:1"), "2-5");
}

#[test]
fn what_is_off_needs_nothing() {
    let machine = "pack:1 l3:2 core:3 pu:1";
    pc1(machine, "concurrent = 0", "0-5");
    let off =
        "[processors.limitation.concurrent]\nc2 = 0\n[[processors.c2]]\ncgroup.cpuset = \"0\"";
    assert_eq!(free(off, machine), "0-5");
    let unpinned = "[[processors.c2]]\ncgroup.cpuset = \"0\"\npinning = \"off\"";
    assert_eq!(free(unpinned, machine), "0-5");
}

#[test]
fn a_core_is_free_with_all_of_its_threads_or_not_at_all() {
    let machine = "pack:1 l3:2 core:2 pu:2(indexes=0,4,1,5,2,6,3,7)";
    assert_eq!(free("[[processors.c2]]\ncgroup.cpuset = \"4\"", machine), "1-3,5-7");
    pc1(machine, "concurrent = 1", "1-3,5-7");
    // An entry may name one thread of each core only.
    pc1(machine, "concurrent = 2\ncgroup.cpuset = \"0-3\"", "1,3,5,7");
}

#[test]
fn only_granted_cores_count_as_a_group() {
    let machine = "pack:1 l3:2 core:4 pu:1";
    // One core of the first group, four of the second: a task of two fits in the second only.
    pc1(machine, &format!("concurrent = 1\ncgroup.cpuset = \"3-7\"\n{MULTICORE_1}"), "0-3,6,7");
    pc1(machine, &format!("concurrent = 2\ncgroup.cpuset = \"3-7\"\n{MULTICORE_1}"), "0-3");
}

/// What is said about one pc1 entry on two groups of four cores.
fn check(keys: &str, ours: Option<Ours>, said: &[&str]) {
    let hardware = Description::of_text("pack:1 l3:2 core:4 pu:1").read().unwrap();
    let config = config(&format!("[[processors.pc1]]\n{keys}"));
    let mut found = Diagnostics::default();
    super::check(&config.processors, &hardware, &|_| ours, &mut found);
    let found: Vec<_> = found.iter().map(|d| format!("{} {}", d.code, d.message)).collect();
    assert_eq!(found, said, "{keys}");
}

#[test]
fn groups_of_unequal_size_are_warned_about_where_several_cores_label() {
    let keys = |cpus: &str, more: &str| format!("cgroup.cpuset = \"{cpus}\"\n{more}");
    let said = "SP306 1 of 2 L3 groups gives fewer than 4 cores: cpus 0,1";
    check(&keys("0,1,4-7", MULTICORE_1), None, &[said]);
    check(&keys("0,1,4-7", ""), None, &[]);
    check(&keys("0,1,4,5", MULTICORE_1), None, &[]);
    check(&keys("0-2", MULTICORE_1), None, &[]);
}

#[test]
fn tasks_that_have_no_cores_are_warned_about() {
    let keys = |n: usize, more: &str| format!("concurrent = {n}\n{more}");
    check(&keys(8, ""), None, &[]);
    check(&keys(9, ""), None, &["SP307 9 tasks, one core each, take 9 cores, and the entry has 8"]);
    check(&keys(4, MULTICORE_1), None, &[]);
    let said = "SP307 5 tasks, 2 cores each, take 10 cores, and the entry has 8";
    check(&keys(5, MULTICORE_1), None, &[said]);
    check(&keys(5, MULTICORE_1), Some(Ours::Reference), &[said]);
}

#[test]
fn our_own_pc1_puts_four_tasks_on_a_core() {
    check(&format!("concurrent = 32\n{MULTICORE_1}"), Some(Ours::Pc1), &[]);
    check(
        "concurrent = 33",
        Some(Ours::Pc1),
        &["SP307 33 tasks, at most 4 to a core, take 9 cores, and the entry has 8"],
    );
}
