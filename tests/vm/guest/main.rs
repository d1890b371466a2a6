// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first process of the virtual machine: starts what the plan says, looks at every process
//! meanwhile, and reports what it saw.
//!
//! It reads `/proc` itself and shares no code with what it looks at. Reports go to the second serial
//! port, one JSON object a line.

mod look;
mod run;

use std::{fs, io::Write, path::Path};

use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, reboot},
};
use serde_json::{Value, json};

/// Where the host puts the plan.
const PLAN: &str = "/plan.json";

/// The port for the reports; the kernel's own messages go to the first one.
const PORT: &str = "/dev/ttyS1";

/// The argument with which this program enters a control group and becomes another one.
const ENTER: &str = "enter";

fn main() {
    if std::env::args().nth(1).as_deref() == Some(ENTER) {
        run::enter();
    }
    prepare();
    let mut port =
        fs::OpenOptions::new().write(true).open(PORT).expect("the machine has two ports");
    let mut report = |line: Value| {
        let text = format!("{line}\n");
        port.write_all(text.as_bytes()).expect("the port takes everything");
    };
    let plan = fs::read(PLAN).expect("the image has a plan");
    let plan: Value = serde_json::from_slice(&plan).expect("the plan is JSON");
    report(json!({ "machine": machine() }));
    for planned in plan["runs"].as_array().expect("the plan has runs") {
        run::run(planned, &mut report);
    }
    report(json!({ "done": true }));
    drop(port);
    rustix::fs::sync();
    // Nothing else ends a first process without a panic of the kernel.
    let _ = reboot(RebootCommand::PowerOff);
}

fn prepare() {
    let none = MountFlags::empty();
    for (source, target, kind) in [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("devtmpfs", "/dev", "devtmpfs"),
        ("tmpfs", "/tmp", "tmpfs"),
        ("tmpfs", "/run", "tmpfs"),
    ] {
        fs::create_dir_all(target).expect("the first file system is writable");
        mount(source, target, kind, none, None).unwrap_or_else(|e| panic!("{target}: {e}"));
    }
}

/// The kernel, and the cpus of each node.
fn machine() -> Value {
    let dir = Path::new("/sys/devices/system/node");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let node = |n: u32| read(&dir.join(format!("node{n}/cpulist")));
    json!({ "kernel": read(Path::new("/proc/version")), "nodes": [node(0), node(1)] })
}
