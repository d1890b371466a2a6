// SPDX-License-Identifier: MIT OR Apache-2.0

//! Every MUST of SPEC.md that can be seen from outside has a check of a processor and one of a
//! worker, or a reason why not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use sealpipe_conformance::{check::Check, suite, worker};
use sealpipe_protocol::Stage;

/// Why no check of a processor, or none of a worker, proves a rule.
const WORKER: &str = "binds the worker alone";
const PROCESSOR: &str = "binds the processor alone";
const OF_PROOFS: &str =
    "is about the large results of stages that the suite's own processor does not serve";
const TEXT: &str =
    "binds whoever writes the specification; protocol/tests and tests/tidy look after it";

/// Rules with a MUST and without a check of a processor, and why.
const WITHOUT_CHECK: &[(u16, &str)] = &[
    (2, WORKER),
    (7, WORKER),
    (9, WORKER),
    (37, WORKER),
    (38, WORKER),
    (59, WORKER),
    (63, WORKER),
    (73, WORKER),
    (92, WORKER),
    (120, TEXT),
    (121, TEXT),
    (122, TEXT),
    (123, TEXT),
    (124, TEXT),
    (125, TEXT),
];

/// Rules with a MUST and without a check of a worker, and why.
const WITHOUT_WORKER_CHECK: &[(u16, &str)] = &[
    (6, PROCESSOR),
    (34, PROCESSOR),
    (36, PROCESSOR),
    (40, PROCESSOR),
    (51, PROCESSOR),
    (52, PROCESSOR),
    (53, PROCESSOR),
    (54, PROCESSOR),
    (55, PROCESSOR),
    (56, PROCESSOR),
    (58, PROCESSOR),
    (70, PROCESSOR),
    (71, PROCESSOR),
    (72, PROCESSOR),
    (74, PROCESSOR),
    (81, PROCESSOR),
    (90, PROCESSOR),
    (95, PROCESSOR),
    (96, PROCESSOR),
    (97, PROCESSOR),
    (98, PROCESSOR),
    (102, OF_PROOFS),
    (110, PROCESSOR),
    (111, PROCESSOR),
    (112, PROCESSOR),
    (114, PROCESSOR),
    (115, PROCESSOR),
    (116, PROCESSOR),
    (117, PROCESSOR),
    (118, PROCESSOR),
    (120, TEXT),
    (121, TEXT),
    (122, TEXT),
    (123, TEXT),
    (124, TEXT),
    (125, TEXT),
];

/// All rules of SPEC.md, by number.
fn rules() -> BTreeMap<u16, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../schemas/v1/SPEC.md");
    let text = fs::read_to_string(path).unwrap();
    let mut rules: BTreeMap<u16, String> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some((number, rest)) = line.strip_prefix("- **R-").and_then(|l| l.split_once("** "))
        {
            current = Some(number.parse().unwrap());
            rules.insert(number.parse().unwrap(), rest.to_owned());
        } else if !line.starts_with("  ") {
            current = None;
        } else if let Some(text) = current.and_then(|number| rules.get_mut(&number)) {
            *text += line;
        }
    }
    assert_eq!(rules.len(), text.matches("**R-").count());
    assert!(rules.len() > 50, "only {} rules were found", rules.len());
    rules
}

/// The checks of all stages, each once.
fn checks() -> BTreeMap<&'static str, Check> {
    let stages = Stage::ALL.iter().flat_map(|stage| suite::checks(stage.name()));
    stages.map(|check| (check.id, check)).collect()
}

/// Each MUST has one of these checks or a reason for having none, and none has both.
fn all_are_checked(checks: &[Check], excused: &[(u16, &str)]) {
    let checked: BTreeSet<u16> = checks.iter().flat_map(|check| check.rules).copied().collect();
    for (number, text) in rules() {
        let reason = excused.iter().find(|(excused, _)| *excused == number);
        match (text.contains("MUST"), checked.contains(&number), reason) {
            (true, false, None) => panic!("R-{number:03} has no check: {text}"),
            (_, true, Some((_, reason))) => {
                panic!("R-{number:03} has a check and is said to have none, since it {reason}");
            }
            _ => {}
        }
    }
}

#[test]
fn every_rule_that_can_be_seen_is_checked() {
    all_are_checked(&checks().into_values().collect::<Vec<_>>(), WITHOUT_CHECK);
}

#[test]
fn every_rule_that_binds_a_worker_is_checked_on_a_worker() {
    all_are_checked(&worker::checks(), WITHOUT_WORKER_CHECK);
    let binds = |table: &[(u16, &str)], whom| {
        let all = table.iter().filter(|(_, reason)| *reason == whom).map(|(number, _)| *number);
        all.collect::<BTreeSet<u16>>()
    };
    let nobody = &binds(WITHOUT_CHECK, WORKER) & &binds(WITHOUT_WORKER_CHECK, PROCESSOR);
    assert!(nobody.is_empty(), "each is said to bind the other alone: {nobody:?}");
}

#[test]
fn checks_name_rules_that_exist_and_ids_that_are_their_own() {
    let rules = rules();
    for check in checks().into_values().chain(worker::checks()) {
        assert!(!check.rules.is_empty(), "{} proves nothing", check.id);
        for number in check.rules {
            assert!(rules.contains_key(number), "{}: R-{number:03} does not exist", check.id);
        }
    }
    let of_stages = Stage::ALL.iter().map(|stage| suite::checks(stage.name()));
    for checks in of_stages.chain([worker::checks()]) {
        let ids: Vec<_> = checks.iter().map(|check| check.id).collect();
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len(), distinct.len(), "an id is used twice in {ids:?}");
        assert!(ids.is_sorted(), "{ids:?}");
    }
}

#[test]
fn the_readme_knows_the_sections_of_all_checks() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let sections: Vec<_> = rows.filter_map(|ids| ids.split_once(" to ")).collect();
    let ids: Vec<_> = suite::checks("echo").iter().map(|check| check.id).collect();
    for (first, last) in &sections {
        assert!(ids.contains(first) && ids.contains(last), "{first} to {last}");
    }
    for id in ids {
        let within = sections.iter().filter(|(first, last)| (*first..=*last).contains(&id));
        assert_eq!(within.count(), 1, "{id} in {sections:?}");
    }
}
