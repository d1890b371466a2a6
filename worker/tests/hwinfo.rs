// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe hwinfo`: of this machine and of others.

mod program;

use program::{data, sealpipe, sealpipe_with};
use sealpipe_worker::hardware::Hardware;

fn hwinfo(args: &[&str]) -> (i32, String, String) {
    sealpipe(&[&["hwinfo"], args].concat())
}

/// Compares the tree with the one that is recorded. `UPDATE_SNAPSHOTS=1` writes it anew.
fn check(name: &str, args: &[&str]) {
    let (code, out, err) = hwinfo(args);
    assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
    let out = out.replace(env!("CARGO_MANIFEST_DIR"), "");
    let path = data(&format!("hwinfo/{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &out).unwrap();
    }
    assert_eq!(out, std::fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn machines_that_are_described_are_shown_as_trees() {
    let epyc = "pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1";
    check("two-epyc", &["--topology", epyc, "--gpus", "2x10GiB", "--disk", "20TiB"]);
    let threads =
        "pack:1 l3:2(size=32MiB) core:4 pu:2(indexes=0,8,1,9,2,10,3,11,4,12,5,13,6,14,7,15)";
    check("desktop", &["--topology", threads, "--memory", "128GiB", "--gpus", "0"]);
    check(
        "interleaved",
        &["--topology", "numa:1(memory=256GiB) pack:2 l3:2(size=16MiB) core:2 pu:1"],
    );
    let clusters = "pack:2 [numa(memory=64GiB)] l3:1(size=30MiB) core:4 pu:1";
    check("memory-nodes", &["--topology", &clusters.replace("] l3", "] [numa(memory=16GiB)] l3")]);
    check("no-packages", &["--topology", "numa:2(memory=4GiB) core:2 pu:1"]);
}

#[test]
fn a_file_of_another_machine_is_shown_with_its_devices() {
    check("xml", &["--topology", &data("machine.xml")]);
    // What is said besides takes the place of what the file tells.
    check(
        "xml-and-amounts",
        &["--topology", &data("machine.xml"), "--gpus", "1x24GiB", "--disk", "1TiB"],
    );
    check("xml-without-devices", &["--topology", &data("topology.xml")]);
}

#[test]
fn the_environment_describes_a_machine_as_well() {
    let text = "pack:1 core:2 pu:1";
    let (_, expected, _) = hwinfo(&["--topology", text]);
    let (code, out, _) = sealpipe_with(&["hwinfo"], &[("HWLOC_SYNTHETIC", text)]);
    assert_eq!((code, &out), (0, &expected));
    let file = data("topology.xml");
    let (_, expected, _) = hwinfo(&["--topology", &file]);
    let (code, out, _) = sealpipe_with(&["hwinfo"], &[("HWLOC_XMLFILE", &file)]);
    assert_eq!((code, &out), (0, &expected));
    // The command line is nearer.
    let (_, out, _) = sealpipe_with(&["hwinfo", "--topology", &file], &[("HWLOC_SYNTHETIC", text)]);
    assert_eq!(out, expected);
}

#[test]
fn json_is_the_machine() {
    let (code, out, _) = hwinfo(&["--json", "--topology", &data("machine.xml")]);
    assert_eq!(code, 0);
    let hardware: Hardware = serde_json::from_str(&out).unwrap();
    assert_eq!(hardware.n_packages(), 2);
    assert_eq!(hardware.gpus.unwrap()[1].node, Some(1));

    let (code, out, _) = hwinfo(&["--json"]);
    assert_eq!(code, 0);
    let hardware: Hardware = serde_json::from_str(&out).unwrap();
    assert!(hardware.memory.available_bytes.is_some() && hardware.disks.is_some());
}

#[test]
fn this_machine_is_shown_and_its_disk_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = hwinfo(&["--measure", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("this machine\n├─ "), "{out}");
    assert!(out.contains("/s and reads "), "{out}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    let error = |args: &[&str]| {
        let (code, out, err) = hwinfo(args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        err
    };
    assert!(error(&["--topology", "nonsense:2"]).contains("does not understand"));
    assert!(error(&["--topology", "/no/such.xml"]).contains("No such file"));
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert!(error(&["--topology", here]).contains("does not understand"));
    assert!(error(&["--measure", "/no/such/dir"]).contains("cannot measure"));
    assert!(
        error(&["--measure", "/tmp", "--topology", "pu:2"]).contains("another one is described")
    );
}
