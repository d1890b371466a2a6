// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a simulation reads: configurations with changed values, profiles, sealed sectors.

use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sealpipe_protocol::Stage;

use crate::{
    cli::Failure,
    config::{self, Processors, Severity, Source},
    pipeline::{record::Record, store},
    simulate::{self, Profile, Written},
};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Sectors of which durations are taken; more do not make the mean better.
const MAX_SECTORS: usize = 10_000;

/// How sectors come, as the command line says it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Arrivals {
    /// There is always another.
    Unlimited,
    /// One after each such interval.
    Every(Duration),
}

impl FromStr for Arrivals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let expected =
            || format!("expected `unlimited` or such as 200/day or 8/hour, got {text:?}");
        let (number, unit) = text.split_once('/').ok_or_else(expected)?;
        let seconds = match unit {
            "day" => 24.0 * 3_600.0,
            "hour" => 3_600.0,
            _ => return Err(expected()),
        };
        let number: f64 = number.parse().map_err(|_| expected())?;
        // One a millisecond is more than any machine can take.
        let fits = number > 0.0 && (1e-3..1e9).contains(&(seconds / number));
        if fits {
            Ok(Self::Every(Duration::from_secs_f64(seconds / number)))
        } else {
            Err(expected())
        }
    }
}

/// A configuration that can be simulated.
pub struct Configured {
    /// What it says.
    pub processors: Processors,
    /// What of it damocles reads in another way.
    pub written: Written,
    /// Stages for which a ready file stands in.
    pub ready: Vec<Stage>,
}

/// Reads a configuration and changes values of it.
///
/// # Errors
/// It cannot be read or used.
pub fn configuration(
    path: &Path,
    changes: &[String],
    profile: &Profile,
) -> Result<Configured, Failure> {
    let loaded = config::load(path);
    let mut source = loaded.source;
    let mut parsed = loaded.parsed;
    if !changes.is_empty() && !source.text().is_empty() {
        let mut text = source.text().to_owned();
        for change in changes {
            text = simulate::apply(&text, change).map_err(|error| {
                Failure::new(format!("--set {change}: {error}"))
                    .hint("`docs/configuration.md` has the keys")
            })?;
        }
        source = Source::new(format!("{} with --set", path.display()), text);
        parsed = config::parse(&source);
    }
    eprint!("{}", parsed.diagnostics().render(&source, Severity::Warning));
    let Some(config) = parsed.config() else {
        return Err(Failure::new(format!("{} cannot be used", path.display()))
            .hint(format!("`sealpipe check {}` shows all that is to be said", path.display())));
    };
    let sizes = config.processors.static_tree_d.keys().map(|proof| proof.size_name());
    let ready = sizes.filter(|size| *size == profile.size).map(|_| Stage::TreeD).collect();
    let written = Written::read(source.text());
    Ok(Configured { processors: config.processors.clone(), written, ready })
}

/// The durations: built in, from a file, or of sectors that were sealed here.
///
/// # Errors
/// What cannot be read or makes no sense.
pub fn profile(path: Option<&Path>, measured: &[PathBuf]) -> Result<Profile, Failure> {
    let base = match path {
        None => Profile::default(),
        Some(path) => Profile::parse(path, &text(path)?)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?,
    };
    if measured.is_empty() {
        return Ok(base);
    }
    let mut records = Vec::new();
    for dir in measured {
        records.extend(records_in(dir)?);
    }
    simulate::measured(&records, base).map_err(|error| Failure::new(format!("--measured: {error}")))
}

/// The record of a sector's directory, or those of the directories in it.
fn records_in(dir: &Path) -> Result<Vec<Record>, Failure> {
    if let Some(record) = store::peek(dir) {
        return Ok(vec![record]);
    }
    let cannot = |error| Failure::new(format!("cannot read {}: {error}", dir.display()));
    let entries = fs::read_dir(dir).map_err(cannot)?;
    let mut dirs: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    dirs.sort();
    let records: Vec<Record> =
        dirs.iter().filter_map(|dir| store::peek(dir)).take(MAX_SECTORS).collect();
    match records.is_empty() {
        true => Err(Failure::new(format!("there is no sector in {}", dir.display()))
            .hint("a sector's directory has a sector.json")),
        false => Ok(records),
    }
}

/// A text file of a bearable size.
///
/// # Errors
/// It cannot be read.
pub fn text(path: &Path) -> Result<String, Failure> {
    let cannot = |why: String| Failure::new(format!("cannot read {}: {why}", path.display()));
    let size = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(cannot(format!("it has {size} bytes, at most {MAX_BYTES} are read")));
    }
    fs::read_to_string(path).map_err(|error| cannot(error.to_string()))
}
