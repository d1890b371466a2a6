// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules for crates and what they depend on.

use std::process::Command;

use crate::{Source, none, sources};
use sealpipe_tests::root;

/// What computes proofs, by the beginnings of names. The worker has none of it.
const PROOFS: &[&str] = &[
    "filecoin-",
    "storage-proofs-",
    "sealpipe-params",
    "sealpipe-reference",
    "bellperson",
    "bellpepper",
    "blst",
    "pairing",
    "neptune",
    "cudarc",
    "ec-gpu",
    "rust-gpu-tools",
    "merkletree",
    "sha2raw",
    "fr32",
    "rayon",
];

/// Where crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn dependencies(of: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", of, "-e", "normal", "--prefix", "none", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_worker_and_the_protocol_link_no_proofs_library() {
    for of in ["sealpipe-worker", "sealpipe-protocol"] {
        let found = dependencies(of);
        assert!(found.iter().any(|name| name == "tokio"), "{found:?}");
        let proofs = |name: &String| PROOFS.iter().any(|begin| name.starts_with(begin));
        none(found.into_iter().filter(proofs).map(|name| format!("{of}: {name}")).collect());
    }
}

#[test]
fn no_http_stack_comes_along_with_the_wire_types() {
    let found = dependencies("sealpipe-worker");
    // jsonrpsee-core names types of `http`, which is no server and no client.
    let http = ["hyper", "h2", "rustls", "reqwest", "soketto", "axum"];
    none(found.into_iter().filter(|name| http.contains(&name.as_str())).collect());
}

#[test]
fn every_dependency_is_from_cratesio_or_of_this_workspace() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
    let foreign = sources.filter(|source| source.trim_matches('"') != REGISTRY);
    none(foreign.map(str::to_owned).collect());
}

/// The manifests of the workspace's members.
fn manifests() -> Vec<Source> {
    let mut found = sources();
    // The root is none, and neither is a crate that is a workspace of its own.
    found.retain(|s| s.name() == "Cargo.toml" && !s.text.lines().any(|line| line == "[workspace]"));
    found
}

#[test]
fn paths_between_crates_are_in_the_workspace_table_alone() {
    let mut wrong = Vec::new();
    for manifest in manifests() {
        let mut section = "";
        for line in manifest.text.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let other = ["path =", "path=", "git =", "git="].iter().any(|key| line.contains(key));
            if section.contains("dependencies") && other {
                wrong.push(format!("{}: {line}", manifest.path));
            }
        }
    }
    none(wrong);
}

#[test]
fn every_crate_obeys_the_workspace_lints() {
    let obeys = |source: &Source| source.text.contains("[lints]\nworkspace = true\n");
    let mut lax = manifests();
    assert!(lax.len() > 3, "only {} manifests found", lax.len());
    lax.retain(|source| !obeys(source));
    none(lax.into_iter().map(|source| source.path).collect());
}
