// SPDX-License-Identifier: MIT OR Apache-2.0

//! The examples of `docs/configuration.md` are configurations without errors and warnings.

use sealpipe_worker::config::{self, Severity, Source};

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let page = include_str!("../../docs/configuration.md");
    let mut n_examples = 0;
    for block in page.split("```toml\n").skip(1) {
        let (example, _) = block.split_once("```").expect("every block ends");
        let source = Source::new(format!("example {n_examples}"), example);
        let parsed = config::parse(&source);
        let said = parsed.diagnostics().render(&source, Severity::Warning);
        assert!(said.is_empty(), "{example}\n{said}");
        n_examples += 1;
    }
    assert!(n_examples >= 5, "only {n_examples} examples");
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../docs/configuration.md");
    for key in [
        "limitation.concurrent",
        "limitation.staggered",
        "limit",
        "ext_locks",
        "static_tree_d",
        "bin",
        "args",
        "stable_wait",
        "cgroup.cpuset",
        "cgroup.group_name",
        "cgroup.weight",
        "envs",
        "inherit_envs",
        "numa_preferred",
        "concurrent",
        "locks",
        "auto_restart",
        "stall_report_after",
        "weight",
        "pinning",
        "device",
    ] {
        assert!(page.contains(&format!("`{key}`")) || page.contains(&format!("`{key}.")), "{key}");
    }
}
