// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[processors.ext_locks]`: counting locks that entries share.

use std::collections::BTreeMap;

use super::{
    diagnostic::{Diagnostics, quoted},
    document::Section,
    entry::Entry,
    spelling,
};

/// Reads the locks and how many tasks may hold each at once.
pub(super) fn read(processors: &Section<'_>, found: &mut Diagnostics) -> BTreeMap<String, usize> {
    let mut locks = BTreeMap::new();
    let section = processors.field("ext_locks").and_then(|field| field.section(found));
    for field in section.iter().flat_map(Section::fields) {
        let Some(count) = field.count(found) else { continue };
        if count == 0 {
            let message = format!("{} is 0: its entries are switched off", quoted(&field.path));
            found.warning(field.span(), message).hint =
                Some("1 lets one task at a time hold the lock".to_owned());
        }
        locks.insert(field.key.to_owned(), count);
    }
    locks
}

/// Adds the locks that entries name and nobody declares: each counts 1, so that a slip of the pen
/// keeps tasks apart that need not be, and not the other way round. damocles takes them as unlimited.
pub(super) fn add_undeclared(
    entries: &[Entry],
    locks: &mut BTreeMap<String, usize>,
    found: &mut Diagnostics,
) {
    let declared: Vec<String> = locks.keys().cloned().collect();
    for entry in entries {
        for lock in entry.locks.iter().filter(|lock| !declared.contains(lock)) {
            let span = entry.positions.lock(lock);
            let message = format!("lock {} is not declared: it counts 1", quoted(lock));
            let nearest = spelling::nearest(lock, declared.iter().map(String::as_str));
            found.warning(span, message).hint = Some(match nearest {
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
        check("[processors.ext_locks]\ngpu1 = 1\nnvme = 4", &[("gpu1", 1), ("nvme", 4)], &[]);
        check("[processors]\next_locks = { a = 2 }", &[("a", 2)], &[]);
    }

    #[test]
    fn zero_is_kept_and_warned_about() {
        check(
            "processors.ext_locks.gpu1 = 0",
            &[("gpu1", 0)],
            &["warning 1:29 `processors.ext_locks.gpu1` is 0: its entries are switched off"],
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
