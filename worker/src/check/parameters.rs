// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether c2 will find the network's Groth16 parameters. That they are missing shows itself only
//! after all other stages of a sector, and is what users are hit by most.

use std::path::{Path, PathBuf};

use sealpipe_protocol::{Stage, stage::proof::SealProof};

use crate::{
    config::{Code, Diagnostics, Entry, Processors},
    parameters::{self, DEFAULT_CACHE, PARAMETER_CACHE},
};

use super::programs::{Files, Ours};

/// The set of a size (filecoin-proofs, `parameters.json`), without the endings of its files; `None`
/// for the sizes of tests, whose parameters are made where they are needed.
fn set_name(proof: SealProof) -> Option<String> {
    if proof.is_test_size() {
        return None;
    }
    let name = parameters::files(proof).into_iter().next()?.name;
    name.rsplit_once('.').map(|(stem, _)| stem.to_owned())
}

/// Says which files of a set are missing, for each entry of c2, or for the implied processor.
pub(super) fn check(
    processors: &Processors,
    files: &Files<'_>,
    proof: SealProof,
    found: &mut Diagnostics,
) {
    let Some(set) = set_name(proof) else { return };
    for entry in processors.of_stage(Stage::C2) {
        let is_ours = Ours::of(&files.program(entry)).is_some();
        // Other programs may have parameters of their own, elsewhere, unless they are told where.
        if (is_ours || entry.envs.contains_key(PARAMETER_CACHE)) && entry.concurrent != Some(0) {
            check_cache(&cache_of(entry, files), &set, proof, entry, files, found);
        }
    }
}

fn cache_of(entry: &Entry, files: &Files<'_>) -> PathBuf {
    let inherited = || (files.variable)(PARAMETER_CACHE).filter(|_| entry.inherit_envs);
    let named = entry.envs.get(PARAMETER_CACHE).cloned().or_else(inherited);
    PathBuf::from(named.unwrap_or_else(|| DEFAULT_CACHE.to_owned()))
}

fn check_cache(
    cache: &Path,
    set: &str,
    proof: SealProof,
    entry: &Entry,
    files: &Files<'_>,
    found: &mut Diagnostics,
) {
    let missing = ["params", "vk"].map(|ending| format!("{set}.{ending}"));
    let missing: Vec<_> =
        missing.into_iter().filter(|name| !(files.exists)(&cache.join(name))).collect();
    let Some(first) = missing.first() else { return };
    let size = proof.size_name();
    let message = format!(
        "c2 finds no parameters of {size} sectors: there is no `{}`",
        cache.join(first).display()
    );
    found.say(Code::NoParameters, entry.positions.entry, message).hint = Some(format!(
        "`lotus fetch-params {size}` or `curio fetch-params {size}`, and `{PARAMETER_CACHE}` names \
         their directory; `--sector-size` says what you seal"
    ));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::config::test::check_processors;

    use super::*;

    const SET: &str = "v28-stacked-proof-of-replication-merkletree-poseidon_hasher-8-8-0-\
                       sha256_hasher-82a357d2f2ca81dc61bb45f4a762807aedee1b0a53fd6c4e77b46a01bfef7820";

    /// Checks an entry of c2 with the files that there are, and a variable of the worker.
    fn check(
        keys: &str,
        there: &[&str],
        variable: Option<&str>,
        proof: SealProof,
        missing: &[&str],
    ) {
        let processors = check_processors(&format!("[[processors.c2]]\n{keys}"), &[]);
        let there: BTreeSet<PathBuf> = there.iter().map(PathBuf::from).collect();
        let files = Files {
            worker_dir: Path::new("/opt"),
            exists: &|path| there.contains(path),
            search: Vec::new(),
            variable: &|name| variable.filter(|_| name == PARAMETER_CACHE).map(str::to_owned),
        };
        let mut found = Diagnostics::default();
        super::check(&processors, &files, proof, &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|d| d.message.rsplit_once('`').unwrap().0.rsplit('`').next().unwrap().to_owned())
            .collect();
        assert_eq!(found, missing, "{keys}");
    }

    #[test]
    fn both_files_of_the_set_have_to_be_there() {
        let size = SealProof::StackedDrg32GiBV1_1;
        let (params, vk) = (format!("/p/{SET}.params"), format!("/p/{SET}.vk"));
        let keys = "envs.FIL_PROOFS_PARAMETER_CACHE = \"/p\"";
        check(keys, &[&params, &vk], None, size, &[]);
        check(keys, &[&params], None, size, &[&vk]);
        check(keys, &[], None, size, &[&params]);
    }

    #[test]
    fn the_directory_is_the_entrys_or_the_workers_or_the_default() {
        let size = SealProof::StackedDrg32GiBV1_1;
        let at = |dir: &str| format!("{dir}/{SET}.params");
        check("", &[], None, size, &[&at(DEFAULT_CACHE)]);
        check("", &[], Some("/w"), size, &[&at("/w")]);
        check("inherit_envs = false", &[], Some("/w"), size, &[&at(DEFAULT_CACHE)]);
        let keys = "envs.FIL_PROOFS_PARAMETER_CACHE = \"/e\"";
        check(keys, &[], Some("/w"), size, &[&at("/e")]);
    }

    #[test]
    fn other_programs_and_test_sizes_are_left_alone() {
        check("bin = \"/opt/c2\"", &[], None, SealProof::StackedDrg32GiBV1_1, &[]);
        check("", &[], None, SealProof::StackedDrg8MiBV1_1, &[]);
    }
}
