// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many tasks of a stage run at a time, and on which of the granted cpus each of them.

use sealpipe_protocol::{Stage, placement::CpuList};

/// How many tasks of `stage` are taken at a time on `n_cpus`, when the worker asks for at most
/// `asked`. The proof is not known yet, so memory is the worker's to reckon with (a pc1 or unseal
/// holds two layers, 64 GiB for a 32 GiB sector).
///
/// - echo, add_pieces and verify keep one thread busy: one on each cpu, but at least two, so that a
///   long one does not hold up the others.
/// - pc1 and unseal have one thread that hashes and at least one that fetches parents: two cpus.
/// - c1 reads at random places: as pc1.
/// - tree_d, pc2 and c2 use every cpu by themselves: one, unless the worker asks for more.
pub fn max_concurrent(stage: Stage, n_cpus: usize, asked: Option<u32>) -> u32 {
    let n_cpus = u32::try_from(n_cpus).unwrap_or(u32::MAX).max(1);
    match stage {
        Stage::Echo | Stage::AddPieces | Stage::Verify => {
            n_cpus.max(2).min(asked.unwrap_or(u32::MAX))
        }
        Stage::Pc1 | Stage::Unseal | Stage::C1 => {
            (n_cpus / 2).max(1).min(asked.unwrap_or(u32::MAX))
        }
        Stage::TreeD | Stage::Pc2 | Stage::C2 => n_cpus.min(asked.unwrap_or(1)),
    }
    .max(1)
}

/// The cpus of one more task: an equal share of `granted` among `concurrent` tasks, at least one,
/// those first that the fewest of the running tasks have, then in order.
pub fn allot(granted: &CpuList, concurrent: u32, in_use: &[CpuList]) -> CpuList {
    let share = (granted.len() / concurrent.max(1) as usize).max(1);
    let mut cpus: Vec<u32> = granted.iter().collect();
    cpus.sort_by_key(|cpu| in_use.iter().filter(|taken| taken.contains(*cpu)).count());
    cpus.into_iter().take(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> CpuList {
        text.parse().unwrap()
    }

    #[test]
    fn tasks_get_equal_shares_of_the_least_used_cpus() {
        let check = |granted, concurrent, in_use: &[&str], expected: &str| {
            let in_use: Vec<_> = in_use.iter().map(|cpus| list(cpus)).collect();
            let allotted = allot(&list(granted), concurrent, &in_use);
            assert_eq!(allotted.to_string(), expected, "{granted} {concurrent} {in_use:?}");
        };
        check("0-7", 2, &[], "0-3");
        check("0-7", 2, &["0-3"], "4-7");
        check("0-7", 2, &["4-7"], "0-3");
        check("0-7", 1, &[], "0-7");
        check("0-7", 3, &["0,1"], "2,3");
        check("2,5,9", 2, &[], "2");
        // More tasks than cpus: they share, as evenly as can be.
        check("3", 4, &["3", "3"], "3");
        check("0-1", 4, &["0", "1", "0"], "1");
        // A stage that takes everything gets it, whoever else runs.
        check("0-3", 1, &["0", "2"], "0-3");
    }

    #[test]
    fn what_is_offered_follows_from_cpus_and_never_passes_what_is_asked() {
        let check = |stage, n_cpus, asked, expected| {
            assert_eq!(
                max_concurrent(stage, n_cpus, asked),
                expected,
                "{stage} {n_cpus} {asked:?}"
            );
        };
        check(Stage::Echo, 1, None, 2);
        check(Stage::Echo, 8, Some(1), 1);
        check(Stage::Verify, 8, None, 8);
        check(Stage::Pc1, 8, None, 4);
        check(Stage::Pc1, 1, None, 1);
        check(Stage::Pc1, 8, Some(2), 2);
        check(Stage::Pc2, 8, None, 1);
        check(Stage::Pc2, 8, Some(2), 2);
        check(Stage::C2, 2, Some(9), 2);
        check(Stage::C2, 0, None, 1);
    }
}
