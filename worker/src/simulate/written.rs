// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a configuration says about locks, word for word.
//!
//! sealpipe counts a name that stands twice once, and an undeclared one as 1. damocles does neither,
//! which its model needs to know.

use std::collections::BTreeSet;

use sealpipe_protocol::Stage;
use toml_edit::{Document, Item, TableLike};

use super::site::Site;

/// The locks as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    declared: BTreeSet<String>,
    /// Stage, number of the entry, and its locks.
    entries: Vec<(Stage, usize, Vec<String>)>,
}

impl Written {
    /// Reads a text. What cannot be read is left out: the configuration's own reader complains.
    pub fn read(text: &str) -> Self {
        let Ok(document) = Document::parse(text) else { return Self::default() };
        let Some(processors) = document.get("processors").and_then(Item::as_table_like) else {
            return Self::default();
        };
        let declared = processors.get("ext_locks").and_then(Item::as_table_like);
        let declared = declared.into_iter().flat_map(TableLike::iter);
        let entries = Stage::ALL.iter().flat_map(|stage| {
            let tables = processors.get(stage.name()).map(tables).unwrap_or_default();
            let tables = tables.into_iter().enumerate();
            tables.map(|(index, table)| (*stage, index, locks(table)))
        });
        Self {
            declared: declared.map(|(name, _)| name.to_owned()).collect(),
            entries: entries.collect(),
        }
    }

    /// The site as damocles reads it: a lock that is not declared has no bound, and one that is
    /// named twice is taken twice.
    pub fn as_damocles(&self, mut site: Site) -> Site {
        for lock in site.locks.iter_mut().filter(|lock| !self.declared.contains(&lock.name)) {
            lock.units = None;
        }
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
