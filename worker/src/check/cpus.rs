// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cpus and memory nodes that an entry names, against those of the machine.

use crate::{
    config::{Code, Diagnostics, Entry, Pinning},
    hardware::Hardware,
};

/// Says what the machine lacks, and which cpus are far from the memory that the entry prefers.
pub(super) fn check(entry: &Entry, hardware: &Hardware, found: &mut Diagnostics) {
    if entry.pinning == Pinning::Off {
        return;
    }
    check_cpus(entry, hardware, found);
    let node = entry.numa_preferred.and_then(|node| u32::try_from(node).ok());
    let Some(node) = node else { return };
    if hardware.node(node).is_some() {
        check_distance(entry, node, hardware, found);
        return;
    }
    let message =
        format!("memory node {node} is not on this machine, which has {}", hardware.node_list());
    found.say(Code::NoSuchNode, entry.positions.value("numa_preferred"), message).hint =
        Some("`sealpipe hwinfo` shows the nodes".to_owned());
}

fn check_cpus(entry: &Entry, hardware: &Hardware, found: &mut Diagnostics) {
    let all = hardware.cpus();
    let missing = entry.cpus.as_ref().map(|cpus| cpus.difference(&all));
    let Some(missing) = missing.filter(|missing| !missing.is_empty()) else { return };
    let (noun, verb) = if missing.len() == 1 { ("cpu", "is") } else { ("cpus", "are") };
    let message = format!("{noun} {missing} {verb} not on this machine, which has {all}");
    found.say(Code::NoSuchCpu, entry.positions.value("cgroup.cpuset"), message).hint =
        Some("`sealpipe hwinfo` shows the cpus with their nodes and caches".to_owned());
}

/// Cpus and preferred memory on different nodes.
fn check_distance(entry: &Entry, node: u32, hardware: &Hardware, found: &mut Diagnostics) {
    let near = hardware.node(node).map(|node| node.cpus()).unwrap_or_default();
    // A node of memory only is next to no cpu more than to another.
    let Some(cpus) = entry.cpus.as_ref().filter(|_| !near.is_empty()) else { return };
    let far = cpus.intersection(&hardware.cpus()).difference(&near);
    if far.is_empty() {
        return;
    }
    let all = cpus.intersection(&near).is_empty();
    let code = if all { Code::FarMemory } else { Code::PartlyFarMemory };
    let which = if all { "all cpus".to_owned() } else { format!("cpus {far}") };
    let message = format!("{which} are on another node than the preferred memory, node {node}");
    found.say(code, entry.positions.value("numa_preferred"), message).hint =
        Some(format!("node {node} has the cpus {near}"));
}

#[cfg(test)]
mod tests {
    use crate::{config::test::check_processors, hardware::Description};

    use super::*;

    /// Two nodes of four cpus, and one of memory only.
    const MACHINE: &str = "[numa] pack:2 [numa] core:4 pu:1";

    fn check(keys: &str, said: &[&str]) {
        let entry = check_processors(&format!("[[processors.c2]]\n{keys}"), &[]).entries.remove(0);
        said_of(&entry, said);
    }

    fn said_of(entry: &Entry, said: &[&str]) {
        let hardware = Description::of_text(MACHINE).read().unwrap();
        let mut found = Diagnostics::default();
        super::check(entry, &hardware, &mut found);
        let found: Vec<_> = found
            .iter()
            .map(|d| format!("{} {} {}", d.code, d.span.unwrap().line, d.message))
            .collect();
        assert_eq!(found, said);
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
            &["SP302 2 cpus 8,9 are not on this machine, which has 0-7"],
        );
        check("cgroup.cpuset = \"8\"", &["SP302 2 cpu 8 is not on this machine, which has 0-7"]);
        check(
            "numa_preferred = 3",
            &["SP303 2 memory node 3 is not on this machine, which has 0-2"],
        );
    }

    #[test]
    fn cpus_far_from_the_memory_are_mentioned() {
        check(
            "cgroup.cpuset = \"4-7\"\nnuma_preferred = 0",
            &["SP304 3 all cpus are on another node than the preferred memory, node 0"],
        );
        check(
            "cgroup.cpuset = \"2-5\"\nnuma_preferred = 0",
            &["SP305 3 cpus 4,5 are on another node than the preferred memory, node 0"],
        );
        check("cgroup.cpuset = \"4-7\"\nnuma_preferred = 2", &[]);
    }

    #[test]
    fn nothing_is_asked_of_an_entry_that_nobody_pins() {
        let text = "[[processors.c2]]\ncgroup.cpuset = \"99\"\npinning = \"off\"";
        let said =
            ["note 2:17 `processors.c2.cgroup.cpuset` has no effect with `pinning = \"off\"`"];
        said_of(&check_processors(text, &said).entries.remove(0), &[]);
    }
}
