// SPDX-License-Identifier: MIT OR Apache-2.0

use crate::hardware::{Amounts, Description, HardwareError};

use super::*;

fn described(text: &str) -> Hardware {
    Description::of_text(text).read().unwrap()
}

/// `packages: node(memory GiB)[l3 cores | l3 cores], node…` of each socket.
fn shown(hardware: &Hardware) -> String {
    let group = |group: &L3Group| {
        let cores = group.cores.iter().map(|core| core.cpus.to_string().replace(',', "+"));
        cores.collect::<Vec<_>>().join(" ")
    };
    let node = |node: &Node| {
        let groups: Vec<_> = node.l3_groups.iter().map(group).collect();
        format!("{}({})[{}]", node.index, node.memory_bytes >> 30, groups.join(" | "))
    };
    let socket = |socket: &Socket| {
        let packages: CpuList = socket.packages.iter().copied().collect();
        let nodes: Vec<_> = socket.nodes.iter().map(node).collect();
        format!("{packages}: {}", nodes.join(", "))
    };
    hardware.sockets.iter().map(socket).collect::<Vec<_>>().join("; ")
}

fn check(text: &str, expected: &str) {
    assert_eq!(shown(&described(text)), expected, "{text}");
}

#[test]
fn sockets_nodes_groups_and_cores_nest() {
    check("pack:2 [numa(memory=4GiB)] l3:2 core:2 pu:1", "0: 0(4)[0 1 | 2 3]; 1: 1(4)[4 5 | 6 7]");
    check("pack:1 die:2 [numa] l3:1 core:2 pu:2", "0: 0(0)[0+1 2+3], 1(0)[4+5 6+7]");
}

#[test]
fn cpus_have_the_kernels_numbers() {
    // The second threads of the cores come after all first ones, as on most machines.
    check(
        "pack:2 [numa] core:2 pu:2(indexes=0,4,1,5,2,6,3,7)",
        "0: 0(0)[0+4 1+5]; 1: 1(0)[2+6 3+7]",
    );
}

#[test]
fn a_node_over_several_packages_makes_one_socket_of_them() {
    check("numa:1 pack:2 l3:1 core:2 pu:1", "0,1: 0(1)[0 1 | 2 3]");
    check("numa:2 pack:2 core:1 pu:1", "0,1: 0(1)[0 1]; 2,3: 1(1)[2 3]");
}

#[test]
fn a_machine_may_tell_of_no_packages_and_no_caches() {
    check("numa:2 core:2 pu:1", ": 0(1)[0 1]; : 1(1)[2 3]");
    check("pu:2", ": 0(1)[0 1]");
}

#[test]
fn a_cache_over_several_nodes_is_a_group_in_each() {
    // Clusters below the cache, as Intel's sub-NUMA clustering shows itself.
    check("pack:1 l3:1 [numa] group:2 core:2 pu:1", "0: 0(0)[0 1 2 3]");
    check("pack:1 l3:1 group:2 [numa] core:2 pu:1", "0: 0(0)[0 1], 1(0)[2 3]");
}

#[test]
fn a_second_node_beside_the_same_cpus_has_memory_only() {
    check("pack:2 [numa] [numa] core:1 pu:1", "0: 0(0)[0], 1(0)[]; 1: 2(0)[1], 3(0)[]");
}

#[test]
fn the_seeds_machine_has_32_groups_of_3_cores() {
    let hardware = described("pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1");
    assert_eq!(hardware.n_packages(), 2);
    assert_eq!(hardware.cpus(), (0..96).collect());
    assert_eq!(hardware.memory.total_bytes, 2 << 40);
    assert_eq!(hardware.l3_groups().count(), 32);
    assert!(hardware.l3_groups().all(|group| group.cores.len() == 3));
    assert!(hardware.l3_groups().all(|group| group.cache_bytes == Some(16 << 20)));
    assert_eq!(hardware.node_of(47).map(|node| node.index), Some(0));
    assert_eq!(hardware.node_of(48).map(|node| node.index), Some(1));
    assert!(hardware.node_of(96).is_none());
    assert_eq!((hardware.threads_per_core(), hardware.node_list().as_str()), (1, "0,1"));
}

#[test]
fn what_is_described_is_understood_or_an_error() {
    for text in ["nonsense:2", "", "pack:0", "a\0b"] {
        let error = Description::of_text(text).read().unwrap_err();
        assert!(matches!(error, HardwareError::Description { .. }), "{text:?}: {error}");
    }
    for text in ["/no/such/file.xml", "no-such-file.xml"] {
        let error = Description::of_text(text).read().unwrap_err();
        assert!(matches!(error, HardwareError::File { .. }), "{text:?}: {error}");
    }
}

#[test]
fn amounts_take_the_place_of_what_is_known() {
    let mut hardware = described("pack:2 [numa] [numa] core:1 pu:1");
    assert_eq!((&hardware.gpus, &hardware.disks), (&None, &None));
    let amounts = Amounts {
        gpus: Some((2, Some(10 << 30))),
        memory_bytes: Some(8 << 30),
        disk_bytes: Some(1 << 40),
    };
    amounts.apply(&mut hardware);
    assert_eq!(shown(&hardware), "0: 0(4)[0], 1(0)[]; 1: 2(4)[1], 3(0)[]");
    let gpus = hardware.gpus.unwrap();
    assert_eq!(gpus.iter().map(|gpu| gpu.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(gpus[1].memory_bytes, Some(10 << 30));
    assert_eq!(hardware.disks.unwrap()[0].free_bytes, Some(1 << 40));
}

#[test]
fn hardware_survives_json() {
    let hardware = described("pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1");
    let text = serde_json::to_string(&hardware).unwrap();
    assert_eq!(serde_json::from_str::<Hardware>(&text).unwrap(), hardware);
}

#[test]
fn sets_are_words_of_32_bits() {
    let check = |set: &str, expected: &[u32]| {
        assert_eq!(bits(set).iter().collect::<Vec<_>>(), expected, "{set}");
    };
    check("0x0", &[]);
    check("0x00000005", &[0, 2]);
    check("0x00000001,0x80000000", &[31, 32]);
    check("0xf...f,0x00000003", &[0, 1]);
    check("rubbish", &[]);
    check("", &[]);
}

#[test]
fn what_is_no_topology_is_an_error() {
    assert!(matches!(parse("<topology"), Err(TopologyError::Xml(_))));
    assert_eq!(parse("<topology/>"), Err(TopologyError::NoNodes));
    let node = "<object type=\"NUMANode\" os_index=\"0\"/>";
    assert_eq!(parse(&format!("<topology>{node}</topology>")), Err(TopologyError::NoCpus));
}
