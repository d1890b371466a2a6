// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of the sections share.

use super::{Processors, Source, parse};

/// Parses, and compares what is said, each as `severity line:column message` in the order of the
/// file. Gives back what was read, errors or not.
pub(crate) fn check_processors(text: &str, said: &[&str]) -> Processors {
    let parsed = parse(&Source::new("test", text));
    let mut actual: Vec<_> = parsed
        .diagnostics()
        .iter()
        .map(|d| {
            let span = d.span.expect("all that is said about a text has a place");
            format!("{} {}:{} {}", d.severity(), span.line, span.column, d.message)
        })
        .collect();
    let mut expected: Vec<_> = said.iter().map(|line| (*line).to_owned()).collect();
    actual.sort();
    expected.sort();
    assert_eq!(actual, expected, "{text}");
    parsed.draft().processors.clone()
}
