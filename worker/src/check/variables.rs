// SPDX-License-Identifier: MIT OR Apache-2.0

//! Environment variables of an entry that mean nothing to the program that serves it.

use crate::config::{Code, Diagnostics, Entry, spelling};

use super::programs::Ours;

/// What rust-fil-proofs reads (storage-proofs-core 19.1, `settings.rs`), whatever is computed.
const FIL_PROOFS: &[&str] = &[
    "FIL_PROOFS_CACHE_DIR",
    "FIL_PROOFS_COLUMN_WRITE_BATCH_SIZE",
    "FIL_PROOFS_GPU_FRAMEWORK",
    "FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE",
    "FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE",
    "FIL_PROOFS_MULTICORE_SDR_LOOKAHEAD",
    "FIL_PROOFS_MULTICORE_SDR_PRODUCERS",
    "FIL_PROOFS_MULTICORE_SDR_PRODUCER_STRIDE",
    "FIL_PROOFS_PARAMETER_CACHE",
    "FIL_PROOFS_PARENT_CACHE",
    "FIL_PROOFS_ROWS_TO_DISCARD",
    "FIL_PROOFS_SDR_PARENTS_CACHE_SIZE",
    "FIL_PROOFS_USE_GPU_COLUMN_BUILDER",
    "FIL_PROOFS_USE_GPU_TREE_BUILDER",
    "FIL_PROOFS_USE_MULTICORE_SDR",
    "FIL_PROOFS_VERIFY_CACHE",
    "FIL_PROOFS_VERIFY_PRODUCTION_PARAMS",
    "FIL_PROOFS_WINDOW_POST_SYNTHESIS_NUM_CPUS",
];

/// What of that says how GPUs are used: nothing to a program that has none.
const GPU: &[&str] = &[
    "FIL_PROOFS_GPU_FRAMEWORK",
    "FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE",
    "FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE",
    "FIL_PROOFS_USE_GPU_COLUMN_BUILDER",
    "FIL_PROOFS_USE_GPU_TREE_BUILDER",
];

/// What `sealpipe-pc1` reads.
const PC1: &[&str] = &[
    "FIL_PROOFS_CACHE_DIR",
    "FIL_PROOFS_PARENT_CACHE",
    "HUGEPAGE_FILES_PATH",
    "HUGEPAGE_FILES_PATH_PATTERN",
    "SEALPIPE_PC1_HYPERTHREADS",
    "SEALPIPE_PC1_KERNEL",
    "SEALPIPE_PC1_LANES_PER_CORE",
    "SEALPIPE_PC1_MEMORY",
];

/// What `sealpipe-pc2` reads.
const PC2: &[&str] = &[
    "FIL_PROOFS_MAX_GPU_COLUMN_BATCH_SIZE",
    "FIL_PROOFS_MAX_GPU_TREE_BATCH_SIZE",
    "FIL_PROOFS_ROWS_TO_DISCARD",
];

/// What `sealpipe-c2` reads.
const C2: &[&str] = &[
    "FIL_PROOFS_PARAMETER_CACHE",
    "FIL_PROOFS_VERIFY_PRODUCTION_PARAMS",
    "SEALPIPE_C2_CACHE",
    "SEALPIPE_C2_IMAGE",
    "SEALPIPE_C2_MEMORY",
];

/// The beginnings of names that are looked at; all others may mean something to somebody.
const PREFIXES: &[&str] = &["FIL_PROOFS_", "HUGEPAGE_FILES_", "SEALPIPE_C2_", "SEALPIPE_PC1_"];

/// Mentions the variables that the program does not read. Of a program that is not ours only those
/// that are probably mistyped: it may be of any release.
pub(super) fn check(entry: &Entry, ours: Option<Ours>, found: &mut Diagnostics) {
    let looked_at = |name: &&String| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let is_dead = |name: &&String| match ours {
        Some(ours) => !reads(ours, name),
        None => !FIL_PROOFS.contains(&name.as_str()) && meant(name).is_some(),
    };
    let dead: Vec<&String> = entry.envs.keys().filter(looked_at).filter(is_dead).collect();
    let Some(first) = dead.first() else { return };
    let names = dead.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let verb = if dead.len() == 1 { "means" } else { "mean" };
    let program = ours.map_or("rust-fil-proofs", Ours::name);
    let message = format!("{names} {verb} nothing to {program}");
    found.say(Code::DeadVariable, entry.positions.value("envs"), message).hint =
        meant(first).map(|name| format!("did you mean `{name}`?"));
}

fn reads(ours: Ours, name: &str) -> bool {
    match ours {
        Ours::Reference => FIL_PROOFS.contains(&name) && !GPU.contains(&name),
        Ours::Pc1 => PC1.contains(&name),
        Ours::Pc2 => PC2.contains(&name),
        Ours::C2 => C2.contains(&name),
    }
}

/// The variable that a mistyped one was meant to be.
fn meant(name: &str) -> Option<&'static str> {
    let known = FIL_PROOFS.iter().chain(PC1).chain(C2).copied();
    // Names of another release are near to others, too: a slip of the pen is one or two letters.
    spelling::within(name, known, MAX_SLIPS).filter(|nearest| *nearest != name)
}

/// Letters by which a mistyped variable differs.
const MAX_SLIPS: usize = 2;

#[cfg(test)]
mod tests {
    use crate::config::test::check_processors;

    use super::*;

    fn check(envs: &[&str], ours: Option<Ours>, said: &[&str]) {
        let envs: String = envs.iter().map(|name| format!("envs.{name} = \"1\"\n")).collect();
        let text = format!("[[processors.pc1]]\n{envs}");
        let entry = check_processors(&text, &[]).entries.remove(0);
        let mut found = Diagnostics::default();
        super::check(&entry, ours, &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|d| format!("{}; {}", d.message, d.hint.clone().unwrap_or_default()))
            .collect();
        assert_eq!(found, said, "{envs}");
    }

    #[test]
    fn each_program_reads_its_own() {
        let multicore = ["FIL_PROOFS_USE_MULTICORE_SDR", "FIL_PROOFS_MULTICORE_SDR_PRODUCERS"];
        check(&multicore, Some(Ours::Reference), &[]);
        check(
            &multicore,
            Some(Ours::Pc1),
            &[
                "`FIL_PROOFS_MULTICORE_SDR_PRODUCERS`, `FIL_PROOFS_USE_MULTICORE_SDR` mean nothing to \
               sealpipe-pc1; ",
            ],
        );
        check(&["FIL_PROOFS_PARENT_CACHE", "SEALPIPE_PC1_MEMORY"], Some(Ours::Pc1), &[]);
        check(&["FIL_PROOFS_ROWS_TO_DISCARD"], Some(Ours::Pc2), &[]);
        check(&["FIL_PROOFS_PARAMETER_CACHE", "SEALPIPE_C2_CACHE"], Some(Ours::C2), &[]);
        check(
            &["FIL_PROOFS_USE_GPU_TREE_BUILDER"],
            Some(Ours::Reference),
            &["`FIL_PROOFS_USE_GPU_TREE_BUILDER` means nothing to sealpipe-reference; "],
        );
    }

    #[test]
    fn of_other_programs_only_slips_are_mentioned() {
        check(&["FIL_PROOFS_MAXIMIZE_CACHING", "FIL_PROOFS_OLD"], None, &[]);
        check(
            &["FIL_PROOFS_USE_MULTICORE_SRD"],
            None,
            &["`FIL_PROOFS_USE_MULTICORE_SRD` means nothing to rust-fil-proofs; did you mean \
               `FIL_PROOFS_USE_MULTICORE_SDR`?"],
        );
    }

    #[test]
    fn the_table_is_what_programs_read_and_documents_say() {
        let page = include_str!("../../../docs/configuration.md");
        for name in PC1.iter().chain(PC2).chain(C2) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
        let pc1 = [
            include_str!("../../../processors/pc1/src/settings.rs"),
            include_str!("../../../processors/pc1/src/parents/mod.rs"),
            include_str!("../../../processors/pc1/src/memory/supply.rs"),
        ];
        let pc2 = [include_str!("../../../processors/pc2/src/stage.rs")];
        let c2 = [
            include_str!("../../../processors/c2/src/gpu/mod.rs"),
            include_str!("../../../processors/c2/src/gpu/budget.rs"),
            include_str!("../../../processors/c2/src/params/kept.rs"),
        ];
        let reads = |sources: &[&str], name: &str| {
            sources.iter().any(|source| source.contains(&format!("\"{name}\"")))
        };
        assert!(PC1.iter().all(|name| reads(&pc1, name)));
        assert!(PC2.iter().all(|name| reads(&pc2, name)));
        // The others are read by filecoin-proofs.
        assert!(C2.iter().all(|name| reads(&c2, name) || FIL_PROOFS.contains(name)));
    }

    #[test]
    fn variables_of_the_system_are_left_alone() {
        check(&["RUST_LOG", "PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR"], Some(Ours::Pc1), &[]);
    }
}
