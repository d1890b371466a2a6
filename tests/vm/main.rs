// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes where the configuration says, on a machine of two NUMA nodes: both schemes of the
//! damocles documentation in small, read back by a program that knows nothing of the worker.

mod image;
mod machine;
mod scheme;

use std::{env, path::Path};

use sealpipe_tests::{Bench, Vector, program, root, text};
use serde_json::{Value, json};

use crate::{image::Image, machine::Machine, scheme::Scheme};

/// Where the programs lie in the machine.
const PROGRAMS: &str = "/opt/sealpipe";

/// The programs of the worker and of the stages.
const OURS: &[&str] = &["sealpipe", "sealpipe-reference", "sealpipe-pc1", "sealpipe-pc2"];

/// The variable that names a file for everything that the machine reported.
const REPORT: &str = "SEALPIPE_VM_REPORT";

/// The golden sector that is sealed; beside it a second one of the same data, so that both pc1 run.
const VECTOR: &str = "2KiB-data";

/// The reports of one run.
struct Report<'r> {
    processes: Vec<&'r Value>,
    ended: &'r Value,
}

impl<'r> Report<'r> {
    #[track_caller]
    fn of(lines: &'r [Value], run: &str) -> Self {
        let mine = || lines.iter().filter(|line| line["run"] == run);
        let processes = mine().filter_map(|line| line.get("process")).collect();
        let ended = mine().find_map(|line| line.get("ended"));
        Self { processes, ended: ended.unwrap_or_else(|| panic!("{run} has not ended")) }
    }

    /// Checks that it sealed the golden sector and that nothing is left of it.
    #[track_caller]
    fn check_sealed(&self) {
        let ended = self.ended;
        let said = format!("{}\n{}", text(ended, "stdout"), text(ended, "stderr"));
        assert_eq!(ended["code"], 0, "{said}");
        let result: Value = serde_json::from_str(text(ended, "stdout")).expect(&said);
        assert_eq!(result["sectors"].as_array().map(Vec::len), Some(2), "{said}");
        let sector = &result["sectors"][0];
        assert_eq!(text(&sector["commR"], "hex"), Vector::read(VECTOR).comm_r(), "{said}");
        assert_eq!(ended["left"], json!([]), "processes are left");
        assert_eq!(ended["groups"], json!([]), "control groups are left");
    }
}

/// A run of `sealpipe seal` with a scheme.
fn seal(bench: &Bench, image: &mut Image, name: &str, scheme: &Scheme, groups: &str) -> Value {
    let config = format!("/etc/{name}.toml");
    image.write(&config, scheme.text());
    let mut args = Vector::read(VECTOR).seal(bench, name);
    // The pieces lie where the command is started.
    for index in 1..args.len() {
        if args[index - 1] == "--piece" {
            let path = format!("/data/{}", args[index]);
            image.write(&path, std::fs::read(bench.path(&args[index])).unwrap());
            args[index] = path;
        }
    }
    args.extend(["--config", &config, "--count", "2", "--json"].map(Into::into));
    args.insert(0, format!("{PROGRAMS}/sealpipe"));
    json!({
        "name": name,
        "controlGroups": groups,
        "command": args,
        "environment": ["PATH=/bin", "HOME=/tmp"],
    })
}

#[test]
fn every_process_is_where_its_entry_says() {
    let machine = match Machine::find() {
        Ok(machine) => machine,
        Err(why) if env::var_os("REQUIRE_VM").is_some() => panic!("{why}"),
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let bench = Bench::new();
    let mut image = Image::default();
    image.program("/init", Path::new(env!("CARGO_BIN_EXE_sealpipe-vm-guest")));
    for name in OURS {
        image.program(&format!("{PROGRAMS}/{name}"), &program(name));
    }
    let dir = root().join("tests/vm");
    let scheme = |file: &str| Scheme::read(&dir.join(file)).on_the_cpu();
    let (a, b) = (scheme("scheme-a.toml"), scheme("scheme-b.toml"));
    let pinned = a.pinned_by_the_worker();
    let runs = [
        seal(&bench, &mut image, "a", &a, "none"),
        seal(&bench, &mut image, "b", &b, "none"),
        seal(&bench, &mut image, "pinned", &pinned, "none"),
    ];
    image.write("/plan.json", json!({ "runs": runs }).to_string());
    let lines = machine.run(&bench, &image);
    if let Some(path) = env::var_os(REPORT) {
        std::fs::write(path, serde_json::to_vec_pretty(&lines).unwrap()).unwrap();
    }
    println!("{}", lines[0]);
    for (name, scheme) in [("a", &a), ("b", &b), ("pinned", &pinned)] {
        let report = Report::of(&lines, name);
        report.check_sealed();
        scheme.check(&report.processes);
    }
}
