// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a later version of a schema must not do to an earlier one. Pure.
//!
//! Both sides rely on a schema: the receiver on what comes, the sender on what is accepted. So what
//! was required stays required, what was optional stays optional, and no bound becomes narrower.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Keywords that are for people.
const PROSE: [&str; 4] = ["description", "title", "$schema", "$defs"];

/// Two schemas with the documents that their references lead into.
#[derive(Clone, Copy)]
struct Pair<'a> {
    old_root: &'a Value,
    new_root: &'a Value,
}

/// What `new` takes away from `old`, each with its place; nothing if it only adds.
pub fn removals(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    Pair { old_root: old, new_root: new }.compare(old, new, "", &mut found);
    found
}

/// What `new` takes away from the registry `old`. A method beyond the known ones is a capability
/// so the methods stay as they are.
pub fn registry_removals(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if old["methods"] != new["methods"] {
        found.push("the methods are others".to_owned());
    }
    for table in ["errorCodes", "stages", "capabilities"] {
        let rows = |registry: &Value| registry[table].as_array().cloned().unwrap_or_default();
        let kept = rows(new);
        let gone = rows(old).into_iter().filter(|row| !kept.contains(row));
        found.extend(gone.map(|row| format!("{table}: {row} is gone or another")));
    }
    found
}

/// A schema with its reference followed. Words beside a reference are those of the place.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).unwrap_or(&Value::Null),
        None => schema,
    }
}

impl Pair<'_> {
    fn compare(self, old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
        if old["default"] != new["default"] {
            found.push(format!("{at}: another default"));
        }
        let (old, new) = (resolved(self.old_root, old), resolved(self.new_root, new));
        let empty = Map::new();
        let old_words = old.as_object().unwrap_or(&empty);
        let new_words = new.as_object().unwrap_or(&empty);
        let all: BTreeSet<&String> = old_words.keys().chain(new_words.keys()).collect();
        for word in all {
            let at = format!("{at}/{word}");
            self.compare_word(word, &old[word], &new[word], &at, found);
        }
        self.compare_required(old, new, at, found);
    }

    fn compare_word(self, word: &str, old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
        let is_kept = match word {
            "default" | "required" => true,
            word if PROSE.contains(&word) => true,
            "properties" => return self.compare_members(old, new, at, found),
            "items" | "additionalProperties" if old.is_object() && new.is_object() => {
                return self.compare(old, new, at, found);
            }
            "oneOf" | "anyOf" => return self.compare_variants(old, new, at, found),
            "type" => old.is_null() == new.is_null() && holds(new, old),
            "enum" => new.is_null() || (!old.is_null() && holds(new, old)),
            "minimum" | "minLength" | "minItems" => bound(new) <= bound(old),
            "maximum" | "maxLength" | "maxItems" => {
                new.is_null() || (!old.is_null() && bound(new) >= bound(old))
            }
            _ => old == new,
        };
        if !is_kept {
            found.push(format!("{at}: {old} becomes {new}"));
        }
    }

    fn compare_members(self, old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
        for (name, member) in old.as_object().into_iter().flatten() {
            match new.get(name) {
                Some(now) => self.compare(member, now, &format!("{at}/{name}"), found),
                None => found.push(format!("{at}/{name} is gone")),
            }
        }
    }

    /// Of the members that were there, the same ones are required; a new one never is.
    fn compare_required(self, old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
        let (before, after) = (words(&old["required"]), words(&new["required"]));
        let changed = before.symmetric_difference(&after);
        found.extend(changed.map(|name| format!("{at}/required: {name}")));
    }

    /// Words of an enumeration may be added; other variants stay where they are.
    fn compare_variants(self, old: &Value, new: &Value, at: &str, found: &mut Vec<String>) {
        let (before, after) = (Variants::of(old), Variants::of(new));
        let gone = before.words.difference(&after.words);
        found.extend(gone.map(|word| format!("{at}: {word} is gone")));
        let closed = before.open.difference(&after.open);
        found.extend(closed.map(|kind| format!("{at}: not any other {kind} is taken")));
        if before.others.len() > after.others.len() {
            found.push(format!("{at}: a variant is gone"));
        }
        for (index, (old, new)) in before.others.iter().zip(&after.others).enumerate() {
            self.compare(old, new, &format!("{at}/{index}"), found);
        }
    }
}

/// The variants of `oneOf` or `anyOf`.
#[derive(Default)]
struct Variants<'a> {
    /// Words with their types.
    words: BTreeSet<String>,
    /// Types of which anything else is taken too.
    open: BTreeSet<String>,
    others: Vec<&'a Value>,
}

impl<'a> Variants<'a> {
    fn of(list: &'a Value) -> Self {
        let mut all = Self::default();
        for variant in list.as_array().into_iter().flatten() {
            let kind = &variant["type"];
            let mut listed = words(&variant["enum"]);
            listed.extend(variant.get("const").map(Value::to_string));
            match variant {
                _ if !listed.is_empty() => {
                    all.words
                        .extend(listed.into_iter().map(|word| format!("{word} of type {kind}")));
                }
                _ if variant["not"].is_object() => drop(all.open.insert(kind.to_string())),
                _ => all.others.push(variant),
            }
        }
        all
    }
}

/// Whether all of `few` is in `many`; one value stands for a list of it.
fn holds(many: &Value, few: &Value) -> bool {
    words(few).is_subset(&words(many))
}

fn words(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Null => BTreeSet::new(),
        Value::Array(list) => list.iter().map(Value::to_string).collect(),
        one => BTreeSet::from([one.to_string()]),
    }
}

/// A bound; absent is none, which is less than any.
fn bound(value: &Value) -> Option<u64> {
    value.as_u64()
}
