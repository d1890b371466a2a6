// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the storm comes over: a daemon, its processors, and a disk for its sectors.

use std::path::PathBuf;

use sealpipe_tests::{Bench, Process, disk::Disk, program, root, site::Site};
use serde_json::{Value, json};

/// Runs of `echo` in each demonstration.
pub const STEPS: u64 = 2;

/// Size of the disk of the sectors: what may be under way needs a part of it, and what is done stays.
const DISK: &str = "6g";

/// The processors. Two of them share each lock; what stands still or is silent is soon found.
pub fn config() -> String {
    let bin = program("sealpipe-reference");
    let python = root().join("processors/examples/python/echo.py");
    let care = "stable_wait = \"60s\"\nstalled_after = \"45s\"\nstuck_after = \"30s\"\n";
    let entry = |stage: &str, more: &str| {
        format!(
            "[[processors.{stage}]]\nbin = \"{}\"\nargs = [\"processor\", \"{stage}\"]\n{care}{more}\n",
            bin.display()
        )
    };
    let echo = |bin: String, more: &str| {
        format!(
            "[[processors.echo]]\nbin = \"{bin}\"\n{more}locks = [\"bus\"]\nconcurrent = 4\n{care}\n"
        )
    };
    let mut config = "[processors.scheduling]\nsectors_in_flight = 60\n\n\
                      [processors.ext_locks]\ngpu = 1\nbus = 5\n\n"
        .to_owned();
    config += &entry("pc1", "concurrent = 1\n");
    config += &entry("pc1", "concurrent = 1\n");
    config += &entry("pc2", "locks = [\"gpu\"]\nconcurrent = 1\n");
    config += &entry("c1", "locks = [\"gpu\"]\nconcurrent = 1\n");
    config += &echo(bin.display().to_string(), "args = [\"processor\", \"echo\"]\n");
    config += &echo(python.display().to_string(), "");
    config
}

/// The locks: how many may hold each, and the processors that do.
pub const LOCKS: [(&str, usize, [&str; 2]); 2] =
    [("gpu", 1, ["pc2[0]", "c1[0]"]), ("bus", 5, ["echo[0]", "echo[1]"])];

/// The world.
pub struct World {
    /// The disk of the sectors, if they can have one of their own; gone before the directory is.
    pub disk: Option<Disk>,
    /// The daemon.
    pub site: Site,
    /// Sectors that are submitted.
    pub sectors: u64,
    /// Demonstrations that are.
    pub echoes: u64,
}

impl World {
    /// A daemon to which everything is submitted.
    pub fn begin(sectors: u64, echoes: u64) -> Self {
        let bench = Bench::new();
        let disk = Disk::mount(&bench, "disk", DISK);
        let site = Site::start_in(bench, &config());
        let world = Self { site, disk, sectors, echoes };
        world.submit();
        world
    }

    /// Submits everything; what is there already stays as it is.
    #[track_caller]
    pub fn submit(&self) {
        let mut lines = String::new();
        for number in 1..=self.sectors {
            let dir = self.dir(number);
            let order = json!({ "size": "8MiB", "number": number, "dir": dir, "until": "c1" });
            lines += &format!("{}\n", json!({ "sector": order }));
        }
        for number in 1..=self.echoes {
            let order = json!({
                "name": format!("echo-{number}"), "steps": STEPS, "payload": number,
                "ticks": 3, "intervalMs": 100,
            });
            lines += &format!("{}\n", json!({ "echo": order }));
        }
        self.site.submit_lines(&lines).ok();
    }

    /// Submits one sector more.
    pub fn one_more_sector(&mut self) {
        self.sectors += 1;
        self.submit();
    }

    /// Submits so many demonstrations more.
    pub fn more_echoes(&mut self, count: u64) {
        self.echoes += count;
        self.submit();
    }

    /// A sector's directory.
    pub fn dir(&self, number: u64) -> PathBuf {
        self.site.bench.path(&format!("disk/t01000-{number}"))
    }

    /// The processes that the daemon has started, and theirs.
    pub fn processors(&self) -> (Vec<Process>, Vec<Process>) {
        let daemon = self.site.pid();
        let all = self.site.bench.processes();
        let (processors, others): (Vec<_>, Vec<_>) =
            all.into_iter().filter(|p| p.pid != daemon).partition(|p| p.parent == daemon);
        let helpers = others.into_iter();
        let helpers =
            helpers.filter(|helper| processors.iter().any(|p| p.pid == helper.parent)).collect();
        (processors, helpers)
    }

    /// The status, unless the daemon is in no state to answer.
    pub fn status(&self) -> Option<Value> {
        let ended = self.site.run(&["status", "--all", "--json"]);
        serde_json::from_str(&ended.stdout).ok()
    }

    /// Ends the world, and looks that nothing is left of it.
    pub fn end(mut self) {
        self.site.terminate();
        self.site.bench.check_nothing_is_left();
    }
}
