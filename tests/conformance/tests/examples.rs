// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processors of `processors/examples` keep the protocol, and what `processors/README.md` shows
//! is what a reader sees.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use sealpipe_tests::{program, tour::comes_and_goes};
use serde_json::Value;
use tempfile::TempDir;

/// One suite at a time: each starts many processes.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Stands between the outputs of two commands.
const BORDER: &str = "--- next command ---";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Where cargo puts programs.
fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sealpipe-conformance")).parent().unwrap()
}

/// A directory that looks like the repository after `make build`, so that nothing is written there.
fn repository() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&root().join("processors/examples"), &dir.path().join("processors/examples"));
    fs::copy(root().join("LICENSE-APACHE"), dir.path().join("LICENSE-APACHE")).unwrap();
    fs::create_dir(dir.path().join("target")).unwrap();
    std::os::unix::fs::symlink(programs(), dir.path().join("target/release")).unwrap();
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Runs the whole suite for a program of the examples.
#[track_caller]
fn check(stage: &str, prepare: &str, program: &str) {
    let dir = repository();
    let prepared = Command::new("sh").args(["-c", prepare]).current_dir(&dir).status().unwrap();
    assert!(prepared.success(), "{prepare}");
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let run = Command::new(env!("CARGO_BIN_EXE_sealpipe-conformance"))
        .args(["run", "--slow", "4", "--jobs", "4", "--stage", stage, "--"])
        .arg(dir.path().join(program))
        .output()
        .unwrap();
    drop(alone);
    let text = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    let odd: Vec<_> = text.lines().filter(|line| !line.starts_with("pass ")).collect();
    assert_eq!(run.status.code(), Some(0), "\n{}", odd.join("\n"));
    assert!(text.contains(" 0 failed, 0 warned,"), "\n{}", odd.join("\n"));
}

#[test]
fn echo_in_python_keeps_the_protocol() {
    check("echo", "true", "processors/examples/python/echo.py");
}

#[test]
fn echo_in_c_keeps_the_protocol() {
    check("echo", "make -s -C processors/examples/c", "processors/examples/c/echo");
}

#[test]
fn tree_d_in_python_keeps_the_protocol() {
    check("tree_d", "true", "processors/examples/python/tree_d.py");
}

/// A command of the guide, with the lines of its here-document, and what it is said to print.
#[derive(Default)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The commands of the blocks marked `console`.
fn steps(guide: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut in_block, mut in_document) = (false, false);
    for line in guide.lines() {
        let last = steps.last_mut();
        match (in_block, line.strip_prefix("$ "), last) {
            (false, ..) => in_block = line == "```console",
            (true, None, Some(step)) if in_document => {
                step.command = format!("{}\n{line}", step.command);
                in_document = line != "END";
            }
            (true, None, _) if line == "```" => in_block = false,
            (true, Some(command), _) => {
                in_document = command.ends_with("<<'END'");
                steps.push(Step { command: command.to_owned(), ..Step::default() });
            }
            (true, None, Some(step)) => step.shown.push(line.to_owned()),
            (true, None, None) => panic!("an output without a command: {line}"),
        }
    }
    steps
}

/// A line without what differs from run to run and from machine to machine.
fn unvarying(line: &str) -> String {
    if let Ok(mut message) = serde_json::from_str::<Value>(line) {
        if let Some(result) = message["result"].as_object_mut() {
            result.remove("placement");
        }
        return message.to_string();
    }
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.len() < 8;
    let words = line.split_whitespace().filter(|word| !word.ends_with("/sector"));
    words.map(|word| if is_number(word) { "N" } else { word }).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_guide_shows_what_happens() {
    let guide = fs::read_to_string(root().join("processors/README.md")).unwrap();
    let mut steps = steps(&guide);
    // The suite is built, and the tests above run it in full.
    let is_suite = |s: &Step| s.command.contains("conformance run --stage echo");
    steps.retain(|step| !step.command.starts_with("cargo ") && !is_suite(step));
    for needed in ["sealpipe", "sealpipe-reference"] {
        program(needed);
    }
    assert!(steps.len() > 6, "the guide has {} commands", steps.len());
    // One shell, since a command may use a variable of an earlier one.
    let script: Vec<_> =
        steps.iter().map(|s| format!("{}\necho '{BORDER}'\n", s.command)).collect();
    let dir = repository();
    // A machine may be so busy that a processor has not even started when the guide ends it.
    let script = script.concat().replace("sleep 3;", "sleep 12;");
    let script = script.replace("'cgroup.cpuset", "'stable_wait = \"300s\"' 'cgroup.cpuset");
    let script = format!("exec 2>&1\n{script}");
    let run = Command::new("bash").args(["-c", &script]).current_dir(&dir).output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    let printed: Vec<_> = text.split(&format!("{BORDER}\n")).collect();
    assert_eq!(printed.len(), steps.len() + 1, "{text}");
    for (step, printed) in steps.iter().zip(printed) {
        let lines = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            lines.filter(|line| !comes_and_goes(line)).map(unvarying).collect()
        };
        let got = lines(&mut printed.lines());
        let expected = lines(&mut step.shown.iter().map(String::as_str));
        assert_eq!(got, expected, "\n$ {}\n{printed}", step.command);
    }
}
