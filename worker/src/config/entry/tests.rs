// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::config::test::check_processors;

/// Reads one pc1 entry, and checks what is said; lines count from the first key.
fn entry(keys: &str, said: &[&str]) -> Entry {
    let mut entries = check_processors(&format!("[[processors.pc1]]\n{keys}"), said).entries;
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

#[test]
fn an_empty_entry_has_damocles_defaults() {
    let entry = entry("", &[]);
    assert_eq!((entry.stage, entry.index, entry.line()), (Stage::Pc1, 0, 1));
    assert_eq!((&entry.bin, &entry.args, &entry.cpus), (&None, &None, &None));
    assert_eq!(entry.stable_wait, Duration::from_secs(5));
    assert_eq!((entry.cgroup_group.as_str(), entry.cgroup_weight), ("vc-worker", None));
    assert_eq!((entry.numa_preferred, entry.concurrent), (None, None));
    assert!(entry.envs.is_empty() && entry.locks.is_empty());
    assert!(entry.inherit_envs && entry.auto_restart);
    assert_eq!((entry.pinning, entry.device), (Pinning::Processor, None));
}

#[test]
fn every_key_is_read() {
    let entry = entry(
        r#"bin = "/opt/pc1"
args = ["--fast", "processor"]
stable_wait = "1m 5s"
cgroup.cpuset = "0-2,8"
cgroup.group_name = "mine"
cgroup.weight = 200
numa_preferred = 1
envs = { A = "1", B = "two" }
inherit_envs = false
concurrent = 14
locks = ["x", "y"]
auto_restart = false
pinning = "worker"
device = "cuda"
[processors.ext_locks]
x = 1
y = 1
"#,
        &[],
    );
    assert_eq!(entry.bin.as_deref(), Some("/opt/pc1"));
    assert_eq!(entry.args, Some(vec!["--fast".to_owned(), "processor".to_owned()]));
    assert_eq!(entry.stable_wait, Duration::from_secs(65));
    assert_eq!(entry.cpus.unwrap().to_string(), "0-2,8");
    assert_eq!((entry.cgroup_group.as_str(), entry.cgroup_weight), ("mine", Some(200)));
    assert_eq!(entry.numa_preferred, Some(1));
    assert_eq!(entry.envs["B"], "two");
    assert!(!entry.inherit_envs && !entry.auto_restart);
    assert_eq!(entry.concurrent, Some(14));
    assert_eq!(entry.locks, ["x", "y"]);
    assert_eq!((entry.pinning, entry.device), (Pinning::Worker, Some(Device::Cuda)));
}

#[test]
fn a_mistyped_key_is_a_warning() {
    entry(
        "numa_prefered = 0",
        &["warning 2:1 unknown key `processors.pc1.numa_prefered` is ignored"],
    );
    entry(
        "[processors.pc1.cgroup]\ncpus = 1",
        &["warning 3:1 unknown key `processors.pc1.cgroup.cpus` is ignored"],
    );
}

#[test]
fn a_control_group_has_a_name_that_the_kernel_takes_and_a_weight_in_its_bounds() {
    for name in ["a/b", "", ".", "..", "cpu.max", "sealpipe-worker", "a b"] {
        let said = format!(
            "warning 2:21 `processors.pc1.cgroup.group_name` is `{name}`, which names no control group"
        );
        let entry = entry(&format!("cgroup.group_name = \"{name}\""), &[&said]);
        assert_eq!(entry.cgroup_group, "vc-worker");
    }
    for weight in ["0", "10001"] {
        let said =
            format!("error 2:17 `processors.pc1.cgroup.weight` is {weight}, expected 1 to 10000");
        assert_eq!(entry(&format!("cgroup.weight = {weight}"), &[&said]).cgroup_weight, None);
    }
    assert_eq!(entry("cgroup.weight = 10000", &[]).cgroup_weight, Some(10_000));
}

#[test]
fn a_weight_is_from_1() {
    assert_eq!(entry("", &[]).weight, 1);
    assert_eq!(entry("weight = 3", &[]).weight, 3);
    let zero = entry("weight = 0", &["error 2:10 `processors.pc1.weight` is 0"]);
    assert_eq!(zero.weight, 1);
}

#[test]
fn environment_variables_are_strings() {
    let entry = entry(
        "envs = { A = 1, B = true, C = \"1\" }",
        &[
            "error 2:14 `processors.pc1.envs.A` is an integer, expected a string",
            "error 2:21 `processors.pc1.envs.B` is a boolean, expected a string",
        ],
    );
    assert_eq!(entry.envs.len(), 1);
}

#[test]
fn names_that_no_environment_takes_are_errors() {
    for name in ["", "A=B", "A\\u0000"] {
        let text = format!("[[processors.pc1]]\nenvs.\"{name}\" = \"1\"");
        let parsed = crate::config::parse(&crate::config::Source::new("test", text));
        assert!(parsed.diagnostics().has_errors(), "{name}");
    }
}

#[test]
fn zero_slots_are_kept_and_warned_about() {
    let said = ["warning 2:14 `processors.pc1.concurrent` is 0: this processor is switched off"];
    assert_eq!(entry("concurrent = 0", &said).concurrent, Some(0));
}

#[test]
fn a_lock_named_twice_counts_once() {
    let entry = entry(
        "locks = [\"a\", \"b\", \"a\"]\n[processors.ext_locks]\na = 1\nb = 1",
        &["warning 2:20 lock `a` is named twice and counted once"],
    );
    assert_eq!(entry.locks, ["a", "b"]);
}

#[test]
fn wrong_types_and_values_are_errors_and_all_are_said() {
    entry(
        "bin = \"\"\nargs = \"x\"\nstable_wait = 5\nconcurrent = -1\nlocks = [1]\nnuma_preferred = 1.0",
        &[
            "error 2:7 `processors.pc1.bin` is no program",
            "error 3:8 `processors.pc1.args` is a string, expected an array of strings",
            "error 4:15 `processors.pc1.stable_wait` is an integer, expected a duration such as \
             \"5s\" or \"1h 30min\"",
            "error 5:14 `processors.pc1.concurrent` is -1, expected 0 or more",
            "error 6:10 `processors.pc1.locks` holds an integer, expected strings only",
            "error 7:18 `processors.pc1.numa_preferred` is a float, expected an integer",
        ],
    );
    entry(
        "pinning = \"none\"\ndevice = \"gpu\"\nauto_restart = \"yes\"",
        &[
            "error 2:11 `processors.pc1.pinning` is `none`, expected `processor` or `worker` or \
             `off`",
            "error 3:10 `processors.pc1.device` is `gpu`, expected `cpu` or `cuda`",
            "error 4:16 `processors.pc1.auto_restart` is a string, expected true or false",
        ],
    );
}

#[test]
fn a_path_that_wants_a_shell_is_warned_about() {
    let entry =
        entry("bin = \"~/pc1\"", &["warning 2:7 `processors.pc1.bin` is taken literally: `~/pc1`"]);
    assert_eq!(entry.bin.as_deref(), Some("~/pc1"));
}

#[test]
fn a_negative_node_is_the_local_one() {
    let said = ["note 2:18 `processors.pc1.numa_preferred` is -1: memory of the node that each \
                 thread runs on"];
    assert_eq!(entry("numa_preferred = -1", &said).numa_preferred, Some(-1));
    entry(
        "numa_preferred = 3000000000",
        &[
            "error 2:18 `processors.pc1.numa_preferred` is 3000000000, expected an integer of 32 bits",
        ],
    );
}

#[test]
fn a_cpuset_is_in_linux_list_format() {
    for (bad, said) in [
        ("\"\"", "`processors.pc1.cgroup.cpuset` is ``: "),
        ("\"5-2\"", "`processors.pc1.cgroup.cpuset` is `5-2`: the range 5-2 runs backwards"),
        ("7", "`processors.pc1.cgroup.cpuset` is an integer, expected cpus such as \"0-41\""),
    ] {
        let text = format!("[[processors.pc1]]\ncgroup.cpuset = {bad}");
        let parsed = crate::config::parse(&crate::config::Source::new("test", text));
        let first = parsed.diagnostics().iter().next().unwrap();
        assert!(first.message.starts_with(said), "{}", first.message);
        assert_eq!(first.span.unwrap().line, 2);
    }
}

#[test]
fn cpus_that_nobody_pins_are_mentioned() {
    entry(
        "cgroup.cpuset = \"0\"\npinning = \"off\"",
        &["note 2:17 `processors.pc1.cgroup.cpuset` has no effect with `pinning = \"off\"`"],
    );
}

#[test]
fn gpus_are_those_of_the_environment() {
    let check = |keys: &str, expected: Option<&[&str]>| {
        let entry = entry(keys, &[]);
        assert_eq!(entry.gpus().as_deref(), expected, "{keys}");
    };
    check("", None);
    check("envs.CUDA_VISIBLE_DEVICES = \"0\"", Some(&["0"]));
    check("envs.CUDA_VISIBLE_DEVICES = \"1, GPU-ab\"", Some(&["1", "GPU-ab"]));
    check("envs.CUDA_VISIBLE_DEVICES = \"0,-1,1\"", Some(&["0"]));
    check("envs.CUDA_VISIBLE_DEVICES = \"\"", Some(&[]));
    check("device = \"cpu\"\nenvs.CUDA_VISIBLE_DEVICES = \"0\"", None);
}
