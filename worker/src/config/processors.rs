// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[processors]`: everything that sealpipe reads of a configuration.

use std::collections::{BTreeMap, BTreeSet};

use sealpipe_protocol::Stage;

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::{Field, Section},
    entry::{self, Entry},
    ext_locks, impossible,
    limitation::{self, Limitation},
    limits, placement,
    scheduling::{self, Scheduling},
    sharing,
    stage_name::{self, Known},
    static_tree_d::{self, StaticTreeD},
};

/// The processors, and what they share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processors {
    /// Limits of each stage over all of its entries.
    pub limitation: Limitation,
    /// The locks that entries name, and how many tasks may hold each at once.
    pub ext_locks: BTreeMap<String, usize>,
    /// Who goes first, and how many sectors are under way.
    pub scheduling: Scheduling,
    /// Ready tree_d files for sectors without data.
    pub static_tree_d: StaticTreeD,
    /// The entries, in the order of a sector's stages, and within a stage in that of the file.
    pub entries: Vec<Entry>,
}

impl Processors {
    /// The entries of one stage.
    pub fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.stage == stage)
    }

    /// The stages without an entry.
    pub fn implied(&self) -> impl Iterator<Item = Stage> {
        let without = |stage: &Stage| self.of_stage(*stage).next().is_none();
        Stage::ALL.iter().copied().filter(without)
    }
}

/// Most entries: each is a process, and each is compared with each.
pub const MAX_ENTRIES: usize = 256;

/// The keys of `[processors]` that are no stage.
pub(super) const KEYS: &[&str] =
    &["limit", "limitation", "ext_locks", "scheduling", "static_tree_d"];

/// Keys further inside, which are often written beside.
const NESTED: &[&str] = &["limitation.concurrent", "limitation.staggered"];

/// Reads the section; what cannot be read is left out beside the error.
pub(super) fn read(section: &Section<'_>, found: &mut Diagnostics) -> Processors {
    let (limitation, limits) = limitation::read(section, found);
    let declared = ext_locks::read(section, found);
    let mut processors = Processors {
        limitation,
        ext_locks: declared.counts.clone(),
        scheduling: scheduling::read(section, found),
        static_tree_d: static_tree_d::read(section, found),
        entries: Vec::new(),
    };
    let mut skipped_locks = BTreeSet::new();
    for field in section.fields().filter(|field| !KEYS.contains(&field.key)) {
        match stage_name::known(field.key) {
            Known::Served(stage) => {
                let room = MAX_ENTRIES - processors.entries.len();
                processors.entries.extend(read_stage(stage, &field, room, found));
            }
            Known::NotServed => {
                let path = quoted(&field.path);
                let message = format!("{path} is skipped: sealpipe does not serve this stage");
                found.say(Code::NotServed, field.key_span, message);
                skipped_locks.extend(locks_of(&field));
            }
            Known::Not => {
                let names: Vec<_> = stage_name::served()
                    .into_iter()
                    .chain(KEYS.iter().chain(NESTED).copied())
                    .collect();
                field.unknown(&names, found);
            }
        }
    }
    processors.entries.sort_by_key(|entry| (entry.stage, entry.index));
    ext_locks::add_undeclared(&processors.entries, &mut processors.ext_locks, found);
    for entry in &processors.entries {
        placement::check_pinned(entry, found);
    }
    ext_locks::check_declared(&declared, &processors.entries, &skipped_locks, found);
    sharing::check(&processors.entries, found);
    limits::check(&processors, &limits, found);
    impossible::check(&processors, found);
    processors
}

/// The locks that the entries of a skipped stage name; what is wrong with those does not matter.
fn locks_of(field: &Field<'_>) -> Vec<String> {
    let mut unheard = Diagnostics::default();
    let sections = field.sections(&mut unheard).unwrap_or_default();
    let locks = sections.iter().filter_map(|section| section.field("locks"));
    let names = locks.flat_map(|field| field.strings(&mut unheard).unwrap_or_default());
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Reads the entries of a stage, as many as there is room for.
fn read_stage(stage: Stage, field: &Field<'_>, room: usize, found: &mut Diagnostics) -> Vec<Entry> {
    let Some(sections) = field.sections(found) else { return Vec::new() };
    if sections.is_empty() {
        found
            .say(Code::NoEntry, field.span(), format!("{} has no entry", quoted(&field.path)))
            .hint = Some(format!(
            "write `[[{}]]`, or leave the key out for the implied processor",
            field.path
        ));
    }
    if let Some(first) = sections.get(room) {
        let message = format!("there are more than {MAX_ENTRIES} entries");
        found.say(Code::TooMany, first.span, message).hint =
            Some("one entry runs several tasks with `concurrent`".to_owned());
    }
    let entries = sections.iter().take(room).enumerate();
    entries.map(|(index, section)| entry::read(stage, index, section, found)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::check_processors;

    fn check(text: &str, entries: &[(Stage, usize, usize)], said: &[&str]) {
        let read = check_processors(text, said).entries;
        let read: Vec<_> = read.iter().map(|e| (e.stage, e.index, e.line())).collect();
        assert_eq!(read, entries, "{text}");
    }

    #[test]
    fn entries_are_numbered_within_their_stage() {
        check(
            "[[processors.c2]]\n[[processors.pc1]]\n\n[[processors.pc1]]\n[[processors.verify]]",
            &[(Stage::Pc1, 0, 2), (Stage::Pc1, 1, 4), (Stage::C2, 0, 1), (Stage::Verify, 0, 5)],
            &[],
        );
        check("processors.pc1 = [{}, {}]", &[(Stage::Pc1, 0, 1), (Stage::Pc1, 1, 1)], &[]);
    }

    #[test]
    fn every_stage_of_the_protocol_may_stand() {
        let text: String =
            Stage::ALL.iter().map(|stage| format!("[[processors.{stage}]]\n")).collect();
        let expected: Vec<_> =
            Stage::ALL.iter().enumerate().map(|(idx, stage)| (*stage, 0, idx + 1)).collect();
        check(&text, &expected, &[]);
    }

    #[test]
    fn entries_beyond_the_bound_are_left_out() {
        let text = "[[processors.c2]]\n".repeat(MAX_ENTRIES) + "[[processors.verify]]";
        let line = MAX_ENTRIES + 1;
        let said = format!("error {line}:1 there are more than {MAX_ENTRIES} entries");
        assert_eq!(check_processors(&text, &[&said]).entries.len(), MAX_ENTRIES);
    }

    #[test]
    fn a_single_table_is_an_error() {
        check(
            "[processors.pc1]\nconcurrent = 1",
            &[],
            &["error 1:13 `processors.pc1` is a table, expected an array of tables"],
        );
    }

    #[test]
    fn an_empty_array_is_an_error() {
        check("processors.pc1 = []", &[], &["error 1:18 `processors.pc1` has no entry"]);
        check(
            "processors.pc1 = [1]",
            &[],
            &[
                "error 1:19 `processors.pc1` holds an integer, expected tables only",
                "error 1:18 `processors.pc1` has no entry",
            ],
        );
    }

    #[test]
    fn stages_that_are_not_served_are_skipped() {
        check(
            "[[processors.snap_encode]]\nnuma_preferred = \"?\"\n[processors.sealing_daemons]",
            &[],
            &[
                "note 1:14 `processors.snap_encode` is skipped: sealpipe does not serve this stage",
                "note 3:13 `processors.sealing_daemons` is skipped: sealpipe does not serve this \
                 stage",
            ],
        );
    }

    #[test]
    fn an_unknown_name_is_a_warning() {
        check(
            "[[processors.pc11]]\n[processors.limits]",
            &[],
            &[
                "warning 1:14 unknown key `processors.pc11` is ignored",
                "warning 2:13 unknown key `processors.limits` is ignored",
            ],
        );
    }
}
