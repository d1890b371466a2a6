// SPDX-License-Identifier: MIT OR Apache-2.0

//! README's tour, command by command: what is shown there is what a reader sees.

use std::fs;

use sealpipe_tests::{
    Bench, root,
    tour::{Step, steps, unvarying},
};

use crate::proof::PROOF_LIMIT;

/// Walks the tour in the bench's directory. It leaves the sector `sector` of the piece `piece.bin`.
pub fn walk(bench: &Bench) {
    fs::copy(root().join("LICENSE-APACHE"), bench.path("LICENSE-APACHE")).unwrap();
    let steps = steps("README.md");
    assert!(steps.len() >= 6, "README has {} commands", steps.len());
    for step in steps {
        match step.command.strip_prefix("cat ") {
            Some(name) => drop(bench.write(name, step.shown.join("\n") + "\n")),
            None => check(bench, &step),
        }
    }
}

fn check(bench: &Bench, step: &Step) {
    let line = format!("{{ {} ; }} 2>&1", step.command);
    let text = bench.start_shell(&line).end_within(PROOF_LIMIT).stdout;
    let here = bench.path("").canonicalize().unwrap().display().to_string();
    let text = text.replace(here.trim_end_matches('/'), "/home/me");
    let told = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        lines.filter_map(unvarying).collect()
    };
    let expected = told(&mut step.shown.iter().map(String::as_str));
    let got = told(&mut text.lines());
    assert_eq!(got, expected, "\n$ {}\n{text}", step.command);
}
