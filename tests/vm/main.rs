// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes where the configuration says, on a machine of two NUMA nodes: both schemes of the
//! damocles documentation in small, read back by a program that knows nothing of the worker.

mod image;
mod machine;
mod orphans;
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

/// Sectors that are sealed side by side: both pc1 run, and more than once.
const COUNT: &str = "4";

/// The first of them, which is golden.
const VECTOR: &str = "2KiB-data";

/// The run that cannot start.
const MISSING: &str = "missing";

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
    fn check_sealed(&self, says: &str) {
        let ended = self.ended;
        let said = format!("{}\n{}", text(ended, "stdout"), text(ended, "stderr"));
        assert_eq!(ended["code"], 0, "{said}");
        assert!(text(ended, "stderr").contains(says), "{says:?} is not in\n{said}");
        let result: Value = serde_json::from_str(text(ended, "stdout")).expect(&said);
        let n_sectors = result["sectors"].as_array().map(|sectors| sectors.len().to_string());
        assert_eq!(n_sectors.as_deref(), Some(COUNT), "{said}");
        let sector = &result["sectors"][0];
        assert_eq!(text(&sector["commR"], "hex"), Vector::read(VECTOR).comm_r(), "{said}");
        self.check_nothing_is_left();
    }

    #[track_caller]
    fn check_nothing_is_left(&self) {
        assert_eq!(self.ended["left"], json!([]), "processes are left");
        assert_eq!(self.ended["groups"], json!([]), "control groups are left");
    }
}

/// A run of `sealpipe seal` with a scheme.
fn seal(bench: &Bench, image: &mut Image, name: &str, scheme: &Scheme, groups: &str) -> Value {
    let config = format!("/etc/{name}.toml");
    image.write(&config, scheme.text());
    let mut args = Vector::read(VECTOR).seal(bench, name);
    for index in 1..args.len() {
        match args[index - 1].as_str() {
            "--piece" => {
                let path = format!("/data/{}", args[index]);
                image.write(&path, std::fs::read(bench.path(&args[index])).unwrap());
                args[index] = path;
            }
            // CommR is known then.
            "--until" => args[index] = "pc2".to_owned(),
            _ => {}
        }
    }
    args.extend(["--config", &config, "--count", COUNT, "--json"].map(Into::into));
    args.insert(0, format!("{PROGRAMS}/sealpipe"));
    json!({
        "name": name,
        "controlGroups": groups,
        "command": args,
        "environment": [
            "PATH=/bin".to_owned(),
            "HOME=/tmp".to_owned(),
            format!("FIL_PROOFS_PARENT_CACHE=/tmp/{name}-parents"),
        ],
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
    let (pinned, weighted) = (a.pinned_by_the_worker(), b.weighted());
    let helped = a.with_helpers();
    let schemes = [
        ("a", &a, "none"),
        ("pinned", &pinned, "none"),
        ("helped", &helped, "none"),
        ("b", &b, "foreign"),
        ("grouped", &weighted, "delegated"),
    ];
    let sealing = schemes.map(|(name, scheme, g)| seal(&bench, &mut image, name, scheme, g));
    let mut runs = sealing.to_vec();
    runs.push(orphans::plan(&mut image));
    runs.push(missing_cpus(&bench, &mut image, &a));
    image.write("/plan.json", json!({ "runs": runs }).to_string());
    let lines = machine.run(&bench, &image);
    println!("{}", lines[0]);
    if let Some(path) = env::var_os(REPORT) {
        std::fs::write(path, serde_json::to_vec_pretty(&lines).unwrap()).unwrap();
    }
    for (name, scheme, groups) in schemes {
        let report = Report::of(&lines, name);
        report.check_sealed(says(groups));
        let n_helpers = scheme.check(&report.processes, groups == "delegated");
        // They are there for a moment each, and not every one is seen.
        assert!(n_helpers > 0 || name != "helped", "no helper process was seen");
    }
    let refused = Report::of(&lines, MISSING).ended;
    let said = text(refused, "stderr");
    assert!(refused["code"] == 1 && said.contains("does not take the cpus 6-9"), "{refused:#}");
    orphans::check(&Report::of(&lines, orphans::NAME));
}

/// A run whose pc1 is to have cpus that the machine has not.
fn missing_cpus(bench: &Bench, image: &mut Image, scheme: &Scheme) -> Value {
    seal(bench, image, MISSING, &scheme.clone().with_cpus("pc1", "6-9"), "delegated")
}

/// What the worker says of the control groups that it finds.
fn says(groups: &str) -> &'static str {
    match groups {
        "none" => "no control groups, cpus by affinity: this process is in no group of version 2",
        "foreign" => {
            "no control groups, cpus by affinity: the group /sys/fs/cgroup/sealpipe.service may not \
             be divided: Permission denied"
        }
        _ => "control groups: below /sys/fs/cgroup/sealpipe.service\n",
    }
}
