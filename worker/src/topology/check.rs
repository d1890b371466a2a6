// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether an entry fits a machine.

use crate::config::{Diagnostic, Entry, Pinning, Severity};

use super::machine::Machine;

impl Machine {
    /// What the entry names and the machine lacks (errors, for the entry would not start), and cpus
    /// that are far from the memory that the entry prefers.
    pub fn check(&self, entry: &Entry) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        if entry.pinning == Pinning::Off {
            return found;
        }
        found.extend(self.check_cpus(entry));
        match self.check_node(entry) {
            Some(missing) => found.push(missing),
            None => found.extend(self.check_distance(entry)),
        }
        found
    }

    fn check_cpus(&self, entry: &Entry) -> Option<Diagnostic> {
        let missing = entry.cpus.as_ref()?.difference(&self.cpus);
        if missing.is_empty() {
            return None;
        }
        let (noun, verb) = if missing.len() == 1 { ("cpu", "is") } else { ("cpus", "are") };
        let message =
            format!("{noun} {missing} {verb} not on this machine, which has {}", self.cpus);
        let span = entry.positions.value("cgroup.cpuset");
        Some(
            Diagnostic::new(Severity::Error, span, message)
                .hint("`lscpu --extended` lists cpus with their nodes and caches"),
        )
    }

    fn check_node(&self, entry: &Entry) -> Option<Diagnostic> {
        let node = u32::try_from(entry.numa_preferred?).ok()?;
        if self.nodes.contains_key(&node) {
            return None;
        }
        let message =
            format!("memory node {node} is not on this machine, which has {}", self.node_list());
        let span = entry.positions.value("numa_preferred");
        Some(
            Diagnostic::new(Severity::Error, span, message)
                .hint("`numactl --hardware` lists the nodes"),
        )
    }

    /// Cpus and preferred memory on different nodes.
    fn check_distance(&self, entry: &Entry) -> Option<Diagnostic> {
        let (node, cpus) = (u32::try_from(entry.numa_preferred?).ok()?, entry.cpus.as_ref()?);
        let near = self.nodes.get(&node).filter(|near| !near.is_empty())?;
        let far = cpus.intersection(&self.cpus).difference(near);
        if far.is_empty() {
            return None;
        }
        let all = cpus.intersection(near).is_empty();
        let severity = if all { Severity::Warning } else { Severity::Note };
        let which = if all { "all cpus".to_owned() } else { format!("cpus {far}") };
        let message = format!("{which} are on another node than the preferred memory, node {node}");
        let span = entry.positions.value("numa_preferred");
        Some(
            Diagnostic::new(severity, span, message)
                .hint(format!("node {node} has the cpus {near}")),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::config::test::check_processors;

    use super::*;

    /// Two nodes of four cpus, and one of memory only.
    fn machine() -> Machine {
        Machine {
            cpus: (0..8).collect(),
            nodes: [(0, (0..4).collect()), (1, (4..8).collect()), (2, [].into_iter().collect())]
                .into(),
            ..Machine::default()
        }
    }

    fn check(keys: &str, said: &[&str]) {
        let entry = check_processors(&format!("[[processors.c2]]\n{keys}"), &[]).entries.remove(0);
        let found: Vec<_> = machine()
            .check(&entry)
            .iter()
            .map(|d| format!("{} {} {}", d.severity, d.span.unwrap().line, d.message))
            .collect();
        assert_eq!(found, said, "{keys}");
    }

    #[test]
    fn what_the_machine_has_is_fine() {
        check("", &[]);
        check("cgroup.cpuset = \"0-7\"", &[]);
        check("cgroup.cpuset = \"0-3\"\nnuma_preferred = 0", &[]);
        check("numa_preferred = 2", &[]);
    }

    #[test]
    fn what_the_machine_lacks_is_an_error_that_names_what_it_has() {
        check(
            "cgroup.cpuset = \"6-9\"",
            &["error 2 cpus 8,9 are not on this machine, which has 0-7"],
        );
        check("cgroup.cpuset = \"8\"", &["error 2 cpu 8 is not on this machine, which has 0-7"]);
        check(
            "numa_preferred = 3",
            &["error 2 memory node 3 is not on this machine, which has 0-2"],
        );
    }

    #[test]
    fn cpus_far_from_the_memory_are_mentioned() {
        check(
            "cgroup.cpuset = \"4-7\"\nnuma_preferred = 0",
            &["warning 3 all cpus are on another node than the preferred memory, node 0"],
        );
        check(
            "cgroup.cpuset = \"2-5\"\nnuma_preferred = 0",
            &["note 3 cpus 4,5 are on another node than the preferred memory, node 0"],
        );
        check("cgroup.cpuset = \"4-7\"\nnuma_preferred = 2", &[]);
    }

    #[test]
    fn nothing_is_asked_of_an_entry_that_nobody_pins() {
        let text = "[[processors.c2]]\ncgroup.cpuset = \"99\"\npinning = \"off\"";
        let said =
            ["note 2:17 `processors.c2.cgroup.cpuset` has no effect with `pinning = \"off\"`"];
        let entry = check_processors(text, &said).entries.remove(0);
        assert_eq!(machine().check(&entry), []);
    }
}
