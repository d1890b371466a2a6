// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processors that cannot be started, and configurations that are wrong.

use sealpipe_tests::{Bench, site::PATIENT};

/// Seals with one entry of tree_d and checks what is said; the directory is not made, since
/// processors are started before anything else is done.
#[track_caller]
fn check(entry: &str, says: &[&str]) {
    let bench = Bench::new();
    let patient = if entry.contains("stable_wait") { "" } else { PATIENT };
    bench.write("worker.toml", format!("[[processors.tree_d]]\n{entry}\n{patient}"));
    let args = ["seal", "--size", "2KiB", "--until", "c1", "--out", "s", "--config", "worker.toml"];
    bench.run(&args).fails_with(says);
    assert_eq!(bench.files("s"), None, "{entry}: no directory is made");
    bench.check_nothing_is_left();
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let says = "error: processor tree_d[0]: cannot run /no/such/program: No such file";
    check("bin = \"/no/such/program\"", &[says, "hint: check the entry's `bin`"]);
    check("bin = \"no-such-program\"", &["cannot run no-such-program: No such file", "the PATH"]);
}

#[test]
fn a_file_that_is_no_program_is_named() {
    let says = "cannot run /etc/passwd: Permission denied";
    check("bin = \"/etc/passwd\"", &[says, "hint: is it executable"]);
}

#[test]
fn a_program_that_ends_at_once_is_shown_with_its_code() {
    check(
        "bin = \"/bin/false\"",
        &["it exited with code 1 before it answered `initialize`", "hint: run the program by hand"],
    );
}

#[test]
fn a_program_that_dies_is_shown_with_its_last_words() {
    check(
        r#"bin = "/bin/sh"
           args = ["-c", "read line; echo no license >&2; exit 7"]"#,
        &["it exited with code 7 before", "its last words:", "no license", "hint: run the program"],
    );
    check(
        r#"bin = "/bin/sh"
           args = ["-c", "kill -SEGV $$"]"#,
        &["it was killed by signal 11 before it answered `initialize`"],
    );
}

#[test]
fn a_program_that_prints_rubbish_is_shown_with_some_of_it() {
    check(
        r#"bin = "/usr/bin/yes"
           args = ["hello"]"#,
        &[
            "error: processor tree_d[0]: it prints what is no message on its stdout",
            "hello",
            "hint: stdout carries messages only",
        ],
    );
    check(
        r#"bin = "/bin/sh"
           args = ["-c", "test $SEALPIPE_PROTOCOL && echo tree_d processor ready; sleep 100"]
           stable_wait = "5s""#,
        &[
            "it said \"tree_d processor ready\" once, and not again in 5s",
            "hint: where it needs longer",
        ],
    );
}

#[test]
fn a_program_that_never_answers_is_given_up() {
    check(
        r#"bin = "/bin/sleep"
           args = ["100"]
           stable_wait = "1s""#,
        &["it did not answer `initialize` in 1s", "hint: is it a processor? Where it needs longer"],
    );
}

#[test]
fn cpus_and_nodes_that_do_not_exist_are_refused_whoever_pins() {
    let cpus = "hint: `lscpu` lists the cpus of this machine";
    check("cgroup.cpuset = \"900-901\"", &["cannot run on cpus 900,901: ", cpus]);
    check("cgroup.cpuset = \"8000\"", &["cpu 8000 is past the ", cpus]);
    let nodes = "hint: `numactl --hardware` lists the nodes of this machine";
    check("numa_preferred = 500", &["memory policy Preferred with node 500", nodes]);
    let hint = "hint: the cpus of `cgroup.cpuset` and the node of `numa_preferred` have to exist";
    for place in ["cgroup.cpuset = \"900-901\"", "numa_preferred = 500"] {
        let entry = format!("pinning = \"worker\"\n{place}");
        check(&entry, &["cannot run ", "Invalid argument", hint]);
    }
}

#[test]
fn a_wrong_configuration_is_shown_with_line_and_column() {
    check(
        "stable_wait = 5",
        &[
            "error[SP201]: `processors.tree_d.stable_wait` is an integer, expected a duration",
            " --> worker.toml:2:15",
            "error: worker.toml cannot be used",
            "hint: `sealpipe check worker.toml` shows all",
        ],
    );
    check("bin = ", &["error[SP004]: ", " --> worker.toml:2:"]);
    check("cgroup.cpuset = \"7-3\"", &["7-3", " --> worker.toml:2:"]);
    check("locks = \"gpu\"", &["an array of strings", " --> worker.toml:2:"]);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let bench = Bench::new();
    let args = ["seal", "--size", "2KiB", "--out", "s", "--config", "none.toml"];
    bench.run(&args).fails_with(&[
        "error[SP001]: cannot read the configuration: No such file or directory",
        " --> none.toml",
        "error: none.toml cannot be used",
    ]);
    assert_eq!(bench.files("s"), None);
}
