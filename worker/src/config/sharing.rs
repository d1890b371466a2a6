// SPDX-License-Identifier: MIT OR Apache-2.0

//! What several entries use at once: cpus, GPUs.
//!
//! Sharing is allowed, and often meant: pc1 leaves every third core of an L3 group idle, and other
//! stages take those. Two entries with a common lock take turns, and nothing is said about them.

use sealpipe_protocol::Stage;

use super::{
    diagnostic::{Diagnostics, quoted},
    entry::{CUDA_VISIBLE_DEVICES, Entry},
    placement::Pinning,
};

/// Compares each entry with those before it.
pub(super) fn check(entries: &[Entry], found: &mut Diagnostics) {
    for (idx, entry) in entries.iter().enumerate() {
        let others: Vec<_> =
            entries[..idx].iter().filter(|other| !take_turns(entry, other)).collect();
        check_cpus(entry, &others, found);
        check_gpus(entry, &others, found);
    }
}

fn take_turns(one: &Entry, other: &Entry) -> bool {
    one.locks.iter().any(|lock| other.locks.contains(lock))
}

fn check_cpus(entry: &Entry, others: &[&Entry], found: &mut Diagnostics) {
    let pinned = |entry: &Entry| entry.pinning != Pinning::Off;
    let Some(cpus) = entry.cpus.as_ref().filter(|_| pinned(entry)) else { return };
    let mut shared = Vec::new();
    let mut both_label = false;
    for other in others.iter().filter(|other| pinned(other)) {
        let common = other.cpus.as_ref().map(|theirs| cpus.intersection(theirs));
        if let Some(common) = common.filter(|common| !common.is_empty()) {
            shared.push(format!("{common} with {}", named(other)));
            // Two pc1 processes bind their threads to the same cores of an L3 group.
            both_label |= entry.stage == Stage::Pc1 && other.stage == Stage::Pc1;
        }
    }
    if shared.is_empty() {
        return;
    }
    let span = entry.positions.value("cgroup.cpuset");
    let message = format!("cpus shared without a common lock: {}", shared.join(", "));
    if both_label {
        found.warning(span, message).hint =
            Some("two pc1 processors bind threads to the same cores; give each its own".to_owned());
    } else {
        found.note(span, message).hint = Some(
            "fine where one of them leaves these cpus idle; otherwise give them a common lock"
                .to_owned(),
        );
    }
}

fn check_gpus(entry: &Entry, others: &[&Entry], found: &mut Diagnostics) {
    for gpu in entry.gpus().unwrap_or_default() {
        let sharing: Vec<_> = others
            .iter()
            .filter(|other| other.gpus().is_some_and(|gpus| gpus.contains(&gpu)))
            .map(|other| named(other))
            .collect();
        if sharing.is_empty() {
            continue;
        }
        let gpu = quoted(gpu);
        let message =
            format!("GPU {gpu} shared without a common lock: with {}", sharing.join(", "));
        found.warning(entry.positions.value(CUDA_VISIBLE_DEVICES), message).hint = Some(
            "two tasks at once may run out of GPU memory; give the entries a common lock"
                .to_owned(),
        );
    }
}

/// An entry as a message names it.
fn named(entry: &Entry) -> String {
    format!("`{}` in line {}", entry.stage, entry.line())
}

#[cfg(test)]
mod tests {
    use crate::config::test::check_processors;

    fn check(text: &str, said: &[&str]) {
        check_processors(text, said);
    }

    #[test]
    fn shared_cpus_are_noted_and_two_pc1_on_one_core_warned_about() {
        check(
            "[[processors.pc2]]\ncgroup.cpuset = \"2,5\"\n[[processors.pc1]]\ncgroup.cpuset = \"0-3\"",
            &["note 2:17 cpus shared without a common lock: 2 with `pc1` in line 3"],
        );
        check(
            "[[processors.pc1]]\ncgroup.cpuset = \"0-3\"\n[[processors.pc1]]\ncgroup.cpuset = \"3-5\"",
            &["warning 4:17 cpus shared without a common lock: 3 with `pc1` in line 1"],
        );
    }

    #[test]
    fn a_shared_gpu_is_warned_about() {
        let envs = "envs = { CUDA_VISIBLE_DEVICES = \"0\" }";
        check(
            &format!("[[processors.pc2]]\n{envs}\n[[processors.c2]]\n{envs}"),
            &["warning 4:33 GPU `0` shared without a common lock: with `pc2` in line 1"],
        );
        check(
            &format!("[[processors.pc2]]\n{envs}\n[[processors.c2]]\ndevice = \"cpu\"\n{envs}"),
            &[],
        );
    }

    #[test]
    fn entries_with_a_common_lock_take_turns() {
        let keys =
            "envs = { CUDA_VISIBLE_DEVICES = \"0\" }\ncgroup.cpuset = \"0\"\nlocks = [\"g\"]";
        let text = format!(
            "[processors.ext_locks]\ng = 1\n[[processors.pc2]]\n{keys}\n[[processors.c2]]\n{keys}"
        );
        check(&text, &[]);
    }

    #[test]
    fn disjoint_entries_are_fine() {
        check(
            "[[processors.pc1]]\ncgroup.cpuset = \"0-3\"\n[[processors.pc1]]\ncgroup.cpuset = \"4\"\n\
             [[processors.c2]]",
            &[],
        );
    }
}
