// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe check`: its texts, its JSON and its exit codes.

mod host;
mod program;

use std::path::PathBuf;

use host::{Output, SEED, Setting};
use program::{data, sealpipe};
use sealpipe_worker::{
    config,
    hardware::{Amounts, Description, HardwareError},
};

/// `sealpipe check` ended without an error.
const OK: u8 = 0;

/// It found errors.
const ERRORS: u8 = 1;

fn seed() -> Setting {
    Setting::new(SEED, Amounts::default())
}

fn check(text: &str, json: bool, setting: &Setting) -> Output {
    setting.check(config::from_bytes("worker.toml", text.as_bytes().to_vec()), json)
}

#[test]
fn scheme_b_on_its_machine_is_fine_and_summed_up() {
    let output = check(include_str!("data/scheme-b.toml"), false, &seed());
    assert_eq!(output.code, OK);
    assert!(output.err.ends_with("\nworker.toml: 0 errors, 8 notes\n"), "{}", output.err);
    assert_eq!(
        output.out,
        "\
STAGE   CPUS                                       NODE  SLOTS  LOCKS  GPU  PROGRAM
pc1[0]  0-41                                       0     14     -      -    /opt/sealpipe-pc1 processor pc1
pc1[1]  48-89                                      1     14     -      -    /opt/sealpipe-pc1 processor pc1
pc2[0]  2,5,8,11,14,17,20,23                       -     -      gpu1   0    /opt/sealpipe-pc2 processor pc2
pc2[1]  50,53,56,59,62,65,68,71                    -     -      gpu2   1    /opt/sealpipe-pc2 processor pc2
c2[0]   2,5,8,11,14,17,20,23,26,29,32,35,42-47     -     -      gpu1   0    /opt/sealpipe-c2 processor c2
c2[1]   50,53,56,59,62,65,68,71,74,77,80,83,90-95  -     -      gpu2   1    /opt/sealpipe-c2 processor c2
at most at once: pc1 28, pc2 2, c2 2
locks: gpu1 1, gpu2 1
implied, one sealpipe-reference each from its first use: echo, add_pieces, tree_d, c1, verify, unseal
cores that no entry needs: 38,41,86,89
memory at most: 2 TiB of 2 TiB (28 pc1 of 64 GiB, 2 c2 of 128 GiB)
"
    );
}

#[test]
fn both_schemes_have_no_warning_with_any_of_the_programs() {
    for text in [include_str!("data/scheme-a.toml"), include_str!("data/scheme-b.toml")] {
        // As of a machine that is described: its programs are not looked at.
        let mut setting = Setting { is_here: false, ..seed() };
        for missing in ["/opt/sealpipe-c2", "/opt/sealpipe-pc2", "/opt/sealpipe-pc1"] {
            setting.missing.insert(missing.into());
            let output = check(text, false, &setting);
            assert_eq!(output.code, OK);
            assert!(!output.err.contains("warning"), "{}", output.err);
            assert!(output.out.contains("cores that no entry needs: 38,41,86,89\n"));
        }
        assert!(check(text, false, &setting).err.contains("`FIL_PROOFS_MAXIMIZE_CACHING` mean"));
    }
}

#[test]
fn an_entry_that_means_a_gpu_is_not_served_by_the_reference() {
    let mut setting = seed();
    setting.missing.insert("/opt/sealpipe-c2".into());
    let run = |keys: &str| check(&format!("[[processors.c2]]\n{keys}"), false, &setting).code;
    assert_eq!(run(""), ERRORS);
    assert_eq!(run("device = \"cuda\""), ERRORS);
    assert_eq!(run("device = \"cpu\""), OK);
    assert_eq!(run("bin = \"/opt/c2\"\ndevice = \"cuda\""), OK);
    assert_eq!(run("bin = \"/opt/sealpipe-reference\""), OK);
    assert_eq!(run("bin = \"/opt/sealpipe-reference\"\ndevice = \"cuda\""), ERRORS);
}

#[test]
fn a_real_damocles_file_has_no_error_and_no_warning() {
    let machine = "pack:2 [numa(memory=512GiB)] l3:8(size=16MiB) core:3 pu:1";
    let setting = Setting::new(machine, Amounts::default());
    let output = check(include_str!("data/damocles-worker.toml"), false, &setting);
    assert_eq!(output.code, OK);
    assert!(!output.err.contains("warning"), "{}", output.err);
}

#[test]
fn what_the_machine_lacks_is_an_error_and_nothing_is_summed_up() {
    let output = check("[[processors.c2]]\ncgroup.cpuset = \"90-97\"", false, &seed());
    assert_eq!((output.code, output.out.as_str()), (ERRORS, ""));
    assert!(output.err.contains("\nworker.toml: 1 error\n"), "{}", output.err);
}

#[test]
fn without_the_machine_the_configuration_alone_counts() {
    let text = "[[processors.pc1]]\ncgroup.cpuset = \"500\"\nbin = \"nowhere\"";
    let mut setting = Setting::without_machine(false);
    setting.missing.insert("/usr/bin/nowhere".into());
    let output = check(text, false, &setting);
    assert_eq!(output.code, OK);
    assert_eq!(output.err, "worker.toml: 0 errors\n");
}

#[test]
fn a_machine_that_cannot_be_read_is_an_error() {
    let error = Description::of_text("nonsense").read().unwrap_err();
    assert!(matches!(error, HardwareError::Description { .. }));
    let setting = Setting { hardware: Some(Err(error)), ..seed() };
    let output = check("", false, &setting);
    assert_eq!(output.code, ERRORS);
    assert!(output.err.contains("hint: `--no-machine`"), "{}", output.err);
}

#[test]
fn a_program_is_looked_for_where_it_would_be_executed() {
    let run = |bin: &str, missing: &[&str]| {
        let mut setting = seed();
        setting.missing = missing.iter().map(PathBuf::from).collect();
        check(&format!("[[processors.c2]]\nbin = {bin:?}"), false, &setting).code
    };
    assert_eq!(run("c2", &["c2", "./c2"]), OK);
    assert_eq!(run("c2", &["/usr/bin/c2"]), ERRORS);
    assert_eq!(run("./c2", &["c2", "/usr/bin/c2"]), OK);
    assert_eq!(run("/opt/c2", &["/usr/bin/c2"]), OK);
    assert_eq!(run("/opt/c2", &["/opt/c2"]), ERRORS);
}

#[test]
fn json_says_the_same() {
    let text = "[[processors.pc1]]\ncgroup.cpuset = \"0-3\"\nconcurrent = 1\nlock = 2\n";
    let output = check(text, true, &seed());
    assert_eq!((output.code, output.err.as_str()), (OK, ""));
    let value: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(value["ok"], true);
    assert_eq!(
        value["diagnostics"],
        serde_json::json!([{
            "code": "SP101",
            "severity": "warning",
            "message": "unknown key `processors.pc1.lock` is ignored",
            "line": 4,
            "column": 1,
            "hint": "did you mean `locks`?",
        }])
    );
    let entry = &value["processors"]["entries"][0];
    assert_eq!((&entry["stage"], &entry["cpus"]), (&"pc1".into(), &"0-3".into()));
    assert_eq!(entry["args"], serde_json::json!(["processor", "pc1"]));
    assert_eq!(value["machine"]["sockets"][1]["nodes"][0]["index"], 1);
    assert_eq!(value["freeCores"], "1-95");
    assert_eq!(value["memoryAtMostBytes"], 64_u64 << 30);

    let output = check("a = ", true, &Setting::without_machine(false));
    assert_eq!(output.code, ERRORS);
    let value: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!((&value["ok"], &value["processors"]), (&false.into(), &serde_json::Value::Null));
}

#[test]
fn the_program_checks_files_of_other_machines() {
    let file = data("scheme-a.toml");
    let (code, out, err) = sealpipe(&["check", &file, "--topology", SEED, "--gpus", "2x10GiB"]);
    assert_eq!(code, 0, "{err}");
    assert!(!err.contains("warning") && !err.contains("error["), "{err}");
    assert!(out.contains("cores that no entry needs: 38,41,86,89\n"), "{out}");

    let (code, _, err) = sealpipe(&["check", &file, "--topology", "pack:1 core:8 pu:1"]);
    assert_eq!(code, 1);
    assert!(err.contains("error[SP302]") && err.contains("error[SP303]"), "{err}");

    let (code, out, err) = sealpipe(&["check", &file, "--no-machine"]);
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains("cores that no entry needs"), "{out}");
}

#[test]
fn the_program_explains_codes_and_refuses_what_makes_no_sense() {
    let (code, out, _) = sealpipe(&["check", "--explain", "sp401"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("SP401, note: cpus shared\n"), "{out}");
    let (code, _, err) = sealpipe(&["check", "--explain", "SP999"]);
    assert_eq!(code, 2);
    assert!(err.contains("they are from SP001 to SP"), "{err}");
    for args in [
        &["check"][..],
        &["check", "worker.toml", "--explain", "SP101"],
        &["check", "worker.toml", "--no-machine", "--gpus", "2"],
        &["check", "worker.toml", "--gpus", "two"],
        &["check", "worker.toml", "--memory", "much"],
        &["check", "worker.toml", "--sector-size", "1GiB"],
    ] {
        assert_eq!(sealpipe(args).0, 2, "{args:?}");
    }
    assert_eq!(sealpipe(&["check", "/no/such/file.toml"]).0, 1);
}

#[test]
fn exit_codes_are_in_the_help() {
    for command in ["check", "hwinfo"] {
        let (code, out, _) = sealpipe(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains("Exit codes:\n  0  "), "{out}");
    }
}
