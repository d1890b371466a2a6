// SPDX-License-Identifier: MIT OR Apache-2.0

//! A virtual machine of two NUMA nodes with four cpus each, in software alone.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use sealpipe_tests::{Bench, program};
use serde_json::Value;

use crate::image::Image;

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";

/// The variable that names a kernel.
const KERNEL: &str = "SEALPIPE_VM_KERNEL";

/// How long the machine may run: many times what it does on two cores.
const LIMIT: Duration = Duration::from_secs(1800);

/// An emulator and a kernel.
pub struct Machine {
    kernel: PathBuf,
}

impl Machine {
    /// Looks for an emulator and a kernel; what is missing otherwise, and how to get it.
    pub fn find() -> Result<Self, String> {
        if on_path(QEMU).is_none() {
            return Err(format!("there is no {QEMU}; `make vm` installs it"));
        }
        if let Some(kernel) = env::var_os(KERNEL) {
            return Ok(Self { kernel: kernel.into() });
        }
        // Where `make vm` puts one: beside the profile's directory.
        let programs = program("sealpipe");
        let fetched = programs.ancestors().nth(2).map(|target| target.join("vm/vmlinuz"));
        match fetched.filter(|path| path.exists()) {
            Some(kernel) => Ok(Self { kernel }),
            None => Err(format!("there is no kernel; `make vm` gets one, {KERNEL} names another")),
        }
    }

    /// Boots an image and gives the lines that it reports, to its end.
    #[track_caller]
    pub fn run(&self, bench: &Bench, image: &Image) -> Vec<Value> {
        let (archive, report) = (bench.path("image.cpio"), bench.path("report"));
        let console = bench.path("console");
        image.pack(&archive).unwrap();
        let child = self.boot(&archive, &console, &report);
        let said =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        if let Err(why) = wait(child) {
            panic!("{why}; its console:\n{}\nits report:\n{}", said(&console), said(&report));
        }
        let report = said(&report);
        let lines = report
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
        let lines: Vec<Value> = lines.collect();
        let is_complete = lines.last().is_some_and(|line| line["done"] == true);
        assert!(is_complete, "its console:\n{}\nits report:\n{report}", said(&console));
        lines
    }

    fn boot(&self, archive: &Path, console: &Path, report: &Path) -> Child {
        let file = |path: &Path| format!("file:{}", path.display());
        let node = |n: u32, cpus: &str| {
            let memory = format!("memory-backend-ram,id=m{n},size=1G");
            let node = format!("node,nodeid={n},cpus={cpus},memdev=m{n}");
            ["-object".to_owned(), memory, "-numa".to_owned(), node]
        };
        Command::new(QEMU)
            .args(["-machine", "q35,accel=tcg", "-cpu", "max"])
            .args(["-smp", "8,sockets=2,cores=4", "-m", "2G"])
            .args(node(0, "0-3"))
            .args(node(1, "4-7"))
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(archive)
            .args(["-append", "console=ttyS0 rdinit=/init quiet panic=-1"])
            .args(["-serial", &file(console), "-serial", &file(report)])
            .args(["-display", "none", "-nodefaults", "-no-reboot"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }
}

/// A program that every Linux has.
#[track_caller]
pub fn tool(name: &str) -> PathBuf {
    on_path(name).unwrap_or_else(|| panic!("there is no `{name}` here"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).map(|dir| dir.join(name)).find(|path| path.exists())
}

fn wait(mut child: Child) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the emulator ended with {status}")),
            Ok(None) => sleep(Duration::from_millis(50)),
            Err(error) => return Err(format!("the emulator cannot be waited for: {error}")),
        }
    }
    let _ = (child.kill(), child.wait());
    Err(format!("the machine does not end in {LIMIT:?}"))
}
