// SPDX-License-Identifier: MIT OR Apache-2.0

//! What several entries use at once: cpus, GPUs.
//!
//! Sharing is allowed, and often meant: pc1 leaves every third core of an L3 group idle, and other
//! stages take those. Two entries with a common lock take turns, and nothing is said about them.

use sealpipe_protocol::{Stage, placement::CpuList};

use super::{
    code::Code,
    diagnostic::{Diagnostics, quoted},
    entry::{CUDA_VISIBLE_DEVICES, Entry},
    placement::Pinning,
};

/// Most other entries that a message names.
const MAX_NAMED: usize = 4;

/// Words of 64 cpus each.
const N_WORDS: usize = (CpuList::MAX_CPU as usize + 1).div_ceil(64);

/// Cpus as bits: each entry is compared with each, and lists are slow at that.
struct Mask(Box<[u64; N_WORDS]>);

/// An entry, and the cpus to which it is pinned.
struct Pinned<'a> {
    entry: &'a Entry,
    cpus: Option<Mask>,
}

/// Compares each entry with those before it.
pub(super) fn check(entries: &[Entry], found: &mut Diagnostics) {
    let pinned = entries.iter().map(|entry| {
        let cpus = entry.cpus.as_ref().filter(|_| entry.pinning != Pinning::Off);
        Pinned { entry, cpus: cpus.map(Mask::of) }
    });
    let pinned: Vec<_> = pinned.collect();
    for (idx, one) in pinned.iter().enumerate() {
        let others: Vec<_> =
            pinned[..idx].iter().filter(|other| !take_turns(one.entry, other.entry)).collect();
        check_cpus(one, &others, found);
        let others: Vec<_> = others.iter().map(|other| other.entry).collect();
        check_gpus(one.entry, &others, found);
    }
}

impl Mask {
    fn of(cpus: &CpuList) -> Self {
        let mut words = Box::new([0; N_WORDS]);
        for cpu in cpus.iter() {
            words[cpu as usize / 64] |= 1 << (cpu % 64);
        }
        Self(words)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).any(|(one, other)| one & other != 0)
    }
}

fn take_turns(one: &Entry, other: &Entry) -> bool {
    one.locks.iter().any(|lock| other.locks.contains(lock))
}

fn check_cpus(one: &Pinned<'_>, others: &[&Pinned<'_>], found: &mut Diagnostics) {
    let entry = one.entry;
    let (Some(mask), Some(cpus)) = (&one.cpus, &entry.cpus) else { return };
    let overlaps = |other: &&&Pinned<'_>| other.cpus.as_ref().is_some_and(|o| mask.overlaps(o));
    let sharing: Vec<_> = others.iter().filter(overlaps).map(|other| other.entry).collect();
    if sharing.is_empty() {
        return;
    }
    // Two pc1 processes bind their threads to the same cores of an L3 group.
    let is_pc1 = |entry: &Entry| entry.stage == Stage::Pc1;
    let both_label = is_pc1(entry) && sharing.iter().any(|other| is_pc1(other));
    let shared = sharing.iter().take(MAX_NAMED).map(|other| {
        let common = other.cpus.as_ref().map(|theirs| cpus.intersection(theirs));
        format!("{} with {}", common.unwrap_or_default(), named(other))
    });
    let shared = listed(shared.collect(), sharing.len());
    let span = entry.positions.value("cgroup.cpuset");
    let message = format!("cpus shared without a common lock: {shared}");
    if both_label {
        found.say(Code::SharedPc1Cpus, span, message).hint =
            Some("two pc1 processors bind threads to the same cores; give each its own".to_owned());
    } else {
        found.say(Code::SharedCpus, span, message).hint = Some(
            "fine where one of them leaves these cpus idle; otherwise give them a common lock"
                .to_owned(),
        );
    }
}

fn check_gpus(entry: &Entry, others: &[&Entry], found: &mut Diagnostics) {
    for gpu in entry.gpus().unwrap_or_default() {
        let names_it = |other: &&&Entry| other.gpus().is_some_and(|gpus| gpus.contains(&gpu));
        let sharing: Vec<_> = others.iter().filter(names_it).collect();
        if sharing.is_empty() {
            continue;
        }
        let names = sharing.iter().take(MAX_NAMED).map(|other| named(other)).collect();
        let names = listed(names, sharing.len());
        let gpu = quoted(gpu);
        let message = format!("GPU {gpu} shared without a common lock: with {names}");
        found.say(Code::SharedGpu, entry.positions.value(CUDA_VISIBLE_DEVICES), message).hint =
            Some(
                "two tasks at once may run out of GPU memory; give the entries a common lock"
                    .to_owned(),
            );
    }
}

/// The first of so many, and how many more there are.
fn listed(first: Vec<String>, n_all: usize) -> String {
    let more = n_all - first.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", first.join(", "))
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
    fn of_many_that_share_a_few_are_named() {
        let mut text = "[[processors.c2]]\ncgroup.cpuset = \"8191\"\n".repeat(6);
        text.push_str("[[processors.c1]]\ncgroup.cpuset = \"0\"");
        let parsed = crate::config::parse(&crate::config::Source::new("test", text));
        let said: Vec<_> = parsed.diagnostics().iter().map(|d| d.message.as_str()).collect();
        assert_eq!(said.len(), 5);
        assert_eq!(
            said[4],
            "cpus shared without a common lock: 8191 with `c2` in line 1, 8191 with `c2` in line 3, \
             8191 with `c2` in line 5, 8191 with `c2` in line 7 and 1 more"
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
