// SPDX-License-Identifier: MIT OR Apache-2.0

//! The text of a configuration, and places in it.
//!
//! A [`Span`] knows its line and column, so that whoever holds one needs no text to say where it is.

use std::ops::Range;

/// A configuration's text and what it is called in messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// Byte offset at which each line starts; never empty.
    line_starts: Vec<usize>,
}

/// A stretch of a [`Source`], never reaching outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte; at least `start`.
    pub end: usize,
    /// Line of the first byte, from 1.
    pub line: usize,
    /// Column of the first byte in characters, from 1.
    pub column: usize,
}

impl Source {
    /// Takes the text of the configuration that messages call `name`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let behind_newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let line_starts =
            std::iter::once(0).chain(behind_newlines.map(|(offset, _)| offset + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    /// What the configuration is called: a path, as the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place of a range of bytes; a range that reaches outside is cut.
    pub fn span(&self, bytes: Range<usize>) -> Span {
        let start = self.char_boundary(bytes.start);
        let end = self.char_boundary(bytes.end).max(start);
        let line = self.line_starts.partition_point(|line_start| *line_start <= start);
        let line_start = self.line_starts[line - 1];
        let column = self.text[line_start..start].chars().count() + 1;
        Span { start, end, line, column }
    }

    /// A line without its end, or the empty string for a line that is not there.
    pub fn line(&self, line: usize) -> &str {
        let Some(start) = line.checked_sub(1).and_then(|idx| self.line_starts.get(idx)) else {
            return "";
        };
        let end = self.line_starts.get(line).copied().unwrap_or(self.text.len());
        self.text[*start..end].trim_end_matches(['\n', '\r'])
    }

    /// The nearest offset at or before `offset` at which a character starts.
    fn char_boundary(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset.min(self.text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bytes: Range<usize>, expected: (usize, usize)) {
        let span = Source::new("test", text).span(bytes);
        assert_eq!((span.line, span.column), expected, "{text:?}");
        assert!(span.start <= span.end && span.end <= text.len());
    }

    #[test]
    fn lines_and_columns_count_from_one_and_columns_count_characters() {
        check("", 0..0, (1, 1));
        check("ab", 1..2, (1, 2));
        check("ab\ncd", 3..4, (2, 1));
        check("ab\r\ncd", 5..6, (2, 2));
        check("äö=1", 4..5, (1, 3));
        check("ab\n", 3..3, (2, 1));
    }

    #[test]
    fn what_reaches_outside_or_splits_a_character_is_cut() {
        check("ab", 7..9, (1, 3));
        check("ä", 1..2, (1, 1));
        #[expect(clippy::reversed_empty_ranges, reason = "that is the case under test")]
        check("abc", 2..1, (1, 3));
    }

    #[test]
    fn a_line_comes_without_its_end() {
        let source = Source::new("test", "one\r\ntwo\n\nfour");
        let lines: Vec<_> = (0..6).map(|n| source.line(n)).collect();
        assert_eq!(lines, ["", "one", "two", "", "four", ""]);
    }
}
