// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a configuration asks for, read without the worker's code, and compared with what ran.

use std::{collections::BTreeSet, fs, path::Path};

use sealpipe_tests::text;
use serde_json::Value;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use crate::PROGRAMS;

/// Anonymous pages that a process may have on another node than it prefers, of a hundred: those of
/// its first moments.
const STRAY_PERCENT: u64 = 5;

/// A configuration.
#[derive(Clone)]
pub struct Scheme(DocumentMut);

/// An entry of a configuration.
struct Entry<'s> {
    stage: &'s str,
    table: &'s Table,
}

impl Scheme {
    /// Reads a configuration.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        Self(fs::read_to_string(path).unwrap().parse().unwrap())
    }

    /// Its text.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// The same on a machine without a GPU.
    pub fn on_the_cpu(self) -> Self {
        self.with(&["pc2", "c2"], "device", "cpu")
    }

    /// The same with stages in the reference program, which computes in helper processes; and pc2,
    /// whose cpus are on both nodes, prefers the memory of one.
    pub fn with_helpers(&self) -> Self {
        let reference = format!("{PROGRAMS}/sealpipe-reference");
        let mut scheme = self.clone().with(&["pc1", "pc2"], "bin", &reference);
        scheme.entries_of("pc2").for_each(|entry| entry["numa_preferred"] = toml_edit::value(1));
        scheme
    }

    /// The same with processes that the worker pins.
    pub fn pinned_by_the_worker(&self) -> Self {
        self.clone().with(&["pc1", "pc2", "c2"], "pinning", "worker")
    }

    /// The same with shares of the cpus' time.
    pub fn weighted(&self) -> Self {
        let mut scheme = self.clone();
        for (stage, weight) in [("pc1", 400), ("c2", 50)] {
            let entries = scheme.entries_of(stage);
            entries.for_each(|entry| entry["cgroup"]["weight"] = toml_edit::value(weight));
        }
        scheme
    }

    /// The same with other cpus for a stage.
    pub fn with_cpus(mut self, stage: &str, cpus: &str) -> Self {
        self.entries_of(stage).for_each(|entry| entry["cgroup"]["cpuset"] = toml_edit::value(cpus));
        self
    }

    fn with(mut self, stages: &[&str], key: &str, value: &str) -> Self {
        for stage in stages {
            self.entries_of(stage).for_each(|entry| entry[key] = toml_edit::value(value));
        }
        self
    }

    fn entries_of(&mut self, stage: &str) -> impl Iterator<Item = &mut Table> {
        self.0["processors"][stage].as_array_of_tables_mut().unwrap().iter_mut()
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        let processors = self.0["processors"].as_table().unwrap();
        let stages = processors.iter().filter_map(|(stage, item)| Some((stage, tables(item)?)));
        stages
            .flat_map(|(stage, tables)| tables.iter().map(move |table| Entry { stage, table }))
            .collect()
    }

    /// Compares the processes that ran with the entries; `in_groups` if each has a control group.
    /// Gives how many helper processes of theirs were seen.
    #[track_caller]
    pub fn check(&self, processes: &[&Value], in_groups: bool) -> usize {
        let entries = self.entries();
        let mut groups = BTreeSet::new();
        let mut n_helpers = 0;
        let mut found = BTreeSet::new();
        for entry in &entries {
            let fronts = processes.iter().filter(|process| entry.is_front(process));
            let of_stage: Vec<_> = fronts.collect();
            let n_entries = entries.iter().filter(|other| other.stage == entry.stage).count();
            assert_eq!(of_stage.len(), n_entries, "{}: {of_stage:#?}", entry.stage);
            // Within a stage no two entries of the schemes have the same cpus.
            let mut here = of_stage.iter().filter(|process| entry.has_cpus(process));
            let (Some(process), None) = (here.next(), here.next()) else {
                panic!("no process, or more than one, runs on {}: {of_stage:#?}", entry.cpus());
            };
            assert!(found.insert(process["pid"].as_i64()), "two entries share {process:#}");
            entry.check(process);
            if in_groups {
                entry.check_group(process);
                assert!(groups.insert(text(process, "controlGroup")), "shared: {process:#}");
            }
            for helper in processes.iter().filter(|other| other["parent"] == process["pid"]) {
                n_helpers += 1;
                entry.check_helper(helper);
                assert_eq!(helper["controlGroup"], process["controlGroup"], "{helper:#}");
            }
        }
        n_helpers
    }
}

fn tables(item: &Item) -> Option<&ArrayOfTables> {
    item.as_array_of_tables()
}

impl Entry<'_> {
    fn cpus(&self) -> &str {
        self.table["cgroup"]["cpuset"].as_str().unwrap()
    }

    /// The policy of its memory, as the kernel writes it.
    fn policy(&self) -> String {
        let node = self.table.get("numa_preferred").and_then(Item::as_integer);
        node.map_or("default".to_owned(), |node| format!("prefer:{node}"))
    }

    fn is_pinned_by_the_worker(&self) -> bool {
        self.table.get("pinning").and_then(Item::as_str) == Some("worker")
    }

    /// Whether a process is one that the worker starts for the stage: its first arguments say so.
    fn is_front(&self, process: &Value) -> bool {
        process["command"][1] == "processor" && process["command"][2] == self.stage
    }

    /// Whether a process runs on the entry's cpus, all of them: its first thread does.
    fn has_cpus(&self, process: &Value) -> bool {
        let mut first = threads(process).filter(|thread| thread["id"] == process["pid"]);
        first.any(|thread| cpus(text(thread, "cpus")) == cpus(self.cpus()))
    }

    fn check(&self, process: &Value) {
        let granted = cpus(self.cpus());
        for thread in threads(process) {
            // It may give a thread a part of its cpus.
            assert!(cpus(text(thread, "cpus")).is_subset(&granted), "{process:#}");
            assert_eq!(text(thread, "policy"), self.policy(), "{process:#}");
        }
        for (name, value) in self.table["envs"].as_inline_table().unwrap() {
            assert_eq!(text(&process["environment"], name), value.as_str().unwrap(), "{process:#}");
        }
        if self.is_pinned_by_the_worker() {
            // From the first instruction of the program on.
            self.check_ever(process);
            self.check_pages(process);
        }
    }

    /// It has a control group of its own, which gives it what the entry says and was its from its
    /// first instruction on.
    fn check_group(&self, process: &Value) {
        let name = format!("0::/sealpipe.service/vc-worker/{}-", self.stage);
        assert!(text(process, "controlGroup").starts_with(&name), "{process:#}");
        let share = &process["share"];
        assert_eq!(cpus(text(share, "cpuset.cpus")), cpus(self.cpus()), "{process:#}");
        assert_eq!(share["cpuset.mems"], "", "memory is a matter of policy: {process:#}");
        let weight = self.table["cgroup"].get("weight").and_then(Item::as_integer).unwrap_or(100);
        assert_eq!(text(share, "cpu.weight"), weight.to_string(), "{process:#}");
        for ever in threads(process).flat_map(|thread| thread["everCpus"].as_array().unwrap()) {
            assert!(cpus(ever.as_str().unwrap()).is_subset(&cpus(self.cpus())), "{process:#}");
        }
    }

    /// A task's process is started by one that is placed, so it never was anywhere else.
    fn check_helper(&self, process: &Value) {
        self.check_ever(process);
        self.check_pages(process);
    }

    fn check_ever(&self, process: &Value) {
        let granted = cpus(self.cpus());
        for thread in threads(process) {
            for ever in thread["everCpus"].as_array().unwrap() {
                assert!(cpus(ever.as_str().unwrap()).is_subset(&granted), "{process:#}");
            }
            let policies = thread["everPolicy"].as_array().unwrap();
            assert!(policies.iter().all(|policy| *policy == self.policy()), "{process:#}");
        }
    }

    /// Memory really lies where it is preferred.
    fn check_pages(&self, process: &Value) {
        let Some(node) = self.table.get("numa_preferred").and_then(Item::as_integer) else {
            return;
        };
        let pages = process["anonymousPages"].as_object().unwrap();
        let all: u64 = pages.values().filter_map(Value::as_u64).sum();
        let near = pages.get(&node.to_string()).and_then(Value::as_u64).unwrap_or_default();
        assert!(all > 0 && (all - near) * 100 <= all * STRAY_PERCENT, "{process:#}");
    }
}

fn threads(process: &Value) -> impl Iterator<Item = &Value> {
    process["threads"].as_array().into_iter().flatten()
}

/// The cpus of a list such as `0-2,6`.
fn cpus(list: &str) -> BTreeSet<u32> {
    let number = |text: &str| text.parse::<u32>().unwrap();
    let range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(part)..=number(part),
    };
    list.split(',').flat_map(range).collect()
}
