// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/diagnostics.md` is made from the table of codes. `UPDATE_SNAPSHOTS=1` writes it anew.

use std::{fmt::Write, fs, path::Path};

use sealpipe_worker::config::{
    Code,
    code::{About, GROUPS},
};

/// What stands before the tables.
const HEAD: &str = "\
# Diagnostics

`sealpipe check FILE` says all that is wrong with a configuration in one go, with line, column, a hint and
a code. A code keeps its number and its meaning for ever. `sealpipe check --explain SP401` prints what
stands here, and `--json` has the code of each diagnostic as `code`.

- An **error** cannot work: nothing is started.
- A **warning** is probably not what was meant, and works.
- A **note** is worth knowing, and nothing is wrong.

The exit code is 0 without errors, 1 with errors, and 2 for a wrong command line.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for group in GROUPS {
        writeln!(page, "\n## SP{}xx: {}", group.digit, group.title).unwrap();
        let of_group = |code: &&Code| code.id().chars().nth(2) == Some(group.digit);
        for code in Code::ALL.iter().filter(of_group) {
            let About { id, severity, title, meaning, action } = code.about();
            writeln!(
                page,
                "\n### {id}: {title} ({severity})\n\n{meaning}\n\n*What to do:* {action}"
            )
            .unwrap();
        }
    }
    page
}

#[test]
fn the_page_is_that_of_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagnostics.md");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), page());
}
