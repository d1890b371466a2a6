// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is to be said about a configuration, and how it looks.
//!
//! Messages are lowercase, without a full stop, and name the value and what was allowed; the hint is
//! the next action. All that is wrong with a file is said in one go.

use std::fmt::{self, Write};

use super::{
    code::Code,
    source::{Source, Span},
};

/// Longest piece of a source line that is shown, in characters.
const MAX_EXCERPT_CHARS: usize = 120;

/// Longest value that is repeated in a message, in characters.
const MAX_QUOTED_CHARS: usize = 60;

/// Most diagnostics that people are shown.
const MAX_SHOWN: usize = 200;

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Probably not what was meant; the configuration works.
    Warning,
    /// Nothing is started with this configuration.
    Error,
}

impl Severity {
    /// The word that stands before the message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing to be said about a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it is about; says how much it matters.
    pub code: Code,
    /// What is the matter, in one line.
    pub message: String,
    /// Where it is; `None` when it is about the file as a whole.
    pub span: Option<Span>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A diagnostic about one place.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: Some(span), hint: None }
    }

    /// A diagnostic about the file as a whole.
    pub fn whole_file(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None, hint: None }
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The text that people see: position, source line, underline, hint. Ends with a newline. A note
    /// goes without source line and underline: nothing is wrong there.
    ///
    /// Control characters of the source are replaced, so that a file cannot steer a terminal.
    pub fn render(&self, source: &Source) -> String {
        let mut text =
            format!("{}[{}]: {}\n", self.severity(), self.code, printable(&self.message));
        match self.span {
            Some(span) => {
                let indent = " ".repeat(span.line.to_string().len());
                let (name, line, column) = (printable(source.name()), span.line, span.column);
                push_line(&mut text, format_args!("{indent}--> {name}:{line}:{column}"));
                if self.severity() > Severity::Note {
                    render_excerpt(&mut text, source, span);
                }
            }
            None => push_line(&mut text, format_args!(" --> {}", printable(source.name()))),
        }
        if let Some(hint) = &self.hint {
            push_line(&mut text, format_args!("hint: {}", printable(hint)));
        }
        text
    }
}

/// The diagnostics of one configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Says something about a place, and gives it back, so that a hint can be added.
    pub fn say(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Diagnostic::new(code, span, message))
    }

    /// Adds a diagnostic and gives it back.
    pub fn push(&mut self, diagnostic: Diagnostic) -> &mut Diagnostic {
        self.0.push(diagnostic);
        self.0.last_mut().expect("one was pushed in the line above")
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.iter().filter(|diagnostic| diagnostic.severity() == severity).count()
    }

    /// All of them, in the order of [`Diagnostics::sort`] once that was called.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Puts them in the order of the file; what is about the whole file comes first.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|diagnostic| diagnostic.span.map(|span| span.start));
    }

    /// All that matter at least as much as `least`, as people see them, an empty line between two.
    /// Of very many, the first of the file.
    pub fn render(&self, source: &Source, least: Severity) -> String {
        let wanted: Vec<_> = self.iter().filter(|d| d.severity() >= least).collect();
        let shown = wanted.iter().take(MAX_SHOWN);
        let mut texts: Vec<_> = shown.map(|diagnostic| diagnostic.render(source)).collect();
        if let Some(more) = wanted.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
            texts.push(format!("and {more} more\n"));
        }
        texts.join("\n")
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<T: IntoIterator<Item = Diagnostic>>(&mut self, iter: T) {
        self.0.extend(iter);
    }
}

/// A value of the file inside a message: in backticks, cut when it is long.
pub(crate) fn quoted(value: &str) -> String {
    let mut chars = value.chars();
    let shown: String = chars.by_ref().take(MAX_QUOTED_CHARS).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("`{shown}{rest}`")
}

/// Appends the source line and the underline.
fn render_excerpt(text: &mut String, source: &Source, span: Span) {
    let Span { line, column, .. } = span;
    let gutter = line.to_string();
    let blank = " ".repeat(gutter.len());
    let chars: Vec<char> = source.line(line).chars().collect();
    // A long line is shown from shortly before the place.
    let first = if chars.len() <= MAX_EXCERPT_CHARS { 0 } else { (column - 1).saturating_sub(20) };
    let last = chars.len().min(first + MAX_EXCERPT_CHARS);
    let shown: String = chars.get(first..last).unwrap_or_default().iter().collect();
    let shown = printable(&shown);
    let before: String = shown
        .chars()
        .take(column - 1 - first)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let marked = source.text()[span.start..span.end].lines().next().unwrap_or("");
    let room = (last + 1).saturating_sub(column);
    let carets = "^".repeat(marked.chars().count().min(room).max(1));

    push_line(text, format_args!("{blank} |"));
    push_line(text, format_args!("{gutter} | {shown}"));
    push_line(text, format_args!("{blank} | {before}{carets}"));
}

/// Appends one line, without blanks at its end.
fn push_line(text: &mut String, line: fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a string cannot fail");
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// The text with control characters replaced.
fn printable(text: &str) -> String {
    let visible =
        |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bytes: std::ops::Range<usize>, expected: &str) {
        let source = Source::new("worker.toml", text);
        let diagnostic =
            Diagnostic::new(Code::UnknownKey, source.span(bytes), "odd").hint("mend it");
        assert_eq!(diagnostic.render(&source), expected);
    }

    #[test]
    fn the_place_is_underlined() {
        check(
            "a = 1\nbad = \"x\"\n",
            12..15,
            "warning[SP101]: odd\n --> worker.toml:2:7\n  |\n2 | bad = \"x\"\n  |       ^^^\nhint: mend it\n",
        );
    }

    #[test]
    fn a_place_of_several_lines_is_underlined_on_its_first_line() {
        check(
            "a = [\n1]",
            4..8,
            "warning[SP101]: odd\n --> worker.toml:1:5\n  |\n1 | a = [\n  |     ^\nhint: mend it\n",
        );
    }

    #[test]
    fn an_empty_place_has_one_caret() {
        check(
            "",
            0..0,
            "warning[SP101]: odd\n --> worker.toml:1:1\n  |\n1 |\n  | ^\nhint: mend it\n",
        );
    }

    #[test]
    fn tabs_stay_and_control_characters_go() {
        check(
            "\ta\u{1b}=1",
            1..2,
            "warning[SP101]: odd\n --> worker.toml:1:2\n  |\n1 | \ta\u{fffd}=1\n  | \t^\nhint: mend it\n",
        );
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let text = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let source = Source::new("w", text);
        let rendered = Diagnostic::new(Code::WrongType, source.span(300..600), "m").render(&source);
        let lines: Vec<_> = rendered.lines().collect();
        assert_eq!(lines[3].chars().count(), MAX_EXCERPT_CHARS + 4);
        assert_eq!(lines[3].find('X'), lines[4].find('^'));
        assert_eq!(lines[4].chars().count(), lines[3].chars().count());
    }
}
