// SPDX-License-Identifier: MIT OR Apache-2.0

//! Control groups (cgroups(7), version 2): a group for each processor, with its cpus and its weight,
//! which nothing that descends from it can leave, and which is killed as a whole.
//!
//! The worker's own group has to be the worker's to divide: delegated, and with nobody else in it.
//! The worker moves to a leaf of it, for a group that is divided may hold no process. Where it may
//! not divide, cpus are a matter of affinity alone, and the worker says why.

mod find;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread::sleep,
    time::Duration,
};

use sealpipe_protocol::placement::CpuList;

use super::process_table::Process;
use crate::config::WORKER_GROUP as LEAF;

/// Groups of one entry that may be there at a time: several workers may share a group, and some that
/// are gone may have left theirs behind.
const MAX_GROUPS: u32 = 10_000;

/// How often, and how many times, the removal of a group is tried: members that are dead are gone a
/// moment later.
const REMOVE_EVERY: Duration = Duration::from_millis(10);
const REMOVE_TRIES: u32 = 50;

/// The group that this process divides, or why it may not: a process is in one group only, whoever
/// asks.
static OWN: OnceLock<Result<Own, String>> = OnceLock::new();

/// A group of ours that is divided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    dir: PathBuf,
    /// The controllers that its children have.
    controllers: Vec<&'static str>,
}

/// What a processor's group is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// The group that its group lies in.
    pub parent: String,
    /// Its name, without a number.
    pub name: String,
    /// Its cpus; all when `None`.
    pub cpus: Option<CpuList>,
    /// Its share of the cpus' time beside other groups, from 1 to 10000; the kernel's 100 when
    /// `None`.
    pub weight: Option<u32>,
}

/// Divides this process' own group, unless that has been tried.
///
/// # Errors
/// Why it may not be divided, for people.
pub fn divide() -> Result<&'static Path, &'static str> {
    let own = OWN.get_or_init(divide_own).as_ref();
    own.map(|own| own.dir.as_path()).map_err(String::as_str)
}

/// The group that this process divides; `None` when it divides none.
pub fn own() -> Option<&'static Own> {
    OWN.get().and_then(|own| own.as_ref().ok())
}

fn divide_own() -> Result<Own, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let dir = find::own_directory(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)?;
    let offered = read_file(&dir, "cgroup.controllers")?;
    let offers = |name: &&str| offered.split_whitespace().any(|offered| offered == *name);
    let controllers: Vec<_> = ["cpuset", "cpu"].into_iter().filter(offers).collect();
    let shown = dir.display();
    if !controllers.contains(&"cpuset") {
        return Err(format!("the group {shown} has no controller `cpuset`"));
    }
    if !is_delegated(&dir) {
        return Err(format!(
            "the group {shown} is systemd's; `Delegate=yes` makes it the worker's"
        ));
    }
    let me = std::process::id().cast_signed();
    if let Some(other) = own_pids(&dir).into_iter().find(|pid| *pid != me) {
        return Err(format!("the group {shown} holds other processes, such as {other}"));
    }
    let own = Own { dir, controllers };
    own.enter_leaf()?;
    Ok(own)
}

/// Whether nobody else manages the group. systemd marks what it has given away; a group that belongs
/// to another user than root was given to that user.
fn is_delegated(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let by_systemd = Path::new("/run/systemd/system").exists();
    let by_root = fs::metadata(dir).is_ok_and(|metadata| metadata.uid() == 0);
    let is_marked = |name: &&str| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(dir, *name, &mut value[..]).unwrap_or(0);
        value.starts_with(b"1") && length == 1
    };
    !by_systemd || !by_root || ["user.delegate", "trusted.delegate"].iter().any(is_marked)
}

impl Own {
    /// Moves this process to a leaf and hands the controllers down.
    fn enter_leaf(&self) -> Result<(), String> {
        let leaf = self.dir.join(LEAF);
        let me = std::process::id().to_string();
        make(&leaf).and_then(|()| write(&leaf, "cgroup.procs", &me)).map_err(|error| {
            let _ = fs::remove_dir(&leaf);
            format!("the group {} may not be divided: {error}", self.dir.display())
        })?;
        self.hand_down(&self.dir).map_err(|error| {
            let _ = write(&self.dir, "cgroup.procs", &me);
            let _ = fs::remove_dir(&leaf);
            format!("the group {} cannot be divided: {error}", self.dir.display())
        })
    }

    fn hand_down(&self, dir: &Path) -> io::Result<()> {
        let enabled: Vec<_> = self.controllers.iter().map(|name| format!("+{name}")).collect();
        write(dir, "cgroup.subtree_control", &enabled.join(" "))
    }

    /// Makes a group, whose directory is given. It holds nothing yet.
    ///
    /// # Errors
    /// What the kernel says, or cpus that the worker's own group does not have.
    pub fn make(&self, share: &Share) -> io::Result<PathBuf> {
        let parent = self.dir.join(&share.parent);
        make(&parent)?;
        self.hand_down(&parent)?;
        let dir = (1..=MAX_GROUPS)
            .map(|n| parent.join(format!("{}-{n}", share.name)))
            .find_map(|dir| match fs::create_dir(&dir) {
                Ok(()) => Some(Ok(dir)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            })
            .unwrap_or_else(|| Err(io::Error::other("there are too many groups")))?;
        self.fill_in(&dir, share).inspect_err(|_| remove(&dir))?;
        Ok(dir)
    }

    fn fill_in(&self, dir: &Path, share: &Share) -> io::Result<()> {
        if let Some(cpus) = &share.cpus {
            let refused = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
            write(dir, "cpuset.cpus", &cpus.to_string()).map_err(|error| {
                refused(format!("the control group does not take the cpus {cpus}: {error}"))
            })?;
            let effective = fs::read_to_string(dir.join("cpuset.cpus.effective"))?;
            let effective = effective.trim().parse().unwrap_or_else(|_| CpuList::default());
            if effective != *cpus {
                let missing = cpus.difference(&effective);
                return Err(refused(format!(
                    "the worker's control group does not have the cpus {missing} of {cpus}"
                )));
            }
        }
        match share.weight {
            Some(weight) if self.has_weights() => write(dir, "cpu.weight", &weight.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether `cpu.weight` can be set.
    pub fn has_weights(&self) -> bool {
        self.controllers.contains(&"cpu")
    }
}

/// The file by which a process enters a group.
///
/// # Errors
/// It cannot be opened.
pub fn entrance(dir: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).open(dir.join("cgroup.procs"))
}

/// The processes in a group and in all below it.
pub fn pids(dir: &Path) -> Vec<i32> {
    let mut pids = own_pids(dir);
    pids.extend(children(dir).iter().flat_map(|child| self::pids(child)));
    pids
}

fn own_pids(dir: &Path) -> Vec<i32> {
    let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    pids.lines().filter_map(|pid| pid.parse().ok()).collect()
}

/// Kills all that is in a group and below it.
pub fn kill(dir: &Path) {
    if write(dir, "cgroup.kill", "1").is_err() {
        // Before Linux 5.14. Who started it goes on until nothing is left.
        let processes = pids(dir).into_iter().filter_map(Process::read);
        processes.for_each(|process| process.kill(|now| pids(dir).contains(&now.pid)));
    }
}

/// Removes a group and all below it, if nothing that lives is in there.
pub fn remove(dir: &Path) {
    children(dir).iter().for_each(|child| remove(child));
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(dir) {
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && own_pids(dir).is_empty() =>
            {
                sleep(REMOVE_EVERY);
            }
            _ => return,
        }
    }
}

/// Takes back what [`divide`] has done to a worker's group, from within the worker's leaf and once the
/// worker is gone. Where another worker goes on, the kernel refuses.
pub fn undivide(dir: &Path) {
    for child in children(dir).iter().filter(|child| !child.ends_with(LEAF)) {
        let _ = fs::remove_dir(child);
    }
    let _ = write(dir, "cgroup.subtree_control", "-cpuset");
    let _ = write(dir, "cgroup.subtree_control", "-cpu");
    if write(dir, "cgroup.procs", "0").is_ok() {
        remove(&dir.join(LEAF));
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The kernel takes each of these in one `write`, into a file that is there.
fn write(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = dir.join(file);
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}

fn read_file(dir: &Path, file: &str) -> Result<String, String> {
    let path = dir.join(file);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories stand in for groups: what a kernel without `cgroup.kill` has of one.
    #[test]
    fn before_there_was_a_kill_for_groups_their_members_are_killed() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("pc1-0-1");
        let below = dir.join("below");
        fs::create_dir_all(&below).unwrap();
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(dir.join("cgroup.procs"), "").unwrap();
        fs::write(below.join("cgroup.procs"), format!("{}\n", child.id())).unwrap();
        assert_eq!(pids(&dir), [child.id().cast_signed()]);
        kill(&dir);
        assert!(!child.wait().unwrap().success());
        assert!(!dir.join("cgroup.kill").exists());
    }

    #[test]
    fn a_group_is_removed_with_those_below_it_and_a_file_is_none() {
        let top = tempfile::tempdir().unwrap();
        let dir = top.path().join("pc1-0-1");
        fs::create_dir_all(dir.join("a/b")).unwrap();
        remove(&dir);
        assert!(!dir.exists());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("kept"), "").unwrap();
        remove(&dir);
        assert!(dir.exists());
    }
}
