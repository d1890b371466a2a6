// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[processors.ext_locks]`: counting locks that entries share.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::Section,
    entry::Entry,
    source::Span,
    spelling,
};

/// Most undeclared locks that are compared with the declared ones: each with each takes long.
const MAX_COMPARED: usize = 32;

/// The locks that are declared, and where.
pub(super) struct Declared {
    /// How many tasks may hold each at once.
    pub(super) counts: BTreeMap<String, usize>,
    keys: BTreeMap<String, Span>,
    values: BTreeMap<String, Span>,
}

/// Reads the locks and how many tasks may hold each at once.
pub(super) fn read(processors: &Section<'_>, found: &mut Diagnostics) -> Declared {
    let (counts, keys, values) = Default::default();
    let mut declared = Declared { counts, keys, values };
    let section = processors.field("ext_locks").and_then(|field| field.section(found));
    for field in section.iter().flat_map(Section::fields) {
        let Some(count) = field.count(found) else { continue };
        declared.counts.insert(field.key.to_owned(), count);
        declared.keys.insert(field.key.to_owned(), field.key_span);
        declared.values.insert(field.key.to_owned(), field.span());
    }
    declared
}

/// Complains about locks that keep nothing apart, and about those that let nobody through. A stage
/// that is skipped may name a lock as well.
pub(super) fn check_declared(
    declared: &Declared,
    entries: &[Entry],
    skipped: &BTreeSet<String>,
    found: &mut Diagnostics,
) {
    let used: BTreeSet<&String> = entries.iter().flat_map(|entry| &entry.locks).collect();
    for (lock, count) in &declared.counts {
        let path = quoted(&format!("processors.ext_locks.{lock}"));
        if !used.contains(lock) && !skipped.contains(lock) {
            let message = format!("{path} is not used: no entry names it");
            found.say(Code::UnusedLock, declared.keys[lock], message).hint =
                Some(format!("name it in `locks = [{lock:?}]` of the entries that take turns"));
        } else if *count == 0 {
            let message = format!("{path} is 0: its entries are switched off");
            found.say(Code::LockOff, declared.values[lock], message).hint =
                Some("1 lets one task at a time hold the lock".to_owned());
        }
    }
}

/// Adds the locks that entries name and nobody declares: each counts 1, so that a slip of the pen
/// keeps tasks apart that need not be, and not the other way round. damocles takes them as unlimited.
pub(super) fn add_undeclared(
    entries: &[Entry],
    locks: &mut BTreeMap<String, usize>,
    found: &mut Diagnostics,
) {
    let declared = locks.clone();
    let mut n_compared = 0;
    for entry in entries {
        for lock in entry.locks.iter().filter(|lock| !declared.contains_key(*lock)) {
            let span = entry.positions.lock(lock);
            let message = format!("lock {} is not declared: it counts 1", quoted(lock));
            n_compared += 1;
            let near = || spelling::nearest(lock, declared.keys().map(String::as_str));
            let nearest = (n_compared <= MAX_COMPARED).then(near).flatten();
            found.say(Code::UndeclaredLock, span, message).hint = Some(match nearest {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => {
                    format!("declare it under `[processors.ext_locks]`: `{} = 1`", as_key(lock))
                }
            });
            locks.insert(lock.clone(), 1);
        }
    }
}

/// The name as a TOML key.
fn as_key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::check_processors;

    fn check(text: &str, locks: &[(&str, usize)], said: &[&str]) {
        let processors = check_processors(text, said);
        let expected: BTreeMap<_, _> = locks.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        assert_eq!(processors.ext_locks, expected, "{text}");
    }

    #[test]
    fn locks_have_a_name_and_a_count() {
        let entry = "[[processors.c2]]\nlocks = [\"gpu1\", \"nvme\"]\n";
        let locks = [("gpu1", 1), ("nvme", 4)];
        check(&format!("{entry}[processors.ext_locks]\ngpu1 = 1\nnvme = 4"), &locks, &[]);
        check(&format!("processors.ext_locks = {{ gpu1 = 1, nvme = 4 }}\n{entry}"), &locks, &[]);
    }

    #[test]
    fn zero_is_kept_and_warned_about() {
        check(
            "processors.ext_locks.gpu1 = 0\n\
             [[processors.c2]]\nlocks = [\"gpu1\"]\n[[processors.c2]]",
            &[("gpu1", 0)],
            &["warning 1:29 `processors.ext_locks.gpu1` is 0: its entries are switched off"],
        );
    }

    #[test]
    fn a_lock_that_no_entry_names_is_warned_about() {
        let said = "warning 1:22 `processors.ext_locks.gpu1` is not used: no entry names it";
        check("processors.ext_locks.gpu1 = 1", &[("gpu1", 1)], &[said]);
        check("processors.ext_locks.gpu1 = 0", &[("gpu1", 0)], &[said]);
        check(
            "processors.ext_locks.gpu1 = 1\n[[processors.snap_prove]]\nlocks = [\"gpu1\"]",
            &[("gpu1", 1)],
            &["note 2:14 `processors.snap_prove` is skipped: sealpipe does not serve this stage"],
        );
    }

    #[test]
    fn a_lock_that_is_not_declared_counts_1_and_is_warned_about() {
        check(
            "[processors.ext_locks]\ngpu1 = 2\n[[processors.c2]]\nlocks = [\"gpu1\", \"gpu2\"]",
            &[("gpu1", 2), ("gpu2", 1)],
            &["warning 4:18 lock `gpu2` is not declared: it counts 1"],
        );
        // Each place is said: the one that was mistyped may be either.
        check(
            "[[processors.pc2]]\nlocks = [\"gpu\"]\n[[processors.c2]]\nlocks = [\"gpu\"]",
            &[("gpu", 1)],
            &[
                "warning 2:10 lock `gpu` is not declared: it counts 1",
                "warning 4:10 lock `gpu` is not declared: it counts 1",
            ],
        );
    }
}
