// SPDX-License-Identifier: MIT OR Apache-2.0

//! Any stage can be another program's: the same build, another `bin`, the same sector.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealpipe_tests::{Bench, Vector, program, root, site::PATIENT, text};
use serde_json::Value;

/// Seals a golden sector with a configuration, and gives the processors that were ready.
fn seal(bench: &Bench, name: &'static str, config: &str) -> Vec<Value> {
    bench.write("worker.toml", config);
    let vector = Vector::read(name);
    let mut args = vector.seal(bench, "sector");
    args.extend(["--config".to_owned(), "worker.toml".to_owned()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    bench.run(&args).ok();
    vector.check(&bench.path("sector"));
    bench.check_nothing_is_left();
    let mut events = bench.journal("sector").events();
    events.retain(|event| event["event"] == "processor-ready");
    events
}

/// The processor of an entry or a stage, as the journal names it.
#[track_caller]
fn find<'e>(ready: &'e [Value], processor: &str) -> &'e Value {
    let found = ready.iter().find(|event| text(event, "processor") == processor);
    found.unwrap_or_else(|| panic!("{processor} is not among {ready:#?}"))
}

/// A program of another name that says that it ran, and then is the reference.
fn stand_in(bench: &Bench, name: &str) -> PathBuf {
    let reference = program("sealpipe-reference");
    let ran = bench.path(&format!("{name}-ran"));
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n",
        ran.display(),
        reference.display()
    );
    bench.write_program(name, &script)
}

fn python() -> PathBuf {
    root().join("processors/examples/python/tree_d.py")
}

fn entry(stage: &str, bin: &Path) -> String {
    format!("[[processors.{stage}]]\nbin = \"{}\"\n{PATIENT}", bin.display())
}

#[test]
fn the_program_that_the_configuration_names_runs_the_stage() {
    let bench = Bench::new();
    let (fast, slow) = (stand_in(&bench, "fast-pc2"), stand_in(&bench, "slow-c1"));
    let config = entry("pc2", &fast) + &entry("c1", &slow) + "args = [\"processor\", \"c1\"]\n";
    let ready = seal(&bench, "2KiB-data", &config);
    for (processor, bin) in [("pc2[0]", &fast), ("c1[0]", &slow)] {
        let event = find(&ready, processor);
        assert_eq!(text(event, "program"), bin.display().to_string(), "{event}");
        assert_eq!(event["implied"], false, "{event}");
    }
    assert_eq!(fs::read_to_string(bench.path("fast-pc2-ran")).unwrap(), "processor pc2\n");
    assert_eq!(fs::read_to_string(bench.path("slow-c1-ran")).unwrap(), "processor c1\n");
    let other = find(&ready, "pc1 (implied)");
    assert_eq!(text(other, "program"), program("sealpipe-reference").display().to_string());
}

#[test]
fn a_stage_in_another_language_writes_the_same_sector() {
    for name in ["2KiB-cc", "2KiB-data", "8MiB-data"] {
        let bench = Bench::new();
        let ready = seal(&bench, name, &entry("tree_d", &python()));
        let event = find(&ready, "tree_d[0]");
        assert_eq!(text(event, "program"), python().display().to_string());
        assert_eq!(text(event, "identity"), "tree-d-python 1.0");
        let started = bench.journal("sector").events();
        let by = started.iter().find(|e| e["event"] == "stage-started" && e["stage"] == "tree_d");
        assert_eq!(text(by.unwrap(), "processor"), "tree_d[0]");
        assert!(!ready.iter().any(|e| text(e, "processor") == "tree_d (implied)"), "{ready:#?}");
    }
}

/// Our own programs and the reference take turns, both ways round; on a machine with a GPU pc2 is the
/// same program without `device`.
#[test]
fn our_own_programs_and_the_reference_write_the_same_sector() {
    let reference = program("sealpipe-reference");
    let own = |stage: &str| format!("[[processors.{stage}]]\ndevice = \"cpu\"\n{PATIENT}");
    let others = |stage: &str| entry(stage, &reference);
    for (pc1, pc2, name) in [
        (own("pc1"), others("pc2"), "2KiB-data"),
        (others("pc1"), own("pc2"), "2KiB-data"),
        (own("pc1"), own("pc2"), "8MiB-data"),
    ] {
        let bench = Bench::new();
        let ready = seal(&bench, name, &(pc1.clone() + &pc2));
        for (stage, config) in [("pc1", pc1), ("pc2", pc2)] {
            let own = config.contains("device");
            let bin = if own { program(&format!("sealpipe-{stage}")) } else { reference.clone() };
            let event = find(&ready, &format!("{stage}[0]"));
            assert_eq!(text(event, "program"), bin.display().to_string(), "{event}");
        }
    }
}

#[test]
fn a_sector_that_one_program_began_another_one_ends() {
    let bench = Bench::new();
    let args = ["seal", "--size", "2KiB", "--out", "s", "--until"];
    bench.write("worker.toml", entry("tree_d", &python()));
    bench.run(&[&args[..], &["tree_d", "--config", "worker.toml"]].concat()).ok();
    bench.write("worker.toml", entry("pc1", &stand_in(&bench, "other-pc1")));
    bench.run(&[&args[..], &["c1", "--config", "worker.toml"]].concat()).ok();
    bench.run(&["seal", "--size", "2KiB", "--out", "alone", "--until", "c1"]).ok();
    let of = |sector: &str| {
        let mut files = bench.files(sector).unwrap();
        files.retain(|name, _| name.contains("sc-02") || name == "sealed" || name == "c1.json");
        files
    };
    assert_eq!(of("s"), of("alone"));
}

#[test]
fn a_program_of_another_stage_is_refused() {
    let bench = Bench::new();
    bench.write("worker.toml", entry("pc2", &python()));
    let args = ["seal", "--size", "2KiB", "--out", "s", "--config", "worker.toml"];
    bench.run(&args).fails_with(&[
        "error: processor pc2[0]: it does not serve `pc2`, but tree_d",
        "hint: another program belongs under [[processors.pc2]]",
    ]);
    assert_eq!(bench.files("s"), None);
    bench.check_nothing_is_left();
}
