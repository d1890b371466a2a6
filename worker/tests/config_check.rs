// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe check`: its texts, its JSON and its exit codes.

use std::path::{Path, PathBuf};

use sealpipe_worker::{
    cli::check::{self, CheckArgs, EXIT_ERRORS, EXIT_OK, Host},
    config,
    topology::{DetectError, Machine},
};

/// Two nodes of 48 cpus, as in the two schemes' example.
fn machine() -> Machine {
    Machine {
        cpus: (0..96).collect(),
        nodes: [(0, (0..48).collect()), (1, (48..96).collect())].into(),
        ..Machine::default()
    }
}

struct Output {
    code: u8,
    out: String,
    err: String,
}

fn check(
    text: &str,
    json: bool,
    machine: Option<Result<Machine, DetectError>>,
    exists: &dyn Fn(&Path) -> bool,
) -> Output {
    let loaded = config::from_bytes("worker.toml", text.as_bytes().to_vec());
    let search = vec![PathBuf::from("/usr/bin")];
    let files = machine.is_some();
    let host = Host { worker_dir: Path::new("/opt"), machine, files, exists, search };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check::report(loaded, json, &host, &mut out, &mut err).unwrap();
    Output { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

#[test]
fn scheme_b_on_its_machine_is_fine_and_summed_up() {
    let output = check(include_str!("data/scheme-b.toml"), false, Some(Ok(machine())), &|_| true);
    assert_eq!(output.code, EXIT_OK);
    assert!(output.err.ends_with("\nworker.toml: 0 errors, 4 notes\n"), "{}", output.err);
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
without an entry, served on first use: echo, add_pieces, tree_d, c1, verify, unseal
"
    );
}

#[test]
fn what_the_machine_lacks_is_an_error_and_nothing_is_summed_up() {
    let text = "\
[processors.static_tree_d]
2KiB = \"/no/tree\"

[[processors.pc1]]
numa_preferred = 2
cgroup.cpuset = \"90-97\"

[[processors.c2]]
bin = \"c2-program\"
";
    let output = check(text, false, Some(Ok(machine())), &|_| false);
    assert_eq!(output.code, EXIT_ERRORS);
    assert_eq!(output.out, "");
    assert_eq!(output.err, include_str!("data/check-machine.txt"));
}

#[test]
fn without_the_machine_the_configuration_alone_counts() {
    let text = "[[processors.pc1]]\ncgroup.cpuset = \"500\"\nbin = \"nowhere\"";
    let output = check(text, false, None, &|_| false);
    assert_eq!(output.code, EXIT_OK);
    assert_eq!(output.err, "worker.toml: 0 errors\n");
}

#[test]
fn a_machine_that_cannot_be_read_is_an_error() {
    let output = check("", false, Some(Err(DetectError::Load)), &|_| true);
    assert_eq!(output.code, EXIT_ERRORS);
    assert!(output.err.contains("hint: `--no-machine`"), "{}", output.err);
}

#[test]
fn a_program_is_looked_for_where_it_would_be_executed() {
    let run = |bin: &str, there: &str| {
        let text = format!("[[processors.c2]]\nbin = {bin:?}");
        check(&text, false, Some(Ok(machine())), &|path| path == Path::new(there)).code
    };
    assert_eq!(run("c2", "/usr/bin/c2"), EXIT_OK);
    assert_eq!(run("c2", "c2"), EXIT_ERRORS);
    assert_eq!(run("./c2", "./c2"), EXIT_OK);
    assert_eq!(run("/opt/c2", "/opt/c2"), EXIT_OK);
    assert_eq!(run("/opt/c2", "/usr/bin/c2"), EXIT_ERRORS);
}

#[test]
fn json_says_the_same() {
    let text = "[[processors.pc1]]\ncgroup.cpuset = \"0-3\"\nconcurent = 2\n";
    let output = check(text, true, Some(Ok(machine())), &|_| true);
    assert_eq!((output.code, output.err.as_str()), (EXIT_OK, ""));
    let value: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(value["ok"], true);
    assert_eq!(
        value["diagnostics"],
        serde_json::json!([{
            "severity": "warning",
            "message": "unknown key `processors.pc1.concurent` is ignored",
            "line": 3,
            "column": 1,
            "hint": "did you mean `concurrent`?",
        }])
    );
    let entry = &value["processors"]["entries"][0];
    assert_eq!((&entry["stage"], &entry["cpus"]), (&"pc1".into(), &"0-3".into()));
    assert_eq!(entry["args"], serde_json::json!(["processor", "pc1"]));
    assert_eq!(value["machine"]["nodes"]["1"], "48-95");

    let output = check("a = ", true, None, &|_| true);
    assert_eq!(output.code, EXIT_ERRORS);
    let value: serde_json::Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!((&value["ok"], &value["processors"]), (&false.into(), &serde_json::Value::Null));
}

#[test]
fn a_file_on_this_machine_is_checked() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scheme-a.toml");
    let args = CheckArgs { file, json: false, machine: false, no_machine: true };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check::run(&args, Path::new("/nonexistent"), &mut out, &mut err).unwrap();
    assert_eq!(code, EXIT_OK);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("/nonexistent/sealpipe-reference processor c2"), "{out}");
}
