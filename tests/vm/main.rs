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
const OURS: &[&str] =
    &["sealpipe", "sealpipe-reference", "sealpipe-pc1", "sealpipe-pc2", "sealpipe-c2"];

/// The variable that names a file for everything that the machine reported.
const REPORT: &str = "SEALPIPE_VM_REPORT";

/// Sectors that are sealed side by side: both pc1 run, and more than once.
const COUNT: &str = "4";

/// The first of them, which is golden.
const VECTOR: &str = "2KiB-data";

/// The run of a daemon.
const DAEMON: &str = "daemon";

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
        let records = ended["records"].as_array().unwrap();
        assert_eq!(records.len().to_string(), COUNT, "{said}");
        let replicas: Vec<_> = records.iter().map(|r| text(&r["results"], "commR")).collect();
        let golden = Vector::read(VECTOR);
        assert!(replicas.contains(&golden.comm_r()), "{replicas:?}\n{said}");
        self.check_nothing_is_left();
    }

    #[track_caller]
    fn check_nothing_is_left(&self) {
        assert_eq!(self.ended["left"], json!([]), "processes are left");
        assert_eq!(self.ended["groups"], json!([]), "control groups are left");
    }
}

/// What makes runs of schemes.
struct Stage {
    bench: Bench,
    image: Image,
}

impl Stage {
    /// A run of `sealpipe seal` with a scheme.
    fn seal(&mut self, name: &str, scheme: &Scheme, groups: &str) -> Value {
        let mut args = vec![format!("{PROGRAMS}/sealpipe"), "seal".to_owned()];
        args.extend(self.sector(name));
        args.extend(["--config".to_owned(), self.config(name, scheme)]);
        plan(name, groups, &args, json!([]))
    }

    /// A daemon with a scheme, which is told to do the same, asked for its status, and ended.
    fn run(&mut self, name: &str, scheme: &Scheme, groups: &str) -> Value {
        let sealpipe = format!("{PROGRAMS}/sealpipe");
        let socket = ["--socket", "/tmp/socket"].map(str::to_owned);
        let mut run =
            [&sealpipe, "run", "--state", "/tmp/state", "--config"].map(str::to_owned).to_vec();
        run.push(self.config(name, scheme));
        run.extend(socket.clone());
        let mut submit = vec![sealpipe.clone(), "submit".to_owned()];
        submit.extend(self.sector(name));
        submit.extend(socket.clone());
        let mut status = [&sealpipe, "status", "--json"].map(str::to_owned).to_vec();
        status.extend(socket);
        let meanwhile = json!([
            { "command": submit, "until": "submitted" },
            { "command": status, "until": format!("\"done\": {COUNT}") },
        ]);
        plan(name, groups, &run, meanwhile)
    }

    fn config(&mut self, name: &str, scheme: &Scheme) -> String {
        let path = format!("/etc/{name}.toml");
        self.image.write(&path, scheme.text());
        path
    }

    /// The options that describe the golden sector, and those beside it, up to pc2: CommR is known
    /// then.
    fn sector(&mut self, name: &str) -> Vec<String> {
        let mut options = Vector::read(VECTOR).seal(&self.bench, name).split_off(1);
        for index in 1..options.len() {
            match options[index - 1].as_str() {
                "--piece" => {
                    let piece = std::fs::read(self.bench.path(&options[index])).unwrap();
                    options[index] = format!("/data/{}", options[index]);
                    self.image.write(&options[index], piece);
                }
                "--until" => options[index] = "pc2".to_owned(),
                _ => {}
            }
        }
        options.extend(["--count", COUNT].map(Into::into));
        options
    }
}

fn plan(name: &str, groups: &str, command: &[String], meanwhile: Value) -> Value {
    json!({
        "name": name,
        "controlGroups": groups,
        "command": command,
        "meanwhile": meanwhile,
        "environment": [
            "PATH=/bin".to_owned(),
            "HOME=/tmp".to_owned(),
            // Of another user than the others' where that is planned.
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
    let mut stage = Stage { bench: Bench::new(), image: Image::default() };
    stage.image.program("/init", Path::new(env!("CARGO_BIN_EXE_sealpipe-vm-guest")));
    for name in OURS {
        stage.image.program(&format!("{PROGRAMS}/{name}"), &program(name));
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
        (DAEMON, &weighted, "delegated"),
    ];
    let sealing = schemes.map(|(name, scheme, groups)| match name {
        DAEMON => stage.run(name, scheme, groups),
        _ => stage.seal(name, scheme, groups),
    });
    let mut runs = sealing.to_vec();
    runs.push(orphans::plan(&mut stage.image));
    runs.push(stage.seal(MISSING, &a.clone().with_cpus("pc1", "6-9"), "delegated"));
    stage.image.write("/plan.json", json!({ "runs": runs }).to_string());
    let lines = machine.run(&stage.bench, &stage.image);
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
    check_status(Report::of(&lines, DAEMON).ended);
    orphans::check(&Report::of(&lines, orphans::NAME));
}

/// The status of a daemon says what holds each processor.
#[track_caller]
fn check_status(ended: &Value) {
    let status: Value = serde_json::from_str(text(ended, "meanwhile")).unwrap();
    let processors = status["processors"].as_array().unwrap().iter();
    let ready: Vec<_> = processors.filter(|processor| processor["state"] == "ready").collect();
    assert!(ready.len() >= 6, "{status:#}");
    for processor in ready {
        let placed = &processor["placed"];
        let stage = text(processor, "stage");
        let dir = format!("/sys/fs/cgroup/sealpipe.service/vc-worker/{stage}-");
        let in_group = placed["by"] == "control-group" && text(placed, "dir").starts_with(&dir);
        assert!(in_group, "{processor:#}");
    }
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
