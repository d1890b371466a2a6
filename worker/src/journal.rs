// SPDX-License-Identifier: MIT OR Apache-2.0

//! Journals: one event a line, as JSON, with its time. One lies in each sector's directory, and a
//! daemon keeps one of its own.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::{
    event::{Event, Observer, now_ms},
    pipeline::store::{SectorDir, StoreError},
};

/// A line of a journal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Milliseconds since 1970.
    at_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// An event as a line.
fn line(event: &Event) -> Option<String> {
    let mut text = serde_json::to_string(&Line { at_ms: now_ms(), event }).ok()?;
    text.push('\n');
    Some(text)
}

/// The journals of the sectors that are being sealed.
#[derive(Default)]
pub struct Journals(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Each sector's journal, by its name.
    files: BTreeMap<String, File>,
    /// The line of each processor that is ready: a journal that begins later tells of it as well.
    ready: BTreeMap<String, String>,
}

/// A journal that is written until this is dropped.
#[must_use]
pub struct Writing {
    journals: Arc<Journals>,
    sector: String,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.journals.inner().files.remove(&self.sector);
    }
}

impl Journals {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to write down what happens to a sector.
    pub fn add(self: &Arc<Self>, dir: &SectorDir) -> Result<Writing, StoreError> {
        let file = dir.journal()?;
        let mut inner = self.inner();
        for line in inner.ready.values() {
            let _ = (&file).write_all(line.as_bytes());
        }
        let sector = dir.record.sector.name();
        inner.files.insert(sector.clone(), file);
        Ok(Writing { journals: self.clone(), sector })
    }

    /// An observer that writes events down and tells `shown` of them.
    pub fn observer(self: &Arc<Self>, shown: Observer) -> Observer {
        let journals = self.clone();
        Observer::new(move |event| {
            journals.write(event);
            shown.tell(event);
        })
    }

    fn write(&self, event: &Event) {
        let Some(text) = line(event).filter(|_| !event.is_of_daemon()) else { return };
        let mut inner = self.inner();
        // The journal tells a story; a disk too full to tell it stops the stages by itself.
        match event.sector() {
            Some(sector) => {
                if let Some(mut file) = inner.files.get(sector) {
                    let _ = file.write_all(text.as_bytes());
                }
            }
            None => inner.files.values().for_each(|mut file| drop(file.write_all(text.as_bytes()))),
        }
        match event {
            Event::ProcessorReady { processor, .. } => {
                inner.ready.insert(processor.clone(), text);
            }
            Event::ProcessorDied { processor, .. } => {
                inner.ready.remove(processor);
            }
            _ => {}
        }
    }
}

/// Size at which a daemon's journal is set aside and begun anew, in bytes: together with the one set
/// aside some ten thousand sectors.
const MAX_BYTES: u64 = 64 << 20;

/// A daemon's journal, which never takes more than twice a bound.
pub struct Rotating {
    path: PathBuf,
    inner: Mutex<Open>,
    max_bytes: u64,
}

struct Open {
    file: File,
    bytes: u64,
}

impl Rotating {
    /// Goes on with the journal in a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_bound(path, MAX_BYTES)
    }

    fn with_bound(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let inner = Mutex::new(Open::at(path)?);
        Ok(Self { path: path.to_owned(), inner, max_bytes })
    }

    /// Writes an event down. How far a stage is comes too often, and is in the sector's own journal.
    pub fn write(&self, event: &Event) {
        if matches!(event, Event::StageProgress { checkpoint: None, .. }) {
            return;
        }
        let Some(text) = line(event) else { return };
        let mut open = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes + text.len() as u64 > self.max_bytes {
            // Where it cannot be set aside it grows on: what happens is worth more than the room.
            let _ = self.rotate(&mut open);
        }
        if open.file.write_all(text.as_bytes()).is_ok() {
            open.bytes += text.len() as u64;
        }
    }

    fn rotate(&self, open: &mut Open) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("jsonl.1"))?;
        *open = Open::at(&self.path)?;
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemons_journal_is_bounded_and_loses_no_line_of_the_newest() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("daemon.jsonl");
        let journal = Rotating::with_bound(&path, 1_000).unwrap();
        for number in 0..100 {
            journal.write(&Event::Stopping { reason: format!("number {number}") });
        }
        let (old, new) = (path.with_extension("jsonl.1"), path);
        let length = |path: &Path| fs::metadata(path).unwrap().len();
        assert!(length(&old) <= 1_000 && length(&new) <= 1_000);
        let text = fs::read_to_string(&old).unwrap() + &fs::read_to_string(&new).unwrap();
        let first = text.lines().count();
        for (line, number) in text.lines().zip(100 - first..) {
            assert!(line.contains(&format!("\"reason\":\"number {number}\"")), "{line}");
        }
        assert!(text.lines().last().unwrap().contains("number 99"));
    }
}
