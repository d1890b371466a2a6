// SPDX-License-Identifier: MIT OR Apache-2.0

//! One run of the plan: a command from its start to its end, and to the end of all that it left.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::{
    mount::{MountFlags, mount},
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait},
};
use serde_json::{Value, json};

use crate::{
    ENTER,
    look::{GROUPS, Seen, living},
};

/// How often processes are looked at. Looking takes its time too on a machine that is emulated.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a run may take; the host gives up no sooner.
const RUN_WITHIN: Duration = Duration::from_secs(600);

/// How long what a run leaves behind is watched.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// The group that a command is started in, as a service manager would.
const SERVICE: &str = "/sys/fs/cgroup/sealpipe.service";

/// A user without rights.
const NOBODY: u32 = 65_534;

/// Runs what is planned and reports it.
pub fn run(planned: &Value, report: &mut impl FnMut(Value)) {
    let name = planned["name"].as_str().expect("a run has a name");
    let groups = planned["controlGroups"].as_str().expect("a run says which control groups");
    control_groups(groups);
    let (out, err) = (format!("/tmp/{name}.out"), format!("/tmp/{name}.err"));
    let mut command = command(planned, groups);
    command.stdin(Stdio::null());
    command.stdout(File::create(&out).expect("/tmp is writable"));
    command.stderr(File::create(&err).expect("/tmp is writable"));
    let started = Instant::now();
    let pid = command.spawn().expect("the image has the program").id().cast_signed();
    let kill_when = words(planned, "killWhen");
    let mut meanwhile = planned["meanwhile"].as_array().cloned().unwrap_or_default();
    meanwhile.reverse();
    let mut last_said = String::new();
    let mut seen = Seen::default();
    let status = loop {
        seen.look();
        if let Some(status) = reap(pid) {
            break Some(status);
        }
        if !kill_when.is_empty() && kill_when.iter().all(|command| living().contains(command)) {
            let pid = Pid::from_raw(pid).expect("a process has an id");
            let _ = kill_process(pid, Signal::KILL);
        }
        if let Some(step) = meanwhile.last()
            && let Some(said) = step_said(planned, step)
        {
            last_said = said;
            meanwhile.pop();
            if meanwhile.is_empty() {
                let _ = kill_process(Pid::from_raw(pid).expect("it has an id"), Signal::TERM);
            }
        }
        if started.elapsed() > RUN_WITHIN {
            break None;
        }
        sleep(LOOK_EVERY);
    };
    let ended = Instant::now();
    let mut left = living();
    let left_at_once = left.clone();
    while !left.is_empty() && ended.elapsed() < GONE_WITHIN {
        sleep(LOOK_EVERY);
        reap(0);
        left = living();
    }
    for process in seen.reports() {
        report(json!({ "run": name, "process": process }));
    }
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    report(json!({
        "run": name,
        "ended": {
            "code": status.and_then(WaitStatus::exit_status),
            "signal": status.and_then(WaitStatus::terminating_signal),
            "stdout": text(&out),
            "stderr": text(&err),
            "meanwhile": last_said,
            "records": records(name),
            "leftAtOnce": left_at_once,
            "left": left,
            "groups": groups_left(),
        },
    }));
}

/// What a command says that is given while another one runs, if it says what is waited for.
fn step_said(planned: &Value, step: &Value) -> Option<String> {
    let line = words(step, "command");
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).current_dir("/tmp").env_clear();
    command.envs(words(planned, "environment").iter().filter_map(|v| v.split_once('=')));
    let output = command.output().expect("the image has the program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let until = step["until"].as_str().expect("a step says what is waited for");
    (output.status.success() && said.contains(until)).then_some(said)
}

/// The records of a run's sectors.
fn records(run: &str) -> Vec<Value> {
    let sectors = fs::read_dir(Path::new("/tmp").join(run)).into_iter().flatten().flatten();
    let records = sectors.filter_map(|sector| fs::read(sector.path().join("sector.json")).ok());
    records.filter_map(|record| serde_json::from_slice(&record).ok()).collect()
}

fn words(planned: &Value, member: &str) -> Vec<String> {
    let words = planned[member].as_array().into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn command(planned: &Value, groups: &str) -> Command {
    let line = words(planned, "command");
    let mut command = match groups {
        "none" => Command::new(&line[0]),
        _ => {
            let mut enter = Command::new("/proc/self/exe");
            enter.arg(ENTER).arg(groups).arg(&line[0]);
            enter
        }
    };
    command.args(&line[1..]).current_dir("/tmp").env_clear();
    command.envs(words(planned, "environment").iter().filter_map(|v| v.split_once('=')));
    command
}

/// Enters the service's group and becomes the program that the arguments name; in a group that is
/// not the program's to divide, with no rights to.
pub fn enter() -> ! {
    let args: Vec<_> = std::env::args().skip(2).collect();
    fs::write(Path::new(SERVICE).join("cgroup.procs"), "0").expect("the group takes processes");
    let mut command = Command::new(&args[1]);
    command.args(&args[2..]);
    if args[0] == "foreign" {
        command.uid(NOBODY).gid(NOBODY);
    }
    panic!("{}: {}", args[1], command.exec());
}

/// Makes the control groups that a run finds: none at all, a group that is the command's to divide
/// (`delegated`), or one that is root's (`foreign`).
fn control_groups(which: &str) {
    if which == "none" {
        return;
    }
    if !Path::new(GROUPS).join("cgroup.procs").exists() {
        let none = MountFlags::empty();
        mount("cgroup2", GROUPS, "cgroup2", none, None).expect("the kernel has control groups");
        fs::write(Path::new(GROUPS).join("cgroup.subtree_control"), "+cpuset +cpu")
            .expect("the kernel has the controllers");
    }
    fs::create_dir_all(SERVICE).expect("groups can be made");
}

/// The groups below the service's that are there, by their paths.
fn groups_left() -> Vec<String> {
    let mut found = Vec::new();
    collect(Path::new(SERVICE), &mut found);
    found
}

fn collect(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            found.push(entry.path().display().to_string());
            collect(&entry.path(), found);
        }
    }
}

/// Reaps everything that has ended: the first process inherits what others leave. Gives the status
/// of `awaited` if it is among them.
fn reap(awaited: i32) -> Option<WaitStatus> {
    let mut found = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == awaited {
            found = Some(status);
        }
    }
    found
}
