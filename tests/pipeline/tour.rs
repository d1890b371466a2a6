// SPDX-License-Identifier: MIT OR Apache-2.0

//! README's tour, command by command: what is shown there is what a reader sees.

use std::fs;

use sealpipe_tests::{Bench, root};

use crate::proof::PROOF_LIMIT;

/// A command of the tour and what it is said to print.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// Walks the tour in the bench's directory. It leaves the sector `sector` of the piece `piece.bin`.
pub fn walk(bench: &Bench) {
    fs::copy(root().join("LICENSE-APACHE"), bench.path("LICENSE-APACHE")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() >= 6, "README has {} commands", steps.len());
    for step in steps {
        match step.command.strip_prefix("cat ") {
            Some(name) => drop(bench.write(name, step.shown.join("\n") + "\n")),
            None => check(bench, &step),
        }
    }
}

/// The commands of the blocks marked `console`.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match (inside, line.strip_prefix("$ "), steps.last_mut()) {
            (false, ..) => inside = line == "```console",
            (true, None, _) if line == "```" => inside = false,
            (true, Some(command), _) => {
                steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            }
            (true, None, Some(step)) => step.shown.push(line.to_owned()),
            (true, None, None) => panic!("README shows an output without a command: {line}"),
        }
    }
    steps
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

/// A line without what differs from run to run: process ids, times, and the proof, which is random.
/// How often a long stage says how far it is differs too, and the parameters are made only once.
fn unvarying(line: &str) -> Option<String> {
    let is_progress = line.ends_with('%') && line.contains(", ");
    if is_progress || line.starts_with("test parameters of ") {
        return None;
    }
    let mut words: Vec<String> = line.split_whitespace().map(word).collect();
    // A time is `0.05 s` on one machine and `1m 36s` on another: both are one `N`.
    words.dedup_by(|word, before| *before == "N" && (*word == "N" || *word == "s"));
    Some(words.join(" "))
}

fn word(word: &str) -> String {
    let is_proof = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = word.chars().all(|c| c.is_ascii_digit() || ".ms".contains(c))
        && word.starts_with(|c: char| c.is_ascii_digit());
    match (is_proof, is_number) {
        // CommD and CommR stand beside their CIDs, which are compared whole.
        (true, _) => "HEX".to_owned(),
        (_, true) => "N".to_owned(),
        _ => word.to_owned(),
    }
}
