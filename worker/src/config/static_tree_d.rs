// SPDX-License-Identifier: MIT OR Apache-2.0

//! `[processors.static_tree_d]`: ready tree_d files for sectors without data.

use std::{collections::BTreeMap, path::PathBuf};

use sealpipe_protocol::stage::proof::SealProof;

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    document::Section,
    source::Span,
};

/// The files, by the proof whose sector size they are for.
pub type StaticTreeD = BTreeMap<SealProof, StaticFile>;

/// A file that the configuration names; whether it exists is looked at when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticFile {
    /// The path as written; a relative one is relative to the worker's current directory.
    pub path: PathBuf,
    /// Where it is written.
    pub span: Span,
}

/// Reads the paths by sector size.
pub(super) fn read(processors: &Section<'_>, found: &mut Diagnostics) -> StaticTreeD {
    let mut files = StaticTreeD::new();
    let section = processors.field("static_tree_d").and_then(|field| field.section(found));
    for field in section.iter().flat_map(Section::fields) {
        let path = field.string(found);
        let Some(proof) = proof_of_size(field.key) else {
            let sizes: Vec<_> = SealProof::ALL.iter().map(|proof| proof.size_name()).collect();
            let sizes = sizes.join(", ");
            let message =
                format!("{} is no sector size, expected one of {sizes}", quoted(field.key));
            found.say(Code::NoSectorSize, field.key_span, message);
            continue;
        };
        let Some(path) = path else { continue };
        if path.is_empty() || path.contains('\0') {
            found.say(
                Code::UnusableText,
                field.span(),
                format!("{} is no path", quoted(&field.path)),
            );
            continue;
        }
        let file = StaticFile { path: PathBuf::from(path), span: field.span() };
        if files.insert(proof, file).is_some() {
            let size = proof.size_name();
            found.say(
                Code::NoSectorSize,
                field.key_span,
                format!("the size {size} is given twice"),
            );
        }
    }
    files
}

/// Reads a size as damocles does: a number of bytes, with or without a unit, in any case.
fn proof_of_size(text: &str) -> Option<SealProof> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_bytes: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit_bytes)?;
    SealProof::ALL.iter().copied().find(|proof| proof.sector_bytes() == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test::check_processors;

    fn check(text: &str, files: &[(SealProof, &str)], said: &[&str]) {
        let text = format!("[processors.static_tree_d]\n{text}");
        let read = check_processors(&text, said).static_tree_d;
        let read: Vec<_> = read.iter().map(|(p, file)| (*p, file.path.to_str().unwrap())).collect();
        assert_eq!(read, files, "{text}");
    }

    #[test]
    fn sizes_are_those_of_sectors() {
        use SealProof::{StackedDrg2KiBV1_1 as KIB2, StackedDrg32GiBV1_1 as GIB32};
        check("2KiB = \"/a\"\n32GiB = \"b/c\"", &[(KIB2, "/a"), (GIB32, "b/c")], &[]);
        check("\"32 gib\" = \"/a\"", &[(GIB32, "/a")], &[]);
        check("34359738368 = \"/a\"", &[(GIB32, "/a")], &[]);
    }

    #[test]
    fn what_is_no_sector_size_is_an_error() {
        let sizes = "2KiB, 8MiB, 512MiB, 32GiB, 64GiB";
        for key in ["1GiB", "32GB", "GiB", "99999999999999999999GiB", "\"\""] {
            let shown = key.trim_matches('"');
            let said = format!("error 2:1 `{shown}` is no sector size, expected one of {sizes}");
            check(&format!("{key} = \"/a\""), &[], &[&said]);
        }
    }

    #[test]
    fn a_size_stands_once_and_has_a_path() {
        use SealProof::StackedDrg2KiBV1_1 as KIB2;
        check(
            "2KiB = \"/a\"\n2048 = \"/b\"\n8MiB = \"\"\n64GiB = 5",
            &[(KIB2, "/b")],
            &[
                "error 3:1 the size 2KiB is given twice",
                "error 4:8 `processors.static_tree_d.8MiB` is no path",
                "error 5:9 `processors.static_tree_d.64GiB` is an integer, expected a string",
            ],
        );
    }
}
