// SPDX-License-Identifier: MIT OR Apache-2.0

//! `sealpipe simulate` and `sealpipe plan` as programs: what people see, files, and errors.

mod program;

use std::fs;

use program::{data, sealpipe};
use serde_json::Value;

/// hwloc's words for the machine of the configuration guide that users come from.
const GUIDE: &str = "pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1";

/// stdout of a command that succeeds.
fn succeeds(args: &[&str]) -> String {
    let (code, out, err) = sealpipe(args);
    assert_eq!(code, 0, "{args:?}: {err}");
    out
}

/// stderr of one that fails.
fn fails(args: &[&str], expected: &[&str]) {
    let (code, _, err) = sealpipe(args);
    assert_ne!(code, 0, "{args:?}");
    for text in expected {
        assert!(err.contains(text), "{args:?}: {err:?} lacks {text:?}");
    }
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(args)).unwrap()
}

#[test]
fn a_scheme_is_simulated_for_people_and_for_programs() {
    let scheme = data("scheme-b.toml");
    let text = succeeds(&["simulate", &scheme, "--days", "4"]);
    for expected in [
        "sectors a day     ",
        ", in the long run at most 110.8\n",
        "PROCESSOR ",
        "gpu2 ",
        "bottleneck",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let policies = "sealpipe,fifo,damocles,damocles-worst,damocles-best";
    let value = json(&["simulate", &scheme, "--days", "4", "--policy", policies, "--json"]);
    let runs = value["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 5);
    assert!(runs[0]["report"]["sealedPerDay"].as_f64().unwrap() > 100.0);
    assert_eq!(runs[2]["policy"], "damocles");
}

#[test]
fn what_if_is_answered_side_by_side() {
    let (a, b) = (data("scheme-a.toml"), data("scheme-b.toml"));
    let files = [a.as_str(), b.as_str()];
    let sets = ["--set", "processors.limitation.concurrent.pc1=3"];
    let text = succeeds(&[&["simulate", "--days", "4"], &files[..], &sets].concat());
    assert!(text.contains("scheme-a.toml  scheme-b.toml"), "{text}");
    assert!(
        text.contains("scheme-a.toml: `limitation.concurrent.pc1` = 3: at most 24.4"),
        "{text}"
    );
}

#[test]
fn durations_come_from_a_profile_or_from_sealed_sectors() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("p.toml"), "name = \"ours\"\n[stages.c2]\ntakes = \"29min\"").unwrap();
    let scheme = data("scheme-a.toml");
    let text = succeeds(&["simulate", &scheme, "--profile", &at("p.toml"), "--days", "4"]);
    assert!(text.starts_with("durations: ours\n") && text.contains("at most 49.7"), "{text}");
    fails(&["simulate", &scheme, "--measured", &at("")], &["there is no sector in", "hint: "]);
    fs::write(at("p.toml"), "name = \"ours\"\n[stages.c2]\ntakes = \"soon\"").unwrap();
    fails(&["simulate", &scheme, "--profile", &at("p.toml")], &["p.toml: `stages.c2.takes` is"]);
}

#[test]
fn echo_jobs_are_simulated_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("w.toml"), "[[processors.echo]]\nconcurrent = 2").unwrap();
    let job = r#"{"echo":{"steps":3,"ticks":10,"intervalMs":100}}"#;
    fs::write(at("jobs.jsonl"), format!("{job}\n{job}\n\n{job}\n")).unwrap();
    let args = ["simulate", &at("w.toml"), "--jobs", &at("jobs.jsonl"), "--trace", &at("trace")];
    let value = json(&[&args[..], &["--json"]].concat());
    // Nine runs of a second by two at a time, the last of them alone.
    assert_eq!(value["runs"][0]["report"]["seconds"], 5.0);
    let trace = fs::read_to_string(at("trace")).unwrap();
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 9);
    assert_eq!((&lines[0]["processor"], &lines[0]["endedS"]), (&"echo[0]".into(), &1.0.into()));
    fs::write(at("jobs.jsonl"), "{\"echo\":{\"steps\":0}}").unwrap();
    fails(&args, &["jobs.jsonl, line 1: `steps` is from 1", "hint: expected such as"]);
    fs::write(at("jobs.jsonl"), "").unwrap();
    fails(&args, &["holds no job"]);
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("run.html");
    let scheme = data("scheme-b.toml");
    let args = ["simulate", &scheme, "--days", "2", "--html"];
    succeeds(&[&args[..], &[page.to_str().unwrap()]].concat());
    let text = fs::read_to_string(page).unwrap();
    assert!(text.starts_with("<!DOCTYPE html>") && text.contains("scheme-b.toml"));
    for outside in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!text.contains(outside), "{outside}");
    }
    assert!(!text.contains("{{"), "every place is filled");
}

#[test]
fn mistakes_on_the_command_line_are_told() {
    let scheme = data("scheme-b.toml");
    fails(&["simulate", "/no/such/file"], &["/no/such/file cannot be used"]);
    fails(&["simulate", &scheme, "--policy", "fair"], &["no policy is called", "damocles"]);
    fails(
        &["simulate", &scheme, "--arrivals", "some"],
        &["expected `unlimited` or such as 200/day"],
    );
    fails(&["simulate", &scheme, "--jitter", "3"], &["expected such as 10%"]);
    fails(&["simulate", &scheme, "--days", "0"], &["expected more than 0"]);
    fails(&["simulate", &scheme, "--set", "pc2"], &["\"pc2\" is no change"]);
    fails(&["simulate", &scheme, "--set", "processors.c2=1"], &["cannot be used"]);
}

#[test]
fn a_plan_passes_the_check_of_its_machine() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("worker.toml");
    let file = file.to_str().unwrap();
    let machine = ["--topology", GUIDE, "--gpus", "2"];
    let plan = ["plan", "--pc1", "28", "--cores-per-pc1", "2", "--reserve-l3-groups", "2"];
    assert_eq!(succeeds(&[&plan[..], &machine, &["-o", file]].concat()), "");
    let check = json(&[&["check", file, "--json"], &machine[..]].concat());
    assert_eq!(check["ok"], true);
    let diagnostics = check["diagnostics"].as_array().unwrap();
    assert!(diagnostics.iter().all(|d| d["severity"] == "note"), "{check:#}");
    fails(&[&plan[..], &machine, &["-o", file]].concat(), &["cannot write", "exists"]);
    let simulated = json(&["simulate", file, "--days", "4", "--json"]);
    assert!(simulated["runs"][0]["report"]["sealedPerDay"].as_f64().unwrap() > 105.0);
}

#[test]
fn a_plan_for_programs_says_what_speaks_for_it() {
    let value = json(&["plan", "--topology", GUIDE, "--gpus", "2", "--json"]);
    let rate = |of: &Value| of["report"]["sealedPerDay"].as_f64().unwrap();
    assert_eq!(value["best"]["gpusShared"], true);
    assert_eq!(value["runnerUp"]["gpusShared"], false);
    assert!(rate(&value["best"]) > rate(&value["runnerUp"]));
    assert!(value["toml"].as_str().unwrap().contains("[[processors.c2]]"));
    fails(
        &["plan", "--topology", "core:2 pu:1", "--memory", "8GiB"],
        &["error: pc1 takes 64 GiB of memory", "hint: "],
    );
    fails(&["plan", "--objective", "speed"], &["expected sectors-per-day or latency"]);
}
