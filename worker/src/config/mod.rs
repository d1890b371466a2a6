// SPDX-License-Identifier: MIT OR Apache-2.0

//! The configuration: from text to a checked value, with positions.
//!
//! [`parse`] reads a damocles `worker.toml` or one written for sealpipe and collects all that is to
//! be said about it; [`Parsed::config`] gives the value out only when none of that is an error. What
//! lies outside `[processors]` is skipped and mentioned. `docs/configuration.md` describes every key.
//!
//! It decides nothing about the machine, which `topology` does, and reads no file but in [`load`].

pub mod code;
pub mod diagnostic;
mod document;
pub mod entry;
mod ext_locks;
mod impossible;
pub mod limitation;
mod limits;
pub mod placement;
pub mod processors;
pub mod program;
pub mod scheduling;
mod sharing;
pub mod source;
pub(crate) mod spelling;
mod stage_name;
pub mod static_tree_d;

#[cfg(test)]
pub(crate) mod test;

use std::{io::Read, path::Path};

pub use code::Code;
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use entry::Entry;
pub use limitation::Limitation;
pub use placement::{DEFAULT_GROUP, Device, Pinning, WORKER_GROUP};
pub use processors::Processors;
pub use program::Program;
pub use scheduling::Scheduling;
pub use source::{Source, Span};

use diagnostic::quoted;
use document::Section;
use stage_name::Known;

/// Largest configuration that is read, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 256 * 1024;

/// damocles' sections that are not about processors.
const SKIPPED: &[&str] = &[
    "attached",
    "attached_selection",
    "metrics",
    "remote_store",
    "sealing",
    "sealing_thread",
    "sector_manager",
    "worker",
];

/// A configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The processors, and what they share.
    pub processors: Processors,
}

/// A configuration as far as it could be read, and what is to be said about it.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    draft: Config,
    diagnostics: Diagnostics,
}

/// A configuration file that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The text, which the diagnostics need to be shown.
    pub source: Source,
    /// What it says.
    pub parsed: Parsed,
}

impl Parsed {
    /// The configuration, when nothing about it is an error.
    pub fn config(&self) -> Option<&Config> {
        (!self.diagnostics.has_errors()).then_some(&self.draft)
    }

    /// As much of the configuration as could be read, in order to check that further.
    pub fn draft(&self) -> &Config {
        &self.draft
    }

    /// What is to be said about it, in the order of the file.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.diagnostics
    }

    /// Adds what further checks have found.
    pub fn add(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(diagnostics);
        self.diagnostics.sort();
    }

    fn failed(diagnostic: Diagnostic) -> Self {
        let mut parsed = Self::default();
        parsed.diagnostics.push(diagnostic);
        parsed
    }
}

/// Reads a configuration.
pub fn parse(source: &Source) -> Parsed {
    let document = match document::parse(source) {
        Ok(document) => document,
        Err(error) => return Parsed::failed(error),
    };
    let mut found = Diagnostics::default();
    let mut draft = Config::default();
    let mut skipped = Vec::new();
    for field in Section::root(source, &document).fields() {
        if field.key == "processors" {
            let section = field.section(&mut found);
            draft.processors =
                section.map(|s| processors::read(&s, &mut found)).unwrap_or_default();
        } else {
            skipped.extend(skip(field, &mut found));
        }
    }
    mention_skipped(&skipped, &mut found);
    found.sort();
    Parsed { draft, diagnostics: found }
}

/// Warns about what is outside of `[processors]` and probably belongs inside, and gives back what
/// does not.
fn skip<'a>(field: document::Field<'a>, found: &mut Diagnostics) -> Option<document::Field<'a>> {
    let key = field.key;
    if SKIPPED.contains(&key) {
        return Some(field);
    }
    let inside = stage_name::known(key) != Known::Not || processors::KEYS.contains(&key);
    let meant = if inside {
        format!("processors.{key}")
    } else if spelling::nearest(key, ["processors"]).is_some() {
        "processors".to_owned()
    } else {
        return Some(field);
    };
    let message = format!("{} is skipped: sealpipe reads `processors` only", quoted(key));
    found.say(Code::Misplaced, field.key_span, message).hint =
        Some(format!("did you mean `{meant}`?"));
    None
}

/// Mentions what is skipped, in one line: a damocles worker's file has eight such sections.
fn mention_skipped(skipped: &[document::Field<'_>], found: &mut Diagnostics) {
    let Some(first) = skipped.first() else { return };
    let names: Vec<_> = skipped.iter().map(|field| quoted(field.key)).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    let message = format!("{} {verb} skipped: sealpipe reads `processors` only", names.join(", "));
    found.say(Code::Skipped, first.key_span, message);
}

/// Reads a configuration file. That it cannot be read is a diagnostic like others.
pub fn load(path: &Path) -> Loaded {
    let name = path.display().to_string();
    let failed = |code, message: String| {
        let error = Diagnostic::whole_file(code, message);
        Loaded { source: Source::new(name.clone(), ""), parsed: Parsed::failed(error) }
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    // One byte more than allowed tells a file that is too long.
    match file.and_then(|file| file.take(MAX_CONFIG_BYTES + 1).read_to_end(&mut bytes)) {
        Err(error) => failed(Code::Unreadable, format!("cannot read the configuration: {error}")),
        Ok(_) if bytes.len() as u64 > MAX_CONFIG_BYTES => failed(
            Code::TooLong,
            format!("the configuration is longer than {MAX_CONFIG_BYTES} bytes"),
        ),
        Ok(_) => from_bytes(&name, bytes),
    }
}

/// Reads a configuration from bytes that may not be text.
pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Loaded {
    match String::from_utf8(bytes) {
        Ok(text) => {
            let source = Source::new(name, text);
            let parsed = parse(&source);
            Loaded { source, parsed }
        }
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let bad = error.as_bytes()[offset];
            let source = Source::new(name, String::from_utf8_lossy(error.as_bytes()));
            let span = source.span(offset..offset + 1);
            let message = format!("byte 0x{bad:02x} is not valid UTF-8");
            let error = Diagnostic::new(Code::NotText, span, message);
            Loaded { source, parsed: Parsed::failed(error) }
        }
    }
}
