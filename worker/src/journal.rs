// SPDX-License-Identifier: MIT OR Apache-2.0

//! The journal in each sector's directory: one event a line, as JSON, with its time.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use crate::{
    event::{Event, Observer, millis},
    pipeline::store::{SectorDir, StoreError},
};

/// A line of the journal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    /// Milliseconds since 1970.
    at_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// The journals of the sectors that are being sealed.
#[derive(Default)]
pub struct Journals(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Each sector's name and journal.
    files: Vec<(String, File)>,
    /// The line of each processor that is ready: a journal that begins later tells of it as well.
    ready: BTreeMap<String, String>,
}

impl Journals {
    /// Begins to write down what happens to a sector.
    pub fn add(&self, dir: &SectorDir) -> Result<(), StoreError> {
        let file = dir.journal()?;
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in inner.ready.values() {
            let _ = (&file).write_all(line.as_bytes());
        }
        inner.files.push((dir.record.sector.name(), file));
        Ok(())
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
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = Line { at_ms: millis(since_1970), event };
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        text.push('\n');
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (sector, file) in &inner.files {
            if event.sector().is_none_or(|about| about == sector) {
                // The journal tells a story; a disk too full to tell it stops the stages by itself.
                let _ = (&*file).write_all(text.as_bytes());
            }
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
