// SPDX-License-Identifier: MIT OR Apache-2.0

//! A worker that is killed, and processes that nothing reaches but their control group.

use serde_json::{Value, json};

use crate::{PROGRAMS, Report, image::Image};

/// The name of the run.
pub const NAME: &str = "orphans";

/// A processor that ignores what can be ignored. Of its children one is in its group, one has a
/// session of its own, and one has neither its environment nor its session.
const PROCESSOR: &str = "\
#!/bin/sh
trap '' HUP INT TERM
sleep 100001 &
setsid sleep 100002 &
env -i /bin/setsid /bin/sleep 100003 &
while :; do sleep 100004; done
";

/// The children.
const FAMILY: &[&str] = &["sleep 100001", "sleep 100002", "/bin/sleep 100003", "sleep 100004"];

/// The programs of this machine that the processor needs.
const TOOLS: &[&str] = &["sh", "sleep", "setsid", "env"];

/// The run: the worker is killed as soon as the whole family is there.
pub fn plan(image: &mut Image) -> Value {
    for tool in TOOLS {
        image.program(&format!("/bin/{tool}"), &crate::machine::tool(tool));
    }
    image.script("/opt/stubborn", PROCESSOR);
    let config = "[[processors.pc1]]\nbin = \"/opt/stubborn\"\ncgroup.cpuset = \"0\"\n\
                  stable_wait = \"1h\"\n";
    image.write("/etc/orphans.toml", config);
    let worker = format!("{PROGRAMS}/sealpipe");
    json!({
        "name": NAME,
        "controlGroups": "delegated",
        "command":
            [worker, "seal", "--size", "2KiB", "--out", NAME, "--config", "/etc/orphans.toml"],
        "environment": ["PATH=/bin", "HOME=/tmp"],
        "killWhen": FAMILY,
    })
}

/// Checks that all of them were there when the worker was killed, and none in the end.
#[track_caller]
pub fn check(report: &Report<'_>) {
    let ended = report.ended;
    assert_eq!(ended["signal"], 9, "{ended:#}");
    let at_once: Vec<_> = ended["leftAtOnce"].as_array().unwrap().iter().collect();
    for member in FAMILY {
        assert!(at_once.iter().any(|command| *command == member), "{member}: {at_once:#?}");
    }
    report.check_nothing_is_left();
}
