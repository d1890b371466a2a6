// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program as its users meet it: exit codes, the table, JSON, JUnit.

use std::process::{Command, Output};

use serde_json::Value;

fn conformance(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealpipe-conformance")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn all_checks_are_listed_with_their_rules() {
    let output = conformance(&["run", "--list"]);
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output.stdout);
    assert!(text.lines().count() > 100, "{text}");
    assert!(text.contains("P-103 cancel-is-answered-in-a-second"), "{text}");
    assert!(text.lines().all(|line| line.contains(" R-")), "{text}");
}

#[test]
fn a_program_that_is_no_processor_does_not_conform() {
    let arguments =
        ["run", "--only", "P-052,P-057", "--stable-wait-ms", "500", "--json", "--", "cat"];
    let output = conformance(&arguments);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["conforms"], false);
    assert_eq!((&report["failed"], &report["warned"]), (&1.into(), &1.into()), "{report}");
    assert_eq!(report["checks"][0]["id"], "P-052");
    assert_eq!(report["checks"][0]["rules"], serde_json::json!(["R-031", "R-034"]));
    // Late once and late again.
    assert_eq!(report["checks"][0]["looks"], 2);
}

#[test]
fn a_processor_that_was_late_once_gets_a_second_look() {
    let dir = tempfile::tempdir().unwrap();
    // The first of its processes never says a word.
    let script = r#"
        [ -e "$0/started" ] || { : > "$0/started"; exec sleep 600; }
        read -r initialize
        echo '{"jsonrpc":"2.0","id":1,"result":{}}'
        exec cat > /dev/null"#;
    let arguments =
        ["run", "--only", "P-052", "--stable-wait-ms", "5000", "--json", "--", "sh", "-c", script];
    let output = conformance(&[&arguments[..], &[dir.path().to_str().unwrap()]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    let check = &report["checks"][0];
    assert_eq!((&check["status"], &check["looks"]), (&"passed".into(), &2.into()), "{check}");
    assert!(check["detail"].as_str().unwrap().contains("at first: initialize: no answer"));
}

#[test]
fn late_checks_are_believed_after_three_that_are_late_again() {
    let arguments = ["run", "--only", "P-052,P-053,P-054,P-056,P-058,P-061"];
    let output = conformance(
        &[&arguments[..], &["--stable-wait-ms", "200", "--json", "--", "sleep", "600"]].concat(),
    );
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let looks: Vec<_> = report["checks"].as_array().unwrap().iter().map(|c| &c["looks"]).collect();
    assert_eq!(looks, [2, 2, 2, 1, 1, 1], "{report}");
}

#[test]
fn completions_name_the_options() {
    let output = conformance(&["completions", "bash"]);
    assert_eq!(output.status.code(), Some(0));
    let script = text(&output.stdout);
    assert!(script.contains("--stable-wait-ms") && script.contains("--junit"), "{script}");
}

#[test]
fn every_help_has_examples() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let help = text(&conformance(arguments).stdout);
        assert!(help.contains("Examples:\n  sealpipe-conformance run -- ./my-processor"), "{help}");
    }
}

#[test]
fn warnings_are_no_failure_and_junit_has_them_all() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("junit.xml");
    let output = conformance(&[
        "run",
        "--only",
        "P-057,P-001",
        "--stable-wait-ms",
        "500",
        "--junit",
        file.to_str().unwrap(),
        "--",
        "cat",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let table = text(&output.stdout);
    assert!(table.contains("1 passed, 0 failed, 1 warned, 0 skipped"), "{table}");
    let xml = std::fs::read_to_string(file).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"0\""), "{xml}");
    assert!(xml.contains("warning: "), "{xml}");
}

#[test]
fn a_fault_of_the_harness_says_nothing_about_the_processor() {
    let output = conformance(&["run", "--only", "P-001", "--", "./no-such-program"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for arguments in [
        &["run"][..],
        &["run", "--only", "P-999", "--", "cat"],
        &["run", "--slow", "0", "--", "cat"],
        &["walk"],
    ] {
        let output = conformance(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    }
}
