// SPDX-License-Identifier: MIT OR Apache-2.0

//! Parameters that do not fit, made from the schemas: each member in turn gets values of every other
//! type and beyond every bound, required members are left out, and objects become arrays of what is
//! in them. What the schema allows after all is not among them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::shape;
use crate::check::Verdict;

/// Parameters that do not fit their schema.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// Which member, and what became of it.
    pub what: String,
    /// The parameters.
    pub value: Value,
}

/// All that can be made of `valid`, which fits the schema `name`.
///
/// # Errors
/// When there is no such schema, or `valid` does not fit it.
pub fn all(name: &str, valid: &Value) -> Verdict<Vec<Mutation>> {
    let schema = shape::schema(name)?;
    let mut places = BTreeSet::new();
    collect(schema, schema, valid, "", &mut places);
    let candidates = candidates(schema);
    let mut found = Vec::new();
    for (pointer, required) in &places {
        if *required && let Some(value) = without(valid, pointer) {
            found.push(Mutation { what: format!("without {pointer}"), value });
        }
        for odd in &candidates {
            if let Some(value) = with(valid, pointer, odd.clone()) {
                let shown = crate::session::excerpt(odd.to_string().as_bytes());
                found.push(Mutation { what: format!("{pointer} as {shown}"), value });
            }
        }
    }
    let validator = shape::validator(name)?;
    found.retain(|mutation| !validator.is_valid(&mutation.value));
    Ok(found)
}

/// Objects of up to so many members are tried in every order, which is 24 of them.
const MOST_IN_EVERY_ORDER: usize = 4;

/// `valid` with one of its objects in turn, itself among them, as an array of the values of its
/// members, which is how some libraries write and take a record: in every order where they are few,
/// and else in that of the schema's required ones.
///
/// # Errors
/// When there is no such schema, or `valid` does not fit it.
pub fn positional(name: &str, valid: &Value) -> Verdict<Vec<Mutation>> {
    let schema = shape::schema(name)?;
    let mut places = BTreeSet::new();
    collect(schema, schema, valid, "", &mut places);
    // The object itself and those of its members that have members.
    let mut objects: BTreeSet<&str> = BTreeSet::from([""]);
    objects.extend(places.iter().filter_map(|(place, _)| place.rsplit_once('/')).map(|p| p.0));
    let mut found = Vec::new();
    for pointer in objects {
        let Some(members) = valid.pointer(pointer).and_then(Value::as_object) else { continue };
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
        let rank = |name: &str| required.iter().position(|one| *one == name);
        let mut members: Vec<_> = members.iter().collect();
        members.sort_by_key(|(name, _)| rank(name).unwrap_or(usize::MAX));
        let values: Vec<Value> = members.into_iter().map(|(_, value)| value.clone()).collect();
        for values in orders(values) {
            let odd = Value::Array(values);
            let shown = crate::session::excerpt(odd.to_string().as_bytes());
            let what = format!("{pointer} as {shown}");
            let value = if pointer.is_empty() { Some(odd) } else { with(valid, pointer, odd) };
            found.extend(value.map(|value| Mutation { what, value }));
        }
    }
    let validator = shape::validator(name)?;
    found.retain(|mutation| !validator.is_valid(&mutation.value));
    Ok(found)
}

/// The same values in every order, if they are few.
fn orders(values: Vec<Value>) -> Vec<Vec<Value>> {
    if values.is_empty() || values.len() > MOST_IN_EVERY_ORDER {
        return vec![values];
    }
    let with_first = |first: usize| {
        let mut rest = values.clone();
        let first = rest.remove(first);
        orders(rest).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
    };
    (0..values.len()).flat_map(with_first).collect()
}

/// Values of every type, and past every bound that a schema of ours has.
fn candidates(schema: &Value) -> Vec<Value> {
    let mut all = vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("1"),
        json!("x".repeat(129)),
        json!([]),
        json!([null]),
        json!([[]]),
        json!({}),
        json!({"x": 1}),
    ];
    let mut bounds = BTreeSet::new();
    gather_bounds(schema, &mut bounds);
    for bound in bounds {
        all.push(json!(bound.saturating_add(1)));
        all.extend(bound.checked_sub(1).map(Value::from));
    }
    all
}

fn gather_bounds(schema: &Value, bounds: &mut BTreeSet<u64>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                if matches!(name.as_str(), "minimum" | "maximum") {
                    bounds.extend(value.as_u64());
                }
                gather_bounds(value, bounds);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather_bounds(item, bounds)),
        _ => {}
    }
}

/// Follows `$ref` and takes the first alternative that is not `null`.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    loop {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let Some(found) = root.pointer(target.trim_start_matches('#')) else { return schema };
            schema = found;
        } else if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            let Some(found) = any.iter().find(|one| one["type"] != "null") else { return schema };
            schema = found;
        } else {
            return schema;
        }
    }
}

/// The places of all members that the schema names, with whether they are required.
fn collect(
    root: &Value,
    schema: &Value,
    valid: &Value,
    pointer: &str,
    places: &mut BTreeSet<(String, bool)>,
) {
    let schema = resolve(root, schema);
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{pointer}/{name}");
        let is_required = required.iter().any(|required| *required == name);
        places.insert((place.clone(), is_required));
        if let Some(value) = valid.get(name) {
            collect(root, member, value, &place, places);
        }
    }
    if let (Some(items), Some([first, ..])) =
        (schema.get("items"), valid.as_array().map(|v| &v[..]))
    {
        let place = format!("{pointer}/0");
        places.insert((place.clone(), false));
        collect(root, items, first, &place, places);
    }
}

fn with(valid: &Value, pointer: &str, odd: Value) -> Option<Value> {
    let mut value = valid.clone();
    let (parent, name) = pointer.rsplit_once('/')?;
    match value.pointer_mut(parent)? {
        Value::Object(members) => {
            members.insert(name.to_owned(), odd);
        }
        Value::Array(items) => *items.get_mut(name.parse::<usize>().ok()?)? = odd,
        _ => return None,
    }
    Some(value)
}

fn without(valid: &Value, pointer: &str) -> Option<Value> {
    let mut value = valid.clone();
    let (parent, name) = pointer.rsplit_once('/')?;
    value.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_tried_and_nothing_that_fits() {
        let valid = json!({"taskId": "t", "attempt": 1, "stage": "echo", "schemaVersion": "1.0",
            "params": {"payload": 1}});
        let all = all("task-run.params", &valid).unwrap();
        for what in [
            "/taskId as 0",
            "/attempt as 0",
            "/attempt as 4294967296",
            "without /params",
            "/params as []",
            "/schemaVersion as \"x\"",
            "/taskId as \"\"",
        ] {
            assert!(all.iter().any(|mutation| mutation.what == what), "{what} in {all:#?}");
        }
        assert!(!all.iter().any(|mutation| mutation.what == "/stage as \"x\""));
    }

    #[test]
    fn every_object_is_tried_as_an_array_in_every_order() {
        let valid = json!({"protocolVersions": ["1.0"], "worker": {"name": "n", "version": "v"},
            "limits": {"maxFrameBytes": 65_536, "concurrent": 1, "graceMs": 1},
            "placement": {}, "capabilities": {"x": 1}});
        let all = positional("initialize.params", &valid).unwrap();
        let count = |begin: &str| all.iter().filter(|m| m.what.starts_with(begin)).count();
        assert_eq!((count("/worker as"), count("/limits as"), count(" as")), (2, 6, 1), "{all:#?}");
        assert!(all.iter().any(|m| m.value["worker"] == json!(["n", "v"])), "{all:#?}");
        // Its members are the parameters, in the order in which the schema requires them.
        let whole = all.iter().find(|m| m.value.is_array()).unwrap();
        assert_eq!(whole.value[0], json!(["1.0"]), "{whole:?}");
    }
}
