// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tours: the commands that a document shows, and what it says that they print.

use std::fs;

use crate::root;

/// A command of a tour and what it is said to print.
pub struct Step {
    /// The shell's line.
    pub command: String,
    /// The lines that follow it.
    pub shown: Vec<String>,
}

/// The commands of a document's blocks that are marked `console`.
#[track_caller]
pub fn steps(document: &str) -> Vec<Step> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match (inside, line.strip_prefix("$ "), steps.last_mut()) {
            (false, ..) => inside = line == "```console",
            (true, None, _) if line == "```" => inside = false,
            (true, Some(command), _) => {
                steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            }
            (true, None, Some(step)) => step.shown.push(line.to_owned()),
            (true, None, None) => {
                panic!("{document} shows an output without a command: {line}")
            }
        }
    }
    steps
}

/// A line without what differs from run to run: process ids, times, and the proof, which is random.
pub fn unvarying(line: &str) -> Option<String> {
    if comes_and_goes(line) {
        return None;
    }
    let mut words: Vec<String> = line.split_whitespace().map(word).collect();
    // A time is `0.05 s` on one machine and `1m 36s` on another: both are one `N`.
    words.dedup_by(|word, before| *before == "N" && (*word == "N" || *word == "s"));
    Some(words.join(" "))
}

/// Whether a line is there on some machines, or in some runs: how often a long stage says how far it is,
/// that parameters are made, which is done once, and what the machine lets a worker do, or has.
pub fn comes_and_goes(line: &str) -> bool {
    let is_progress = line.ends_with('%') && line.contains(", ");
    let begins = ["test parameters of ", "cores that no entry needs: ", "memory at most: "];
    is_progress
        || line.contains("control groups")
        || begins.iter().any(|begin| line.starts_with(begin))
}

fn word(word: &str) -> String {
    // At the end of a clause it is the same word.
    if let Some(before) = word.strip_suffix(',').filter(|before| is_number(before)) {
        return self::word(before) + ",";
    }
    // CommD and CommR stand beside their CIDs, which are compared whole.
    let is_proof = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    match (is_proof, is_number(word)) {
        (true, _) => "HEX".to_owned(),
        (_, true) => "N".to_owned(),
        _ => word.to_owned(),
    }
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit() || ".ms%/".contains(c))
        && word.starts_with(|c: char| c.is_ascii_digit())
}
