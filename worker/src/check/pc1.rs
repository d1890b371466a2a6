// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which cores pc1 takes, and which nobody needs.
//!
//! Counted as filecoin-proofs labels, which the configurations of this field are written for: a task
//! takes a core, and a multicore one its producers besides, all of one L3 group. Each group serves a
//! task before any serves its second. What a group has beyond whole tasks it leaves, and other
//! stages are given those cores.

use sealpipe_protocol::{Stage, placement::CpuList};

use crate::{
    config::{Code, Diagnostics, Entry, Pinning, Processors},
    hardware::{Core, Hardware},
};

use super::programs::Ours;

/// Whether pc1 computes on several cores.
const MULTICORE: &str = "FIL_PROOFS_USE_MULTICORE_SDR";

/// Cores of a multicore task beside its first.
const PRODUCERS: &str = "FIL_PROOFS_MULTICORE_SDR_PRODUCERS";

/// Producers unless the entry says otherwise (storage-proofs-core, `settings.rs`).
const DEFAULT_PRODUCERS: usize = 3;

/// Sectors that our own pc1 labels on one core.
const OUR_LANES: usize = 4;

/// A pc1 entry, and the cores that it may use.
struct Labelling<'a> {
    entry: &'a Entry,
    /// Tasks at once; `None` for no bound.
    tasks: Option<usize>,
    /// Cores of one task.
    unit: usize,
    multicore: bool,
    /// The cores, by L3 group; no group is empty.
    groups: Vec<Vec<&'a Core>>,
}

/// The cpus of the cores that no task of an entry needs. What runs without cpus of its own, as the
/// implied processors do, runs anywhere and needs none.
pub fn free_cores(processors: &Processors, hardware: &Hardware) -> CpuList {
    let mut needed: Vec<u32> = Vec::new();
    for entry in processors.entries.iter().filter(|entry| is_on(entry, processors)) {
        if entry.stage == Stage::Pc1 {
            needed.extend(Labelling::of(entry, processors, hardware).cpus());
        } else if let Some(cpus) = entry.cpus.as_ref().filter(|_| entry.pinning != Pinning::Off) {
            needed.extend(cpus.iter());
        }
    }
    let needed: CpuList = needed.into_iter().collect();
    let is_free = |core: &&Core| core.cpus.intersection(&needed).is_empty();
    hardware.cores().filter(is_free).flat_map(|core| core.cpus.iter()).collect()
}

/// Says where pc1 tasks do not fit the cores of their entry.
pub(super) fn check(
    processors: &Processors,
    hardware: &Hardware,
    ours: &dyn Fn(&Entry) -> Option<Ours>,
    found: &mut Diagnostics,
) {
    for entry in processors.of_stage(Stage::Pc1).filter(|entry| is_on(entry, processors)) {
        let labelling = Labelling::of(entry, processors, hardware);
        labelling.check_groups(found);
        labelling.check_cores(ours(entry), found);
    }
}

fn is_on(entry: &Entry, processors: &Processors) -> bool {
    let limit = processors.limitation.concurrent.get(&entry.stage);
    entry.concurrent != Some(0) && limit != Some(&0)
}

impl<'a> Labelling<'a> {
    fn of(entry: &'a Entry, processors: &Processors, hardware: &'a Hardware) -> Self {
        let limit = processors.limitation.concurrent.get(&entry.stage).copied();
        let multicore = entry.envs.get(MULTICORE).is_some_and(|value| is_true(value));
        let producers = entry.envs.get(PRODUCERS).and_then(|text| text.trim().parse().ok());
        let producers: usize = producers.unwrap_or(DEFAULT_PRODUCERS);
        let cpus = entry.cpus.as_ref().filter(|_| entry.pinning != Pinning::Off);
        let is_granted =
            |core: &&Core| cpus.is_none_or(|cpus| !core.cpus.intersection(cpus).is_empty());
        let groups = hardware
            .l3_groups()
            .map(|group| group.cores.iter().filter(is_granted).collect::<Vec<_>>());
        Self {
            entry,
            tasks: entry.concurrent.into_iter().chain(limit).min(),
            unit: if multicore { producers.saturating_add(1) } else { 1 },
            multicore,
            groups: groups.filter(|cores| !cores.is_empty()).collect(),
        }
    }

    fn n_cores(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// The cpus that the tasks need: whole units of the groups, one group after the other, or all
    /// where tasks are left that no group has room for.
    fn cpus(&self) -> Vec<u32> {
        let per_group = self.groups.iter().map(|cores| cores.len() / self.unit).max().unwrap_or(0);
        let mut left = self.tasks;
        let mut needed = Vec::new();
        for round in 0..per_group {
            let unit = round * self.unit..(round + 1) * self.unit;
            for cores in self.groups.iter().filter_map(|cores| cores.get(unit.clone())) {
                if left == Some(0) {
                    return needed;
                }
                needed.extend(cores.iter().flat_map(|core| core.cpus.iter()));
                left = left.map(|tasks| tasks - 1);
            }
        }
        if left == Some(0) {
            return needed;
        }
        self.groups.iter().flatten().flat_map(|core| core.cpus.iter()).collect()
    }

    /// filecoin-proofs panics unless the cores divide by the groups.
    fn check_groups(&self, found: &mut Diagnostics) {
        let Some(largest) = self.groups.iter().map(Vec::len).max().filter(|_| self.multicore)
        else {
            return;
        };
        let smaller: Vec<_> = self.groups.iter().filter(|cores| cores.len() < largest).collect();
        if smaller.is_empty() {
            return;
        }
        let cpus: CpuList = smaller
            .iter()
            .flat_map(|cores| cores.iter())
            .flat_map(|core| core.cpus.iter())
            .collect();
        let (n_smaller, n_groups) = (smaller.len(), self.groups.len());
        let verb = if n_smaller == 1 { "gives" } else { "give" };
        let message = format!(
            "{n_smaller} of {n_groups} L3 groups {verb} fewer than {largest} cores: cpus {cpus}"
        );
        found.say(Code::UnequalGroups, self.span(), message).hint =
            Some("give the entry whole groups; `sealpipe hwinfo` shows them".to_owned());
    }

    fn check_cores(&self, ours: Option<Ours>, found: &mut Diagnostics) {
        let Some(tasks) = self.tasks else { return };
        let n_cores = self.n_cores();
        let needed = match ours {
            Some(Ours::Pc1) => tasks.div_ceil(OUR_LANES),
            _ => tasks.saturating_mul(self.unit),
        };
        // An entry none of whose cpus is there is told so already.
        if needed <= n_cores || n_cores == 0 {
            return;
        }
        let each = match (ours, self.unit) {
            (Some(Ours::Pc1), _) => format!("at most {OUR_LANES} to a core"),
            (_, 1) => "one core each".to_owned(),
            (_, unit) => format!("{unit} cores each"),
        };
        let message =
            format!("{tasks} tasks, {each}, take {needed} cores, and the entry has {n_cores}");
        found.say(Code::TooFewCores, self.entry.positions.value("concurrent"), message).hint =
            Some("lower `concurrent`, or name more cpus".to_owned());
    }

    fn span(&self) -> crate::config::Span {
        self.entry.positions.value("cgroup.cpuset")
    }
}

/// What filecoin-proofs takes for true.
fn is_true(value: &str) -> bool {
    ["1", "true", "on", "yes"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
