// SPDX-License-Identifier: MIT OR Apache-2.0

//! What damocles reads in another way than sealpipe: locks word for word, and sealing threads.
//!
//! sealpipe counts a name that stands twice once, and an undeclared one as 1. damocles does neither,
//! and has as many sectors in flight as the file has sealing threads.

use std::collections::BTreeSet;

use sealpipe_protocol::Stage;
use toml_edit::{Document, Item, TableLike};

use super::site::Site;

/// A configuration as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Sealing threads; nothing where the file has none.
    threads: Option<usize>,
    declared: BTreeSet<String>,
    /// Stage, number of the entry, and its locks.
    entries: Vec<(Stage, usize, Vec<String>)>,
}

impl Written {
    /// Reads a text. What cannot be read is left out: the configuration's own reader complains.
    pub fn read(text: &str) -> Self {
        let Ok(document) = Document::parse(text) else { return Self::default() };
        let threads = document.get("sealing_thread").map(|item| tables(item).len());
        let threads = threads.filter(|threads| *threads > 0);
        let Some(processors) = document.get("processors").and_then(Item::as_table_like) else {
            return Self { threads, ..Self::default() };
        };
        let declared = processors.get("ext_locks").and_then(Item::as_table_like);
        let declared = declared.into_iter().flat_map(TableLike::iter);
        let entries = Stage::ALL.iter().flat_map(|stage| {
            let tables = processors.get(stage.name()).map(tables).unwrap_or_default();
            let tables = tables.into_iter().enumerate();
            tables.map(|(index, table)| (*stage, index, locks(table)))
        });
        Self {
            threads,
            declared: declared.map(|(name, _)| name.to_owned()).collect(),
            entries: entries.collect(),
        }
    }

    /// The site as damocles reads it: a lock that is not declared has no bound, and one that is
    /// named twice is taken twice. Its sealing threads are the bound on sectors in flight; a file
    /// without any keeps sealpipe's.
    pub fn as_damocles(&self, mut site: Site) -> Site {
        for lock in site.locks.iter_mut().filter(|lock| !self.declared.contains(&lock.name)) {
            lock.units = None;
        }
        site.in_flight = self.threads.or(site.in_flight);
        for (stage, index, locks) in &self.entries {
            let numbers = locks.iter().filter_map(|name| site.lock(name)).collect();
            let name = format!("{stage}[{index}]");
            if let Some(place) = site.places.iter_mut().find(|place| place.name == name) {
                place.locks = numbers;
            }
        }
        site
    }
}

fn tables(item: &Item) -> Vec<&dyn TableLike> {
    if let Some(tables) = item.as_array_of_tables() {
        return tables.iter().map(|table| table as &dyn TableLike).collect();
    }
    let values = item.as_array().into_iter().flatten();
    values.filter_map(|value| Some(value.as_inline_table()? as &dyn TableLike)).collect()
}

fn locks(table: &dyn TableLike) -> Vec<String> {
    let locks = table.get("locks").and_then(Item::as_array).into_iter().flatten();
    locks.filter_map(|lock| lock.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, Source},
        simulate::Profile,
    };

    #[test]
    fn damocles_reads_locks_word_for_word_and_counts_its_threads() {
        let text = "[processors.ext_locks]\na = 2\n[[processors.c2]]\nlocks = [\"a\", \"b\", \"a\"]\n\
                    [[sealing_thread]]\n[[sealing_thread]]";
        let parsed = config::parse(&Source::new("test", text));
        let ours = Site::new(&parsed.draft().processors, &Profile::default());
        let theirs = Written::read(text).as_damocles(ours.clone());
        let locks = |site: &Site| site.locks.iter().map(|lock| lock.units).collect::<Vec<_>>();
        assert_eq!((locks(&ours), locks(&theirs)), (vec![Some(2), Some(1)], vec![Some(2), None]));
        let held = |site: &Site| {
            site.of_stage(Stage::C2).flat_map(|(_, place)| place.locks.clone()).collect::<Vec<_>>()
        };
        assert_eq!((held(&ours), held(&theirs)), (vec![0, 1], vec![0, 1, 0]));
        assert_eq!(theirs.in_flight, Some(2));
        assert_eq!(Written::read("nonsense [").as_damocles(ours.clone()).in_flight, ours.in_flight);
    }
}
