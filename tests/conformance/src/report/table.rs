// SPDX-License-Identifier: MIT OR Apache-2.0

//! A table for people.

use std::io::{self, Write};

use super::Report;
use crate::{
    check::{Check, Pace},
    suite::{Outcome, Status},
};

/// How it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Words alone, for files and pipes.
    Plain,
    /// With a line of headings, and colours (ECMA-48).
    Terminal,
}

impl Style {
    /// `text` in the colour of a status.
    fn paint(self, status: Status, text: &str) -> String {
        if self == Self::Plain {
            return text.to_owned();
        }
        let colour = match status {
            Status::Passed => "32",
            Status::Failed | Status::Fault => "1;31",
            Status::Warned => "33",
            Status::Skipped => "2",
        };
        format!("\x1b[{colour}m{text}\x1b[0m")
    }

    /// `text` as a heading.
    fn heading(self, text: &str) -> String {
        if self == Self::Plain { text.to_owned() } else { format!("\x1b[1m{text}\x1b[0m") }
    }
}

/// All outcomes, a line each, the reasons below those that did not simply pass, and the sum.
pub fn write(out: &mut impl Write, report: &Report<'_>, style: Style) -> io::Result<()> {
    let width = report.outcomes.iter().map(|o| o.check.name.len()).max().unwrap_or(0);
    if style == Style::Terminal {
        let headings =
            format!("{:<7} {:<6}{:<width$} {:<6} {:>9}  rules", "", "check", "", "level", "time");
        writeln!(out, "{}", style.heading(&headings))?;
    }
    for outcome in report.outcomes {
        let check = &outcome.check;
        writeln!(
            out,
            "{} {} {:<width$} {:<6} {:>7.2} s  {}",
            style.paint(outcome.status, &format!("{:<7}", mark(outcome.status))),
            check.id,
            check.name,
            check.level.name(),
            outcome.took.as_secs_f64(),
            check.rule_names().join(" "),
        )?;
        if !outcome.detail.is_empty() {
            writeln!(out, "        {}", style.paint(outcome.status, &printable(&outcome.detail)))?;
        }
    }
    writeln!(out, "{}", style.heading(&sum(report)))
}

fn sum(report: &Report<'_>) -> String {
    let count = |status| report.count(status);
    let mut sum = format!(
        "{} passed, {} failed, {} warned, {} skipped",
        count(Status::Passed),
        count(Status::Failed),
        count(Status::Warned),
        count(Status::Skipped),
    );
    match count(Status::Fault) {
        0 => {}
        n => sum += &format!(", {n} where the suite itself failed"),
    }
    let second = |outcome: &&Outcome| outcome.looks > 1 && outcome.status == Status::Passed;
    match report.outcomes.iter().filter(second).count() {
        0 => {}
        n => sum += &format!(" ({n} passed at a second look only: is this machine busy?)"),
    }
    sum
}

/// A text of whatever origin without what a terminal would act upon.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// All checks with their rules.
pub fn list(out: &mut impl Write, checks: &[Check]) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let (level, rules) = (check.level.name(), check.rule_names().join(" "));
        let patient = if check.pace == Pace::Patient { "  (--patient)" } else { "" };
        writeln!(out, "{} {:<width$} {level:<6} {rules}{patient}", check.id, check.name)?;
    }
    Ok(())
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Passed => "pass",
        Status::Failed => "FAIL",
        Status::Warned => "warn",
        Status::Skipped => "skip",
        Status::Fault => "FAULT",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The table of one check that ended so.
    fn table(status: Status, detail: &str, looks: u32, style: Style) -> String {
        let check = Check::must("P-001", "speaks", &[1], |_| Ok(()));
        let took = Duration::from_millis(1_500);
        let late = false;
        let outcomes = [Outcome { check, status, detail: detail.into(), took, late, looks }];
        let report = Report { stage: "echo", command: &[], outcomes: &outcomes };
        let mut out = Vec::new();
        write(&mut out, &report, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_words_alone_and_nothing_that_a_terminal_acts_upon() {
        assert_eq!(
            table(Status::Failed, "said \"\x1b[2J\"", 2, Style::Plain),
            "FAIL    P-001 speaks MUST      1.50 s  R-001\n        said \"\\u{1b}[2J\"\n\
             0 passed, 1 failed, 0 warned, 0 skipped\n"
        );
    }

    #[test]
    fn a_terminal_gets_headings_in_line_and_colours() {
        let shown = table(Status::Passed, "", 1, Style::Terminal);
        assert!(shown.contains("\x1b[32mpass   \x1b[0m P-001"), "{shown}");
        let plain = shown.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        let mut lines = plain.lines();
        let (headings, line) = (lines.next().unwrap(), lines.next().unwrap());
        for (heading, content) in [("check", "P-001"), ("level", "MUST"), ("rules", "R-001")] {
            assert_eq!(headings.find(heading), line.find(content), "\n{headings}\n{line}");
        }
    }

    #[test]
    fn a_second_look_is_said() {
        let shown = table(Status::Passed, "at first: late", 2, Style::Plain);
        assert!(shown.contains("        at first: late\n"), "{shown}");
        assert!(shown.ends_with("(1 passed at a second look only: is this machine busy?)\n"));
    }
}
