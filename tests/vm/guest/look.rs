// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the kernel shows of processes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

/// Where control groups are mounted.
pub const GROUPS: &str = "/sys/fs/cgroup";

/// A process is one from its start to its `exec`, and another one after it.
type Key = (i32, u64, Vec<String>);

/// All that was seen of the processes of one run.
#[derive(Default)]
pub struct Seen(BTreeMap<Key, Process>);

#[derive(Default)]
struct Process {
    parent: i32,
    group: i32,
    session: i32,
    environment: Vec<String>,
    control_group: String,
    /// What its control group is given, by the kernel's names.
    share: BTreeMap<&'static str, String>,
    threads: BTreeMap<i32, Thread>,
    /// Most anonymous pages seen in mappings without a file, by node.
    pages: BTreeMap<u32, u64>,
    times_seen: u64,
}

#[derive(Default)]
struct Thread {
    cpus: String,
    policy: String,
    ever_cpus: BTreeSet<String>,
    ever_policy: BTreeSet<String>,
}

impl Seen {
    /// Looks at every process but the first one and the kernel's threads, which have no command.
    pub fn look(&mut self) {
        for pid in pids() {
            if pid != 1 {
                // What ends in the middle of this is not seen.
                let _ = self.look_at(pid);
            }
        }
    }

    fn look_at(&mut self, pid: i32) -> Option<()> {
        let dir = format!("/proc/{pid}");
        let stat = Stat::read(pid)?;
        let command = strings(&format!("{dir}/cmdline"))?;
        let environment = strings(&format!("{dir}/environ"))?;
        let control_group = fs::read_to_string(format!("{dir}/cgroup")).ok()?;
        let pages = pages(&fs::read_to_string(format!("{dir}/numa_maps")).ok()?);
        let mut threads = Vec::new();
        for thread in fs::read_dir(format!("{dir}/task")).ok()?.flatten() {
            let tid: i32 = thread.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(thread.path().join("status"));
            let maps = fs::read_to_string(thread.path().join("numa_maps"));
            let (Ok(status), Ok(maps)) = (status, maps) else { continue };
            let (Some(cpus), Some(policy)) = (cpus(&status), policy(&maps)) else { continue };
            threads.push((tid, cpus, policy));
        }
        // An `exec` in the middle would mix two programs.
        if command.is_empty() || strings(&format!("{dir}/cmdline"))? != command {
            return None;
        }
        let process = self.0.entry((pid, stat.started, command)).or_default();
        process.parent = stat.parent;
        process.group = stat.group;
        process.session = stat.session;
        process.environment = environment;
        process.control_group = control_group.trim().to_owned();
        process.share = share(&process.control_group);
        process.times_seen += 1;
        for (tid, cpus, policy) in threads {
            let thread = process.threads.entry(tid).or_default();
            thread.ever_cpus.insert(cpus.clone());
            thread.ever_policy.insert(policy.clone());
            (thread.cpus, thread.policy) = (cpus, policy);
        }
        for (node, n) in pages {
            let most = process.pages.entry(node).or_default();
            *most = n.max(*most);
        }
        Some(())
    }

    /// One report a process.
    pub fn reports(&self) -> impl Iterator<Item = Value> + '_ {
        self.0.iter().map(|((pid, _, command), process)| {
            let threads = process.threads.iter().map(|(tid, thread)| {
                json!({
                    "id": tid,
                    "cpus": thread.cpus,
                    "policy": thread.policy,
                    "everCpus": thread.ever_cpus,
                    "everPolicy": thread.ever_policy,
                })
            });
            let environment: BTreeMap<_, _> =
                process.environment.iter().filter_map(|v| v.split_once('=')).collect();
            let pages: BTreeMap<String, u64> =
                process.pages.iter().map(|(node, n)| (node.to_string(), *n)).collect();
            json!({
                "pid": pid,
                "parent": process.parent,
                "group": process.group,
                "session": process.session,
                "command": command,
                "environment": environment,
                "controlGroup": process.control_group,
                "share": process.share,
                "threads": threads.collect::<Vec<_>>(),
                "anonymousPages": pages,
                "timesSeen": process.times_seen,
            })
        })
    }
}

/// All processes that are there.
pub fn pids() -> Vec<i32> {
    let names = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The fields of `/proc/<pid>/stat` (proc_pid_stat(5)) that are of use here.
pub struct Stat {
    state: char,
    parent: i32,
    group: i32,
    session: i32,
    started: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name in parentheses, which may hold anything.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The commands of all processes that live, but the first one and the kernel's.
pub fn living() -> Vec<String> {
    let lives = |pid: &i32| *pid != 1 && Stat::read(*pid).is_some_and(|stat| stat.state != 'Z');
    let command = |pid| Some(strings(&format!("/proc/{pid}/cmdline"))?.join(" "));
    let commands = pids().into_iter().filter(lives).filter_map(command);
    commands.filter(|command| !command.is_empty()).collect()
}

/// The strings of a file that ends each with a zero.
fn strings(path: &str) -> Option<Vec<String>> {
    let bytes = fs::read(Path::new(path)).ok()?;
    let strings = bytes.split(|byte| *byte == 0).map(|s| String::from_utf8_lossy(s).into_owned());
    Some(strings.filter(|s| !s.is_empty()).collect())
}

/// The files of a control group that say what it is given.
fn share(control_group: &str) -> BTreeMap<&'static str, String> {
    let Some(path) = control_group.strip_prefix("0::/") else { return BTreeMap::new() };
    let dir = Path::new(GROUPS).join(path);
    let read = |file| Some((file, fs::read_to_string(dir.join(file)).ok()?.trim().to_owned()));
    ["cpuset.cpus", "cpuset.mems", "cpu.weight"].into_iter().filter_map(read).collect()
}

fn cpus(status: &str) -> Option<String> {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// The policy of the first mapping, the program itself: nobody gives that one a policy of its own,
/// so it is the thread's.
fn policy(maps: &str) -> Option<String> {
    Some(maps.lines().next()?.split(' ').nth(1)?.to_owned())
}

/// Anonymous pages by node, of mappings without a file.
fn pages(maps: &str) -> BTreeMap<u32, u64> {
    let mut pages = BTreeMap::new();
    for line in maps.lines().filter(|l| l.contains(" anon=") && !l.contains(" file=")) {
        for word in line.split(' ').filter_map(|word| word.strip_prefix('N')) {
            let Some((node, n)) = word.split_once('=') else { continue };
            if let (Ok(node), Ok(n)) = (node.parse::<u32>(), n.parse::<u64>()) {
                *pages.entry(node).or_default() += n;
            }
        }
    }
    pages
}
