// SPDX-License-Identifier: MIT OR Apache-2.0

//! JUnit's XML, as build servers read it.

use std::fmt::Write;

use super::Report;
use crate::suite::{Outcome, Status};

/// The whole file. A warning is a test that passed, with a word in its `system-out`.
pub fn render(report: &Report<'_>) -> String {
    let took: f64 = report.outcomes.iter().map(|o| o.took.as_secs_f64()).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" \
         time=\"{took:.3}\">\n",
        escape(&format!("sealpipe-conformance {}: {}", report.stage, report.command_line())),
        report.outcomes.len(),
        report.count(Status::Failed),
        report.count(Status::Fault),
        report.count(Status::Skipped),
    );
    for outcome in report.outcomes {
        case(&mut xml, outcome);
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn case(xml: &mut String, outcome: &Outcome) {
    let check = &outcome.check;
    let detail = escape(&outcome.detail);
    let inner = match outcome.status {
        Status::Passed if detail.is_empty() => String::new(),
        Status::Passed => format!("<system-out>{detail}</system-out>"),
        Status::Failed => format!("<failure message=\"{detail}\"/>"),
        Status::Fault => format!("<error message=\"{detail}\"/>"),
        Status::Skipped => format!("<skipped message=\"{detail}\"/>"),
        Status::Warned => format!("<system-out>warning: {detail}</system-out>"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        xml,
        "  <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.3}\">{inner}</testcase>",
        check.rule_names().join(" "),
        check.id,
        check.name,
        outcome.took.as_secs_f64(),
    );
}

/// XML's special characters, and those that XML 1.0 cannot carry at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            c if (c as u32) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_xml_cannot_carry_is_replaced() {
        assert_eq!(escape("a<b>&\"\u{0}\n"), "a&lt;b&gt;&amp;&quot;\u{fffd}&#10;");
    }
}
