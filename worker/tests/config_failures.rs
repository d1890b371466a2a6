// SPDX-License-Identifier: MIT OR Apache-2.0

//! What people see for every kind of failure: each `data/failures/*.toml` is shown as the `.txt`
//! beside it. `UPDATE_SNAPSHOTS=1` writes the files anew, for review.

use std::{fs, path::Path};

use sealpipe_worker::config::{self, Severity, Source};

#[test]
fn every_failure_is_shown_as_recorded() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/failures");
    let mut n_files = 0;
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let source = Source::new("worker.toml", fs::read_to_string(&path).unwrap());
        let shown = config::parse(&source).diagnostics().render(&source, Severity::Note);
        let recorded = path.with_extension("txt");
        if update {
            fs::write(&recorded, &shown).unwrap();
        }
        let expected = fs::read_to_string(&recorded).unwrap_or_default();
        assert_eq!(shown, expected, "{}", path.display());
        n_files += 1;
    }
    assert!(n_files >= 20, "only {n_files} failures");
}
