// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules for documents.

use std::path::Path;

use crate::{none, sources};
use sealpipe_tests::root;

/// Targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        // Every second part is within backticks.
        let prose = line.split('`').step_by(2).filter(|_| !in_block);
        for part in prose {
            let starts = part.split("](").skip(1);
            found.extend(starts.filter_map(|target| target.split(')').next()));
        }
    }
    found
}

#[test]
fn links_are_found_in_prose_and_not_in_code() {
    let text = "a [b](c.md) and [`d`](e.md#f)\n```\n[g](h)\n```\n`[i](j)`";
    assert_eq!(links(text), ["c.md", "e.md#f"]);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for document in sources().iter().filter(|source| source.is(&[".md"])) {
        let dir = root().join(&document.path);
        let dir = dir.parent().unwrap_or(Path::new("/"));
        for link in links(&document.text) {
            let path = link.split('#').next().unwrap_or_default();
            let outside = link.contains("://") || link.starts_with("mailto:");
            if !outside && !path.is_empty() && !dir.join(path).exists() {
                wrong.push(format!("{}: {link}", document.path));
            }
        }
    }
    none(wrong);
}
