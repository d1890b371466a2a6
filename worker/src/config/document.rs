// SPDX-License-Identifier: MIT OR Apache-2.0

//! Typed access to a parsed TOML document: sections, their fields, and what to say when a value has
//! another type than expected.
//!
//! It knows TOML and nothing of sealing.

use std::{ops::Range, time::Duration};

use toml_edit::{Document, Item, TableLike, TomlError, Value};

use super::{
    code::Code,
    diagnostic::{Diagnostic, Diagnostics, quoted},
    source::{Source, Span},
    spelling,
};

/// A table of the document, in whichever of TOML's forms it is written.
pub(crate) struct Section<'a> {
    source: &'a Source,
    table: &'a dyn TableLike,
    /// Dotted path from the root, empty for the root.
    path: String,
    /// The header, or the whole of an inline table.
    pub(crate) span: Span,
}

/// A key of a section and its value.
pub(crate) struct Field<'a> {
    source: &'a Source,
    /// The key, without the section's path.
    pub(crate) key: &'a str,
    /// Dotted path from the root.
    pub(crate) path: String,
    /// Where the key stands; for a table, its place in the header.
    pub(crate) key_span: Span,
    item: &'a Item,
}

/// The document, or the first syntax error with its place.
pub(crate) fn parse(source: &Source) -> Result<Document<&str>, Diagnostic> {
    Document::parse(source.text()).map_err(|error| syntax_error(source, &error))
}

fn syntax_error(source: &Source, error: &TomlError) -> Diagnostic {
    // Errors without a place are about the end of the text.
    let end = source.text().len();
    let span = source.span(error.span().unwrap_or(end..end));
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    Diagnostic::new(Code::Syntax, span, format!("not valid TOML: {message}"))
}

impl<'a> Section<'a> {
    /// The document's root table.
    pub(crate) fn root(source: &'a Source, document: &'a Document<&str>) -> Self {
        Self { source, table: document.as_table(), path: String::new(), span: source.span(0..0) }
    }

    /// The keys and values, in the order of the file.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        let Self { source, table, .. } = *self;
        let prefix = if self.path.is_empty() { String::new() } else { format!("{}.", self.path) };
        let fallback = self.span.start..self.span.start;
        table.iter().filter(|(_, item)| !item.is_none()).map(move |(key, item)| {
            let span = table.get_key_value(key).and_then(|(key, _)| key.span());
            Field {
                source,
                key,
                path: format!("{prefix}{key}"),
                key_span: source.span(span.unwrap_or(fallback.clone())),
                item,
            }
        })
    }

    /// One field.
    pub(crate) fn field(&self, key: &str) -> Option<Field<'a>> {
        self.fields().find(|field| field.key == key)
    }
}

impl<'a> Field<'a> {
    /// Where the value stands.
    pub(crate) fn span(&self) -> Span {
        self.span_of(self.item.span())
    }

    fn span_of(&self, bytes: Option<Range<usize>>) -> Span {
        // Tables that only dotted keys or longer headers imply have no place of their own.
        bytes.filter(|bytes| !bytes.is_empty()).map_or(self.key_span, |b| self.source.span(b))
    }

    /// A string.
    pub(crate) fn string(&self, found: &mut Diagnostics) -> Option<&'a str> {
        self.expect(self.item.as_str(), "a string", found)
    }

    /// A string of which `expected` says more.
    pub(crate) fn string_such_as(
        &self,
        expected: &str,
        found: &mut Diagnostics,
    ) -> Option<&'a str> {
        self.expect(self.item.as_str(), expected, found)
    }

    /// The value of an environment variable: a string, also for a number.
    pub(crate) fn env_value(&self, found: &mut Diagnostics) -> Option<&'a str> {
        let value = self.item.as_str();
        if value.is_none() {
            let (path, got) = (quoted(&self.path), article(self.item.type_name()));
            let span = self.span();
            let error =
                found.say(Code::WrongType, span, format!("{path} is {got}, expected a string"));
            if self.item.is_integer() || self.item.is_bool() || self.item.is_float() {
                let text = &self.source.text()[span.start..span.end];
                error.hint = Some(format!("put it in quotes: \"{text}\""));
            }
        }
        value
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, found: &mut Diagnostics) -> Option<bool> {
        self.expect(self.item.as_bool(), "true or false", found)
    }

    /// An integer of 0 or more.
    pub(crate) fn count(&self, found: &mut Diagnostics) -> Option<usize> {
        let integer = self.expect(self.item.as_integer(), "an integer of 0 or more", found)?;
        self.in_range(integer, "0 or more", found)
    }

    /// A C `int`.
    pub(crate) fn int(&self, found: &mut Diagnostics) -> Option<i32> {
        let integer = self.expect(self.item.as_integer(), "an integer", found)?;
        self.in_range(integer, "an integer of 32 bits", found)
    }

    fn in_range<T: TryFrom<i64>>(
        &self,
        value: i64,
        allowed: &str,
        found: &mut Diagnostics,
    ) -> Option<T> {
        let converted = T::try_from(value).ok();
        if converted.is_none() {
            found.say(
                Code::OutOfRange,
                self.span(),
                format!("{} is {value}, expected {allowed}", quoted(&self.path)),
            );
        }
        converted
    }

    /// A duration as people write it: `5s`, `1h 30min`.
    pub(crate) fn duration(&self, found: &mut Diagnostics) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as \"5s\" or \"1h 30min\"";
        let text = self.expect(self.item.as_str(), EXPECTED, found)?;
        match humantime::parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let (path, text) = (quoted(&self.path), quoted(text));
                let message = format!("{path} is {text}, expected {EXPECTED}: {error}");
                found.say(Code::Duration, self.span(), message);
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        choices: &[(&str, T)],
        found: &mut Diagnostics,
    ) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| quoted(word)).collect();
        let expected = words.join(" or ");
        let text = self.expect(self.item.as_str(), &expected, found)?;
        let choice = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if choice.is_none() {
            let (path, text) = (quoted(&self.path), quoted(text));
            found.say(
                Code::UnknownWord,
                self.span(),
                format!("{path} is {text}, expected {expected}"),
            );
        }
        choice
    }

    /// An array of strings, each with its place.
    pub(crate) fn strings(&self, found: &mut Diagnostics) -> Option<Vec<(&'a str, Span)>> {
        let array = self.expect(self.item.as_array(), "an array of strings", found)?;
        let mut strings = Vec::with_capacity(array.len());
        let mut all = true;
        for value in array {
            let span = self.span_of(value.span());
            match value.as_str() {
                Some(text) => strings.push((text, span)),
                None => {
                    all = false;
                    let (path, got) = (quoted(&self.path), article(value.type_name()));
                    found.say(
                        Code::WrongType,
                        span,
                        format!("{path} holds {got}, expected strings only"),
                    );
                }
            }
        }
        all.then_some(strings)
    }

    /// A table.
    pub(crate) fn section(&self, found: &mut Diagnostics) -> Option<Section<'a>> {
        let table = self.expect(self.item.as_table_like(), "a table", found)?;
        Some(self.as_section(table, self.span()))
    }

    /// An array of tables, in either form; empty for an empty array.
    pub(crate) fn sections(&self, found: &mut Diagnostics) -> Option<Vec<Section<'a>>> {
        match self.item {
            Item::ArrayOfTables(tables) => {
                Some(tables.iter().map(|t| self.as_section(t, self.span_of(t.span()))).collect())
            }
            Item::Value(Value::Array(array)) => {
                let mut sections = Vec::with_capacity(array.len());
                for value in array {
                    let span = self.span_of(value.span());
                    match value.as_inline_table() {
                        Some(table) => sections.push(self.as_section(table, span)),
                        None => {
                            let (path, got) = (quoted(&self.path), article(value.type_name()));
                            found.say(
                                Code::WrongType,
                                span,
                                format!("{path} holds {got}, expected tables only"),
                            );
                        }
                    }
                }
                Some(sections)
            }
            other => {
                let (path, got) = (quoted(&self.path), article(other.type_name()));
                let message = format!("{path} is {got}, expected an array of tables");
                found.say(Code::WrongType, self.key_span, message).hint =
                    Some(format!("write `[[{}]]`, also when there is only one", self.path));
                None
            }
        }
    }

    fn as_section(&self, table: &'a dyn TableLike, span: Span) -> Section<'a> {
        Section { source: self.source, table, path: self.path.clone(), span }
    }

    /// Says that nothing is known by this key, and what was probably meant. Of a dotted key its last
    /// part is compared: it may have been written too far out.
    pub(crate) fn unknown(&self, known: &[&'static str], found: &mut Diagnostics) {
        let message = format!("unknown key {} is ignored", quoted(&self.path));
        let warning = found.say(Code::UnknownKey, self.key_span, message);
        let last_part = |known: &'static str| known.rsplit('.').next().unwrap_or(known);
        let nearest = spelling::nearest(self.key, known.iter().copied().map(last_part));
        let meant = nearest.and_then(|part| known.iter().find(|known| last_part(known) == part));
        warning.hint = meant.map(|meant| format!("did you mean `{meant}`?"));
    }

    fn expect<T>(&self, value: Option<T>, expected: &str, found: &mut Diagnostics) -> Option<T> {
        if value.is_none() {
            let (path, got) = (quoted(&self.path), article(self.item.type_name()));
            found.say(
                Code::WrongType,
                self.span(),
                format!("{path} is {got}, expected {expected}"),
            );
        }
        value
    }
}

/// TOML's name of a type with its article.
fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}
