// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules for source files.

use crate::{Source, none, sources};
use sealpipe_tests::root;

const HEADER: &str = "SPDX-License-Identifier: MIT OR Apache-2.0";

/// Files that hold code and have no ending of their own.
const CODE: &[&str] = &[".rs", ".py", ".sh", ".c", ".h", ".cu", ".cuh", "Makefile"];

/// Lines of a file, unless it is one of tests or a table.
const MAX_LINES: usize = 600;

/// The only files with unsafe code: each wraps a few foreign functions in safe ones.
const UNSAFE: &[&str] = &[
    "processors/gpu/src/driver.rs",
    "processors/gpu/src/driver/memory.rs",
    "processors/gpu/src/driver/stream.rs",
    "processors/params/src/field.rs",
    "processors/pc1/src/clock.rs",
    "processors/pc1/src/label/sha_ni.rs",
    "processors/pc1/src/memory/labels.rs",
    "processors/pc1/src/memory/region.rs",
    "processors/pc1/src/parents/mapped.rs",
    "processors/pc1/src/tree/sha_ni.rs",
    "protocol/src/placement/mempolicy.rs",
    "worker/src/hardware/hwloc.rs",
    "worker/src/supervisor/spawn.rs",
];

fn is_test(source: &Source) -> bool {
    source.path.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "table.rs")
}

#[test]
fn every_source_file_begins_with_its_licence() {
    let lacks = |source: &Source| {
        let mut lines = source.text.lines().filter(|line| !line.starts_with("#!"));
        source.is(CODE) && !lines.next().unwrap_or_default().contains(HEADER)
    };
    none(sources().into_iter().filter(lacks).map(|source| source.path).collect());
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long = sources().into_iter().filter(|source| source.is(CODE) && !is_test(source));
    let long = long.map(|source| (source.text.lines().count(), source.path));
    none(
        long.filter(|(n, _)| *n > MAX_LINES)
            .map(|(n, path)| format!("{path}: {n} lines"))
            .collect(),
    );
}

#[test]
fn nothing_is_left_to_be_done() {
    // In pieces, so that this file does not find itself.
    let macros = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    let words = [["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.is(CODE)) {
        for (index, line) in source.text.lines().enumerate() {
            if macros.iter().chain(&words).any(|word| line.contains(word.as_str())) {
                wrong.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    none(wrong);
}

#[test]
fn unsafe_code_is_where_it_is_expected() {
    let keyword = ["unsafe", " "].concat();
    let unsafe_at = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["{", "fn", "impl", "extern"].iter().any(|next| code.contains(&format!("{keyword}{next}")))
    };
    let mut found: Vec<_> = sources()
        .into_iter()
        .filter(|source| source.is(&[".rs"]) && source.text.lines().any(unsafe_at))
        .map(|source| source.path)
        .collect();
    found.sort();
    assert_eq!(found, UNSAFE);
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| UNSAFE.contains(&source.path.as_str())) {
        let lines: Vec<_> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let block = line.contains(&["unsafe", " {"].concat());
            let above = &lines[index.saturating_sub(6)..index];
            if block && !above.iter().any(|line| line.contains("// SAFETY: ")) {
                wrong.push(format!("{}:{}", source.path, index + 1));
            }
        }
    }
    none(wrong);
}

#[test]
fn no_file_names_the_place_where_it_was_written() {
    let place = root().display().to_string();
    let home = std::env::var("HOME").unwrap_or_default();
    let places = [place.as_str(), home.as_str()];
    let names = |source: &Source| {
        // A place such as `/src` is too short to tell.
        let far = |place: &str| place.matches('/').count() > 1;
        places.iter().any(|place| far(place) && source.text.contains(&format!("{place}/")))
    };
    none(sources().into_iter().filter(names).map(|source| source.path).collect());
}

#[test]
fn text_ends_with_a_line_end_and_has_no_tabs_and_no_trailing_blanks() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.is(CODE) || s.is(&[".toml", ".md"])) {
        if !source.text.is_empty() && !source.text.ends_with('\n') {
            wrong.push(format!("{}: no line end at the end", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            let tabs = line.contains('\t') && source.name() != "Makefile";
            if tabs || line != line.trim_end() {
                wrong.push(format!("{}:{}: tabs or trailing blanks", source.path, index + 1));
            }
        }
    }
    none(wrong);
}
