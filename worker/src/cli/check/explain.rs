// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a code means.

use std::io::{self, Write};

use serde_json::json;

use crate::config::{Code, code::About};

/// Columns of a paragraph.
const WIDTH: usize = 80;

/// Writes the explanation of a code.
pub(super) fn write(code: Code, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let About { id, severity, title, meaning, action } = *code.about();
    if as_json {
        let value = json!({
            "code": id,
            "severity": severity.name(),
            "title": title,
            "meaning": meaning,
            "action": action,
        });
        return writeln!(out, "{value:#}");
    }
    let paragraph = |text: &str| wrapped(text).join("\n");
    writeln!(out, "{id}, {severity}: {title}\n\n{}\n\n{}", paragraph(meaning), paragraph(action))
}

/// The text in lines.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_has_what_it_means_and_what_to_do() {
        let mut out = Vec::new();
        write(Code::UnusedLock, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "SP502, warning: lock not used\n\n\
             The lock is declared and no entry names it, so that it keeps nothing apart.\n\n\
             Name it in the `locks` of the entries that should take turns, or remove it.\n"
        );
    }

    #[test]
    fn long_texts_are_broken() {
        let lines = wrapped(&"word ".repeat(40));
        assert!(lines.len() == 3 && lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(wrapped(&"x".repeat(200)).len(), 1);
    }
}
