// SPDX-License-Identifier: MIT OR Apache-2.0

//! `--set key=value`: a configuration with one value changed, as text.

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// One part of a path: a key, or the number of an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Key(String),
    Index(usize),
}

/// The text with a value changed. `change` is a path and a TOML value, such as
/// `processors.limitation.concurrent.pc2=3` or `processors.pc2[1].locks=["gpu2"]`; what is no TOML
/// value counts as a string. Tables that are missing are made; the number behind the last entry
/// adds one.
///
/// # Errors
/// What is wrong with the change or the text.
pub fn apply(text: &str, change: &str) -> Result<String, String> {
    let (path, value) = change
        .split_once('=')
        .ok_or_else(|| format!("{change:?} is no change, expected key=value"))?;
    let parts = parts(path.trim())?;
    let mut document: DocumentMut =
        text.parse().map_err(|error| format!("not valid TOML: {error}"))?;
    let value = value.trim();
    let value = value.parse::<Value>().unwrap_or_else(|_| Value::from(value));
    let (last, way) = parts.split_last().ok_or("the key is empty")?;
    let mut item = document.as_item_mut();
    for (index, part) in way.iter().enumerate() {
        let is_array = matches!(parts.get(index + 1), Some(Part::Index(_)));
        item = step(item, part, is_array).ok_or_else(|| not_there(&parts[..=index]))?;
    }
    *step(item, last, false).ok_or_else(|| not_there(&parts))? = Item::Value(value);
    Ok(document.to_string())
}

fn not_there(parts: &[Part]) -> String {
    let mut path = String::new();
    for part in parts {
        match part {
            Part::Key(key) if path.is_empty() => path.push_str(key),
            Part::Key(key) => path.push_str(&format!(".{key}")),
            Part::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    format!("there is no place for `{path}`")
}

/// `a.b[1]` as its parts.
fn parts(path: &str) -> Result<Vec<Part>, String> {
    let wrong = || format!("{path:?} is no key, expected such as processors.pc2[1].concurrent");
    let mut parts = Vec::new();
    for dotted in path.split('.') {
        let (key, indices) = dotted.split_once('[').map_or((dotted, None), |(k, i)| (k, Some(i)));
        if key.is_empty() {
            return Err(wrong());
        }
        parts.push(Part::Key(key.to_owned()));
        if let Some(indices) = indices {
            let inside = indices.strip_suffix(']').ok_or_else(wrong)?;
            parts.push(Part::Index(inside.parse().map_err(|_| wrong())?));
        }
    }
    Ok(parts)
}

/// Goes to a part of an item, and makes it when it is missing.
fn step<'a>(item: &'a mut Item, part: &Part, is_array: bool) -> Option<&'a mut Item> {
    match part {
        Part::Key(key) => {
            let is_inline = item.is_value();
            let table: &mut dyn TableLike = item.as_table_like_mut()?;
            let entry = table.entry(key).or_insert(Item::None);
            if entry.is_none() {
                *entry = match (is_array, is_inline) {
                    (true, _) => Item::ArrayOfTables(ArrayOfTables::new()),
                    (false, true) => Item::Value(InlineTable::new().into()),
                    (false, false) => Item::Table(Table::new()),
                };
            }
            Some(entry)
        }
        Part::Index(index) => {
            if let Some(tables) = item.as_array_of_tables_mut()
                && *index == tables.len()
            {
                tables.push(Table::new());
            }
            item.get_mut(*index)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, change: &str, expected: Result<&str, &str>) {
        let changed = apply(text, change);
        let changed = changed.as_ref().map(|text| text.trim()).map_err(String::as_str);
        assert_eq!(changed, expected, "{text:?} {change}");
    }

    #[test]
    fn a_value_is_changed_where_it_stands() {
        let limits = "[processors.limitation.concurrent]\npc1 = 28 # all\npc2 = 1";
        let changed = "[processors.limitation.concurrent]\npc1 = 28 # all\npc2 = 3";
        check(limits, "processors.limitation.concurrent.pc2=3", Ok(changed));
        let entries = "[[processors.c2]]\n[[processors.c2]]\nlocks = [\"a\"]";
        let changed = "[[processors.c2]]\n[[processors.c2]]\nlocks = []";
        check(entries, "processors.c2[1].locks=[]", Ok(changed));
        check("a = [{ b = 1 }]", "a[0].b = 2", Ok("a = [{ b = 2 }]"));
    }

    #[test]
    fn what_is_missing_is_made() {
        check("", "a.b=\"x\"", Ok("[a]\nb = \"x\""));
        check("[[a]]", "a[1].b=1", Ok("[[a]]\n\n[[a]]\nb = 1"));
        check("", "a[0].b=1", Ok("[[a]]\nb = 1"));
        check("a = { b = 1 }", "a.c.d=2", Ok("a = { b = 1 , c = { d = 2 } }"));
    }

    #[test]
    fn what_is_no_toml_value_is_a_string() {
        check("a = 1", "a=5min", Ok("a = \"5min\""));
    }

    #[test]
    fn mistakes_are_named() {
        check("", "a", Err("\"a\" is no change, expected key=value"));
        let expected = "\"a..b\" is no key, expected such as processors.pc2[1].concurrent";
        check("", "a..b=1", Err(expected));
        check("a = 1", "a.b=1", Err("there is no place for `a.b`"));
        check("[[a]]", "a[2].b=1", Err("there is no place for `a[2]`"));
    }
}
