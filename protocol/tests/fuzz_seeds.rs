// SPDX-License-Identifier: MIT OR Apache-2.0

//! The inputs that fuzzing has found worth keeping, on every build: the rules are those of the fuzz
//! targets, in one file with them.

#[path = "../fuzz/src/invariants.rs"]
mod invariants;

use std::{fs, path::Path};

/// Holds all seeds of a target to its rules, whole and cut short.
fn check(target: &str, rule: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() > 10, "{target} has only {} seeds", paths.len());
    for path in paths {
        let seed = fs::read(&path).unwrap();
        // The test's output names the seed that broke a rule.
        println!("{}", path.display());
        for end in [seed.len(), seed.len() / 2, seed.len().saturating_sub(1)] {
            rule(&seed[..end]);
        }
    }
}

#[test]
fn frames_do_not_depend_on_the_split_and_the_buffer_is_bounded() {
    check("codec", invariants::codec);
}

#[test]
fn what_is_read_can_be_written_and_a_response_is_never_answered() {
    check("message", invariants::message);
}

#[test]
fn every_request_gets_one_response_whatever_surrounds_it() {
    check("peer", invariants::peer);
}
