// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scheme B of the damocles documentation on the cpus and GPUs of a machine.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use sealpipe_tests::root;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// The scheme as its users have it, for 96 cpus and two GPUs.
const SCHEME: &str = "worker/tests/data/scheme-b.toml";

/// A cpu of so many of each node is left to c2, as in the scheme: 6 of 48.
const C2_SHARE: usize = 8;

/// Cpus of a group, that is of an L3 cache: two compute labels, the third is left to pc2 and c2.
const GROUP: usize = 3;

/// The groups whose third cpu pc2 and c2 may use, of each 7: 8 and 12 of the scheme's 14.
const GROUPS: usize = 7;
const PC2_GROUPS: usize = 4;
const C2_GROUPS: usize = 6;

/// The variable that names the directory of the Groth16 parameters.
pub const PARAMETERS: &str = "FIL_PROOFS_PARAMETER_CACHE";

/// The scheme for one machine.
pub struct Scheme(DocumentMut);

/// What one half of the scheme has: one GPU's.
struct Half {
    /// The memory node, where the machine has one for each half.
    node: Option<usize>,
    pc1: Vec<usize>,
    pc2: Vec<usize>,
    c2: Vec<usize>,
    /// Sectors that pc1 labels at once.
    sectors: usize,
}

impl Half {
    /// The scheme's rule for the cpus of a half: six of seven are pc1's, with a third of which pc2 and c2
    /// make do, and the others c2's.
    fn of(cpus: &[usize], node: Option<usize>) -> Self {
        let c2_alone = cpus.len().div_ceil(C2_SHARE).min(cpus.len() - 1);
        let (pc1, alone) = cpus.split_at(cpus.len() - c2_alone);
        let thirds: Vec<usize> = pc1.iter().copied().skip(GROUP - 1).step_by(GROUP).collect();
        // Of a machine that has no whole group, the last cpu.
        let thirds = if thirds.is_empty() { pc1[pc1.len() - 1..].to_vec() } else { thirds };
        let first = |groups: usize| &thirds[..(thirds.len() * groups).div_ceil(GROUPS)];
        let c2 = [first(C2_GROUPS), alone].concat();
        let sectors = (pc1.len() / GROUP).max(1);
        Self { node, pc1: pc1.to_vec(), pc2: first(PC2_GROUPS).to_vec(), c2, sectors }
    }
}

impl Scheme {
    /// The scheme on the cpus of a machine, given by its memory nodes, with one or both of its halves.
    /// A machine with another number of nodes than halves is cut into equal parts.
    pub fn on(nodes: &[Vec<usize>], n_halves: usize) -> Self {
        let all: Vec<usize> = nodes.iter().flatten().copied().collect();
        let is_split = nodes.len() == n_halves;
        let parts: Vec<&[usize]> = match is_split {
            true => nodes.iter().map(Vec::as_slice).collect(),
            false => all.chunks(all.len() / n_halves).take(n_halves).collect(),
        };
        let halves = parts.iter().enumerate();
        let halves: Vec<_> =
            halves.map(|(k, cpus)| Half::of(cpus, is_split.then_some(k))).collect();
        let text = fs::read_to_string(root().join(SCHEME)).unwrap();
        let mut scheme = Self(text.parse().unwrap());
        for stage in ["pc1", "pc2", "c2"] {
            let entries = scheme.entries_mut(stage);
            (halves.len()..entries.len()).rev().for_each(|k| drop(entries.remove(k)));
            for (half, entry) in halves.iter().zip(entries.iter_mut()) {
                half.apply(stage, entry);
            }
        }
        let sectors: usize = halves.iter().map(|half| half.sectors).sum();
        let at_once = &mut scheme.0["processors"]["limitation"]["concurrent"];
        at_once["pc1"] = value(i64::try_from(sectors).unwrap());
        for stage in ["pc2", "c2"] {
            at_once[stage] = value(i64::try_from(halves.len()).unwrap());
        }
        let locks = scheme.0["processors"]["ext_locks"].as_table_mut().unwrap();
        (halves.len()..2).for_each(|k| drop(locks.remove(&format!("gpu{}", k + 1))));
        scheme
    }

    /// The same on the cpu.
    pub fn without_gpus(mut self) -> Self {
        for stage in ["pc2", "c2"] {
            self.entries_mut(stage).iter_mut().for_each(|entry| entry["device"] = value("cpu"));
        }
        self
    }

    /// The same with Groth16 parameters in a directory, for those who prove and who verify.
    pub fn with_parameters(mut self, dir: &Path) -> Self {
        let dir = || value(dir.to_str().unwrap());
        self.entries_mut("c2").iter_mut().for_each(|entry| entry["envs"][PARAMETERS] = dir());
        let mut verify = Table::new();
        verify["envs"][PARAMETERS] = dir();
        let entries: ArrayOfTables = [verify].into_iter().collect();
        self.0["processors"]["verify"] = Item::ArrayOfTables(entries);
        self
    }

    /// The processors that hold each lock, as the journal names them.
    pub fn holders(&self) -> BTreeMap<String, Vec<String>> {
        let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (stage, item) in self.0["processors"].as_table().unwrap() {
            let entries = item.as_array_of_tables().into_iter().flatten();
            for (k, entry) in entries.enumerate() {
                let locks = entry.get("locks").and_then(|locks| locks.as_array());
                for lock in locks.into_iter().flatten() {
                    let lock = lock.as_str().unwrap().to_owned();
                    holders.entry(lock).or_default().push(format!("{stage}[{k}]"));
                }
            }
        }
        holders
    }

    fn entries_mut(&mut self, stage: &str) -> &mut ArrayOfTables {
        self.0["processors"][stage].as_array_of_tables_mut().unwrap()
    }
}

impl Half {
    fn apply(&self, stage: &str, entry: &mut Table) {
        let cpus = match stage {
            "pc1" => &self.pc1,
            "pc2" => &self.pc2,
            _ => &self.c2,
        };
        entry["cgroup"]["cpuset"] = value(list(cpus));
        if stage == "pc1" {
            entry["concurrent"] = value(i64::try_from(self.sectors).unwrap());
            if self.node.is_none() {
                entry.remove("numa_preferred");
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Cpus as a list in the kernel's format.
fn list(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|a, b| a + 1 == *b);
    let runs = runs.map(|run| match run {
        [one] => one.to_string(),
        [one, other] => format!("{one},{other}"),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// The cpus of a list in the kernel's format.
fn cpus(list: &str) -> Vec<usize> {
    let number = |text: &str| text.parse::<usize>().unwrap();
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(part)..=number(part),
    };
    list.trim().split(',').filter(|part| !part.is_empty()).flat_map(range).collect()
}

/// The cpus of each memory node of this machine that this process may use; nodes without any are left out.
pub fn nodes() -> Vec<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = cpus(allowed.expect("the kernel says it"));
    let of_node = |k: usize| {
        let path = format!("/sys/devices/system/node/node{k}/cpulist");
        let mut cpus = cpus(&fs::read_to_string(path).ok()?);
        cpus.retain(|cpu| allowed.contains(cpu));
        Some(cpus)
    };
    let nodes: Vec<_> = (0..).map_while(of_node).filter(|cpus| !cpus.is_empty()).collect();
    if nodes.is_empty() { vec![allowed] } else { nodes }
}

/// The scheme's rule gives the scheme's own numbers on its own machine, and those that the test of
/// placement has on its small one.
#[test]
fn the_scheme_is_scaled_by_its_own_rule() {
    let same = |nodes: &[Vec<usize>], file: &str| {
        let expected: DocumentMut = fs::read_to_string(root().join(file)).unwrap().parse().unwrap();
        let scaled = Scheme::on(nodes, 2);
        for stage in ["pc1", "pc2", "c2"] {
            let shown = |document: &DocumentMut| -> Vec<String> {
                let entries = document["processors"][stage].as_array_of_tables().unwrap().iter();
                let keys = ["numa_preferred", "concurrent", "locks"];
                entries
                    .map(|entry| {
                        let cpus = entry["cgroup"]["cpuset"].as_str().unwrap();
                        let keys = keys.map(|key| {
                            entry.get(key).map(|item| item.to_string().trim().to_owned())
                        });
                        format!("{cpus} {keys:?}")
                    })
                    .collect()
            };
            assert_eq!(shown(&scaled.0), shown(&expected), "{file}: {stage}");
            let limit = |document: &DocumentMut| {
                document["processors"]["limitation"]["concurrent"][stage].as_integer()
            };
            assert_eq!(limit(&scaled.0), limit(&expected), "{file}: {stage}");
        }
    };
    same(&[(0..48).collect(), (48..96).collect()], SCHEME);
    same(&[(0..4).collect(), (4..8).collect()], "tests/vm/scheme-b.toml");
    // One node for two GPUs, and one GPU.
    let scheme = Scheme::on(&[(0..32).collect()], 2).to_string();
    for text in
        ["\"0-13\"", "\"16-29\"", "\"2,5,8\"", "\"2,5,8,11,14,15\"", "\"18,21,24,27,30,31\""]
    {
        assert!(scheme.contains(text), "{text} is not in\n{scheme}");
    }
    assert!(!scheme.contains("numa_preferred"), "{scheme}");
    let scheme = Scheme::on(&[(0..16).collect()], 1);
    assert!(!scheme.to_string().contains("gpu2"), "{scheme}");
    assert_eq!(scheme.holders().into_values().collect::<Vec<_>>(), [["pc2[0]", "c2[0]"]]);
    // Two cpus are few, and enough.
    assert!(Scheme::on(&[vec![0, 1]], 2).to_string().contains("cpuset = \"1\""));
}
