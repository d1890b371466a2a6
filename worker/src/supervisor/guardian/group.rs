// SPDX-License-Identifier: MIT OR Apache-2.0

//! A processor's process group, and all else that descends from it: what is left of it, and its
//! end.
//!
//! Three nets, for what slips through one is caught by the next: the process group; the control
//! group, where there is one, which nothing leaves; and the mark in the environment, which goes along
//! where a descendant has begun a session of its own. Only a descendant that does that *and* clears
//! its environment, where there are no control groups, gets away.

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        cgroup,
        process_table::{Process, processes},
    },
    mark::{Mark, marked},
};

/// How often it is looked whether what was killed is gone.
const POLL: Duration = Duration::from_millis(20);

/// How long what was killed may take to be gone: the kernel frees hundreds of GiB first, and a
/// process in the middle of I/O ends only after it.
pub const KILL_WITHIN: Duration = Duration::from_secs(60);

/// A process group that the worker has started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its id, which is its leader's too.
    pub id: i32,
    /// When its leader began, in clock ticks since boot.
    pub started: u64,
    /// Its session, which is the worker's: a group never changes its session.
    pub session: i32,
    /// What its members carry in their environment.
    pub mark: Mark,
    /// The directory of its control group.
    pub control_group: Option<PathBuf>,
}

impl Group {
    /// The group that a process leads which was just started; `None` if it is gone already.
    pub fn of(leader: Pid, mark: Mark, control_group: Option<PathBuf>) -> Option<Self> {
        let Process { pid, session, started, .. } = Process::read(leader.as_raw_nonzero().get())?;
        Some(Self { id: pid, started, session, mark, control_group })
    }

    /// Its members that live.
    ///
    /// An id may be used again once no process and no group has it. While the leader is there, its
    /// birthday tells. A group whose leader is gone keeps its id as long as it has members; then the
    /// session tells, and that no member is older than the leader: another group of this id in the
    /// worker's own session would have to be led by somebody whom the worker has not told of.
    fn members(&self, all: &[Process]) -> Vec<Process> {
        let leader = all.iter().find(|process| process.pid == self.id);
        let is_ours = |process: &&Process| {
            process.group == self.id
                && process.session == self.session
                && process.started >= self.started
                && leader.is_none_or(|leader| leader.started == self.started)
        };
        all.iter().filter(is_ours).filter(|process| !process.is_zombie).copied().collect()
    }

    /// Everything that is left of it, in the group and elsewhere.
    pub fn left(&self, all: &[Process], marks: &[(Process, Mark)]) -> Vec<Process> {
        let mut left = self.members(all);
        let elsewhere = marks.iter().filter(|(_, mark)| *mark == self.mark);
        left.extend(elsewhere.map(|(process, _)| *process));
        if let Some(dir) = &self.control_group {
            // As it is now: what has entered it since `all` was read is not in there.
            let inside = cgroup::pids(dir).into_iter().filter_map(Process::read);
            left.extend(inside.filter(|process| !process.is_zombie));
        }
        once_each(left)
    }

    /// Kills once what is left of it.
    pub fn kill(&self, all: &[Process], marks: &[(Process, Mark)]) {
        if let Some(dir) = &self.control_group {
            cgroup::kill(dir);
        }
        if !self.members(all).is_empty()
            && let Some(id) = Pid::from_raw(self.id)
        {
            let _ = kill_process_group(id, Signal::KILL);
        }
        for (process, _) in marks.iter().filter(|(_, mark)| *mark == self.mark) {
            process.kill(|_| true);
        }
    }

    /// Kills what is left of it until nothing is, and removes its control group; gives what withstood
    /// for [`KILL_WITHIN`]. It waits: not for a thread that must not.
    pub fn end(&self) -> Vec<Process> {
        let deadline = Instant::now() + KILL_WITHIN;
        loop {
            let all = processes();
            let marks = marked(&all);
            let left = self.left(&all, &marks);
            if left.is_empty() || Instant::now() > deadline {
                self.control_group.iter().for_each(|dir| cgroup::remove(dir));
                return left;
            }
            self.kill(&all, &marks);
            sleep(POLL);
        }
    }
}

/// Each process once, by its id: what was read twice may have changed its session meanwhile.
pub fn once_each(mut processes: Vec<Process>) -> Vec<Process> {
    processes.sort_by_key(|process| process.pid);
    processes.dedup_by_key(|process| process.pid);
    processes
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    /// A directory stands in for the control group: what the kernel shows of one.
    #[test]
    fn what_has_entered_the_control_group_since_is_left_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id().cast_signed();
        fs::write(dir.path().join("cgroup.procs"), format!("{pid}\n")).unwrap();
        let control_group = Some(dir.path().to_owned());
        let group = Group { id: 10, started: 100, session: 5, mark: Mark::next(), control_group };
        let now = Process::read(pid).unwrap();
        assert_eq!(group.left(&[], &[]), [now]);
        // Also when it is seen twice, and was of another session then.
        let before = Process { group: 10, session: 5, started: 100, ..now };
        assert_eq!(group.left(&[before], &[]).len(), 1);
        child.kill().unwrap();
        // It is dead, and not reaped yet.
        while Process::read(pid).is_some_and(|now| !now.is_zombie) {
            sleep(POLL);
        }
        assert!(group.left(&[], &[]).is_empty());
        child.wait().unwrap();
    }

    fn process(pid: i32, group: i32, session: i32, started: u64) -> Process {
        Process { pid, group, session, started, is_zombie: false }
    }

    /// The members of group 10 of session 5, whose leader began at 100.
    fn members(all: &[Process]) -> Vec<i32> {
        let mark = Mark::next();
        let group = Group { id: 10, started: 100, session: 5, mark, control_group: None };
        group.members(all).iter().map(|process| process.pid).collect()
    }

    #[test]
    fn members_are_its_leaders_and_stay_so_when_it_is_gone() {
        let (leader, member) = (process(10, 10, 5, 100), process(11, 10, 5, 120));
        let other = process(12, 12, 5, 130);
        assert_eq!(members(&[leader, member, other]), [10, 11]);
        assert_eq!(members(&[member, other]), [11]);
        let zombie = Process { is_zombie: true, ..leader };
        assert_eq!(members(&[zombie, member]), [11]);
        assert!(members(&[zombie]).is_empty());
    }

    #[test]
    fn strangers_that_have_the_id_now_are_left_alone() {
        // A new process has the id, and perhaps a group of its own.
        assert!(members(&[process(10, 10, 5, 200), process(11, 10, 5, 210)]).is_empty());
        assert!(members(&[process(10, 7, 5, 200)]).is_empty());
        // Its leader is gone too; but it is somebody else's session.
        assert!(members(&[process(11, 10, 6, 210)]).is_empty());
        assert!(members(&[process(11, 10, 5, 90)]).is_empty());
    }
}
