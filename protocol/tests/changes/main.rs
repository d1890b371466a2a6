// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rules for changing the protocol (SPEC.md, "Changes"): a released version stays as it is, and
//! a later minor version only adds.

mod compare;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use compare::{registry_removals, removals};
use sealpipe_protocol::Version;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The JSON files of a version, by name.
type Files = BTreeMap<String, Value>;

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas")
}

/// The version that a directory is of: `v1` is 1.0, `v1.1` is 1.1.
fn version_of(dir: &str) -> Option<Version> {
    let text = dir.strip_prefix('v')?;
    let text = if text.contains('.') { text.to_owned() } else { format!("{text}.0") };
    text.parse().ok()
}

/// All versions with their directories, oldest first.
fn versions() -> Vec<(Version, PathBuf)> {
    let entries = fs::read_dir(schemas()).unwrap().map(|entry| entry.unwrap());
    let named =
        entries.filter_map(|entry| Some((version_of(entry.file_name().to_str()?)?, entry.path())));
    let mut versions: Vec<_> = named.collect();
    versions.sort();
    versions
}

fn read(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let json = entries.filter(|path| path.extension().is_some_and(|ext| ext == "json"));
    json.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
    })
    .collect()
}

/// What a later minor version takes away from an earlier one.
fn taken_away(old: &Files, new: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (name, before) in old {
        let Some(after) = new.get(name) else {
            found.push(format!("{name} is gone"));
            continue;
        };
        let removals = match name.as_str() {
            "registry.json" => registry_removals(before, after),
            _ => removals(before, after),
        };
        found.extend(removals.into_iter().map(|what| format!("{name}: {what}")));
    }
    found
}

#[test]
fn a_minor_version_only_adds() {
    let versions = versions();
    assert_eq!(
        versions.iter().map(|(version, _)| *version).max(),
        Version::SUPPORTED.iter().copied().max(),
        "the newest version has its directory"
    );
    for pair in versions.windows(2) {
        let [(old, old_dir), (new, new_dir)] = pair else { unreachable!("windows of two") };
        if old.major == new.major {
            let taken = taken_away(&read(old_dir), &read(new_dir));
            assert!(taken.is_empty(), "{new} takes away from {old}:\n{}", taken.join("\n"));
        }
    }
    // Nor does the newest one from itself, whatever its schemas contain.
    let newest = read(&versions.last().unwrap().1);
    assert_eq!(taken_away(&newest, &newest), [] as [String; 0]);
}

/// Changes every place of a document that `change` has something for, one at a time.
fn changed(document: &Value, change: &dyn Fn(&mut Value) -> bool) -> Vec<Value> {
    let mut pointers = vec![String::new()];
    let mut index = 0;
    while let Some(pointer) = pointers.get(index).cloned() {
        index += 1;
        let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
        match document.pointer(&pointer) {
            Some(Value::Object(members)) => {
                pointers.extend(members.keys().map(|key| format!("{pointer}/{}", escaped(key))));
            }
            Some(Value::Array(items)) => {
                pointers.extend((0..items.len()).map(|index| format!("{pointer}/{index}")));
            }
            _ => {}
        }
    }
    let copies = pointers.iter().filter_map(|pointer| {
        let mut copy = document.clone();
        change(copy.pointer_mut(pointer)?).then_some(copy)
    });
    copies.collect()
}

/// A kind of change, and what it does to a place of a schema, if it fits there.
type Change = (&'static str, fn(&mut Value) -> bool);

/// A schema of a value, and not, say, the list of an object's members.
fn is_schema(value: &Value) -> bool {
    value["type"].is_string() || value["type"].is_array() || value["$ref"].is_string()
}

const REMOVALS: [Change; 9] = [
    ("a member goes", |v| is_schema(v) && pop(&mut v["properties"])),
    ("a member is called otherwise", |v| {
        let Some(members) = v["properties"].as_object_mut() else { return false };
        let Some(name) = members.keys().next().cloned() else { return false };
        let member = members.remove(&name).unwrap();
        members.insert(format!("{name}2"), member);
        true
    }),
    ("a member is required from now on", |v| {
        let is_object = v["properties"].is_object();
        if is_object && !v["required"].is_array() {
            v["required"] = json!([]);
        }
        is_object && push(&mut v["required"], json!("another"))
    }),
    ("a member need not come any more", |v| pop(&mut v["required"])),
    ("a word goes", |v| v["enum"].is_array() && v["type"] == "string" && pop(&mut v["enum"])),
    ("another type", |v| {
        let is_text = v["type"] == "string";
        if is_text {
            v["type"] = json!("boolean");
        }
        is_text
    }),
    ("a higher minimum", |v| shift(&mut v["minimum"], 1)),
    ("a lower maximum", |v| shift(&mut v["maximum"], -1)),
    ("another pattern", |v| {
        let has_pattern = v["pattern"].is_string();
        if has_pattern {
            v["pattern"] = json!("^x$");
        }
        has_pattern
    }),
];

const ADDITIONS: [Change; 4] = [
    ("a member more", |v| {
        let is_object = v["properties"].is_object() && is_schema(v);
        if is_object {
            v["properties"]["another"] = json!({"type": "string"});
        }
        is_object
    }),
    ("a word more", |v| {
        v["enum"].is_array() && v["type"] == "string" && push(&mut v["enum"], json!("another"))
    }),
    ("a variant more", |v| push(&mut v["oneOf"], json!({"const": "another", "type": "string"}))),
    ("other prose", |v| {
        let has_prose = v["description"].is_string();
        if has_prose {
            v["description"] = json!("Said better.");
        }
        has_prose
    }),
];

fn pop(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => items.pop().is_some(),
        Value::Object(members) => {
            let last = members.keys().next_back().cloned();
            last.is_some_and(|name| members.remove(&name).is_some())
        }
        _ => false,
    }
}

fn push(value: &mut Value, item: Value) -> bool {
    value.as_array_mut().map(|items| items.push(item)).is_some()
}

fn shift(value: &mut Value, by: i64) -> bool {
    let shifted = value.as_u64().and_then(|bound| bound.checked_add_signed(by));
    shifted.map(|bound| *value = json!(bound)).is_some()
}

/// Applies a kind of change to every place of every schema that it fits, and gives those that were
/// judged otherwise than expected.
fn misjudged((kind, change): Change, takes_away: bool) -> (usize, Vec<String>) {
    let newest = read(&versions().last().unwrap().1);
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, schema) in newest.iter().filter(|(name, _)| name.ends_with(".schema.json")) {
        let guarded = |place: &mut Value| place.is_object() && change(place);
        for changed in changed(schema, &guarded).iter().filter(|copy| *copy != schema) {
            tried += 1;
            let found = removals(schema, changed);
            if found.is_empty() == takes_away {
                wrong.push(format!("{kind} in {name}: {found:?}"));
            }
        }
    }
    (tried, wrong)
}

#[test]
fn whatever_is_taken_away_is_seen_and_whatever_is_added_is_not() {
    let removals = REMOVALS.iter().map(|change| (*change, true));
    for (change, takes_away) in removals.chain(ADDITIONS.iter().map(|change| (*change, false))) {
        let (tried, wrong) = misjudged(change, takes_away);
        assert!(tried > 0, "{} fits nowhere", change.0);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn the_registry_only_grows() {
    let old = read(&versions().last().unwrap().1)["registry.json"].clone();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        registry_removals(&old, &new)
    };
    assert!(with(&|new| assert!(push(&mut new["stages"], json!("snap_encode")))).is_empty());
    let code = json!({"code": 1999, "name": "Another", "class": "permanent"});
    assert!(with(&|new| assert!(push(&mut new["errorCodes"], code.clone()))).is_empty());
    for table in ["methods", "errorCodes", "stages"] {
        assert!(!with(&|new| assert!(pop(&mut new[table]))).is_empty(), "{table}");
    }
    assert!(!with(&|new| new["errorCodes"][0]["class"] = json!("abort")).is_empty());
    assert!(!with(&|new| assert!(push(&mut new["methods"], json!({"method": "more"})))).is_empty());
    let mut without = read(&versions().last().unwrap().1);
    let all = without.clone();
    without.remove("task-run.params.schema.json").unwrap();
    assert_eq!(taken_away(&all, &without), ["task-run.params.schema.json is gone"]);
}

/// One digest for all files below a directory, their names included.
fn digest(dir: &Path) -> String {
    let (mut dirs, mut files) = (vec![dir.to_owned()], BTreeMap::new());
    while let Some(next) = dirs.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => dirs.push(path),
                false => drop(files.insert(path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    let mut hasher = Sha256::new();
    for (path, content) in files {
        let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        hasher.update(format!("{name}\n{}\n", content.len()));
        hasher.update(content);
    }
    hex::encode(hasher.finalize())
}

/// Complaints about released versions: `released` has a line `DIGEST DIRECTORY` for each.
fn broken_releases(schemas: &Path, released: &str) -> Vec<String> {
    let lines = released.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let broken = lines.filter_map(|line| {
        let (expected, dir) = line.split_once(' ').unwrap_or((line, "?"));
        let found = schemas.join(dir).is_dir().then(|| digest(&schemas.join(dir)));
        (found.as_deref() != Some(expected)).then(|| {
            format!("schemas/{dir} is released and may not change: {expected} is now {found:?}")
        })
    });
    broken.collect()
}

#[test]
fn a_released_directory_never_changes() {
    let released = fs::read_to_string(schemas().join("released.txt")).unwrap();
    assert_eq!(broken_releases(&schemas(), &released), [] as [String; 0]);
    for (version, dir) in versions() {
        let spec = fs::read_to_string(dir.join("SPEC.md")).unwrap();
        let row = spec.lines().find(|line| line.starts_with(&format!("| {version} |")));
        let is_released = !row.expect("a row for its own version").contains("not yet released");
        let name = dir.file_name().unwrap().to_str().unwrap();
        let is_listed = released.lines().any(|line| line.ends_with(&format!(" {name}")));
        assert_eq!(
            is_released,
            is_listed,
            "a release of {version} has the line `{} {name}` in schemas/released.txt",
            digest(&dir)
        );
    }
}

#[test]
fn a_change_of_a_released_directory_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let version = dir.path().join("v9");
    fs::create_dir_all(version.join("examples")).unwrap();
    fs::write(version.join("SPEC.md"), "text").unwrap();
    let line = format!("# digests\n{} v9\n", digest(&version));
    assert_eq!(broken_releases(dir.path(), &line).len(), 0);
    fs::write(version.join("examples/a.json"), "{}").unwrap();
    assert_eq!(broken_releases(dir.path(), &line).len(), 1);
    fs::remove_file(version.join("examples/a.json")).unwrap();
    assert_eq!(broken_releases(dir.path(), &line).len(), 0);
    fs::write(version.join("SPEC.md"), "Text").unwrap();
    assert_eq!(broken_releases(dir.path(), &line).len(), 1);
    fs::remove_dir_all(&version).unwrap();
    assert_eq!(broken_releases(dir.path(), &line).len(), 1);
}
