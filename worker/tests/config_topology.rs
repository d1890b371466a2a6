// SPDX-License-Identifier: MIT OR Apache-2.0

//! Topologies of machines that are not this one. hwloc reads its environment when it loads, so each
//! is loaded in a process of its own: this test program, with [`CHILD`] set.

use std::process::Command;

use sealpipe_protocol::placement::CpuList;
use sealpipe_worker::topology;

/// Set in the child, which prints what it detects.
const CHILD: &str = "SEALPIPE_TEST_TOPOLOGY";

#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    match topology::detect() {
        Ok(machine) => {
            let nodes = machine.nodes.iter().map(|(node, cpus)| format!("{node}: {cpus}"));
            let lists = |lists: &[CpuList]| {
                lists.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            println!("detected cpus {}", machine.cpus);
            println!("detected nodes {}", nodes.collect::<Vec<_>>().join(" "));
            println!("detected packages {}", lists(&machine.packages));
            println!("detected l3 {}", lists(&machine.l3_groups));
            println!("detected cores {}", lists(&machine.cores));
        }
        Err(error) => println!("detected error {error}"),
    }
}

/// Compares what a process with one more environment variable detects.
fn check(variable: &str, value: &str, expected: &[&str]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env_remove("HWLOC_THISSYSTEM")
        .env(CHILD, "1")
        .env(variable, value)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once("detected "));
    let detected: Vec<_> = lines.map(|(_, detected)| detected).collect();
    assert_eq!(detected, expected, "{variable}={value}");
}

#[test]
fn packages_nodes_and_l3_groups_are_read() {
    check(
        "HWLOC_SYNTHETIC",
        "pack:2 [numa] l3:2 core:3 pu:1",
        &[
            "cpus 0-11",
            "nodes 0: 0-5 1: 6-11",
            "packages 0-5 6-11",
            "l3 0-2 3-5 6-8 9-11",
            "cores 0 1 2 3 4 5 6 7 8 9 10 11",
        ],
    );
}

#[test]
fn cpus_have_the_kernels_numbers() {
    // The second threads of the cores come after all first ones, as on most machines.
    check(
        "HWLOC_SYNTHETIC",
        "numa:2 core:2 pu:2(indexes=0,4,1,5,2,6,3,7)",
        &["cpus 0-7", "nodes 0: 0,1,4,5 1: 2,3,6,7", "packages ", "l3 ", "cores 0,4 1,5 2,6 3,7"],
    );
}

#[test]
fn a_file_of_another_machine_is_read() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/topology.xml");
    check(
        "HWLOC_XMLFILE",
        file,
        &["cpus 0-3", "nodes 0: 0,1 1: 2,3", "packages 0,1 2,3", "l3 0,1 2,3", "cores 0 1 2 3"],
    );
}

#[test]
fn a_description_that_hwloc_does_not_understand_is_an_error() {
    let said = |variable| format!("error hwloc cannot read what `{variable}` describes");
    check("HWLOC_SYNTHETIC", "nonsense:2", &[&said("HWLOC_SYNTHETIC")]);
    check("HWLOC_XMLFILE", "/no/such/file", &[&said("HWLOC_XMLFILE")]);
}
