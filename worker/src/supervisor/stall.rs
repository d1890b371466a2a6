// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the open tasks of a process advance: what is to be reported, and when the process is given
//! up. Pure: time is an argument.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use sealpipe_protocol::{TaskId, method::TaskProgress};
use serde::Serialize;

use super::{ProcessorSpec, link::TaskReport};
use crate::event::millis;

/// How often it is looked, unless a time that is watched for is so short that it is more often.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// How often at most.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// A task whose progress stands still.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StalledTask {
    /// Its id.
    pub task: String,
    /// For how long, in milliseconds.
    pub silent_ms: u64,
}

/// What silence means.
#[derive(Clone, Copy)]
pub struct Patience {
    stalled_after: Duration,
    stuck_after: Duration,
    report_after: Duration,
}

impl Patience {
    /// As an entry says.
    pub fn of(spec: &ProcessorSpec) -> Self {
        let ProcessorSpec { stalled_after, stuck_after, stall_report_after, .. } = *spec;
        Self { stalled_after, stuck_after, report_after: stall_report_after }
    }

    /// How often it is looked whether a time is over: a few times within the shortest.
    pub fn interval(self) -> Duration {
        let shortest = self.stalled_after.min(self.stuck_after).min(self.report_after);
        (shortest / 4).clamp(SHORTEST_INTERVAL, WATCH_INTERVAL)
    }
}

/// A task and its attempt.
pub type Key = (TaskId, u32);

struct Watched {
    report: Arc<TaskReport>,
    done: Option<u64>,
    advanced_at: Instant,
    /// Whether it was said that it stands still.
    is_reported: bool,
}

/// The open tasks of a process.
#[derive(Default)]
pub struct Watch(HashMap<Key, Watched>);

impl Watch {
    /// Whether no task is open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A task is given to the process; its progress goes to `report`.
    pub fn begin(&mut self, task: Key, report: Arc<TaskReport>, now: Instant) {
        let watched = Watched { report, done: None, advanced_at: now, is_reported: false };
        self.0.insert(task, watched);
    }

    /// A task has ended, or nobody waits for it any more.
    pub fn end(&mut self, task: &Key) {
        self.0.remove(task);
    }

    /// A message about a task's progress, and where it goes; `None` for a task that is not open. One
    /// with the same `done` is a sign of life and no more.
    pub fn advance(&mut self, progress: &TaskProgress, now: Instant) -> Option<Arc<TaskReport>> {
        let task = self.0.get_mut(&(progress.task_id.clone(), progress.attempt))?;
        if task.done != Some(progress.done) {
            task.done = Some(progress.done);
            task.advanced_at = now;
            task.is_reported = false;
        }
        Some(task.report.clone())
    }

    /// The tasks that stand still for longer than is to be reported.
    pub fn stalled(&self, patience: Patience, now: Instant) -> Vec<StalledTask> {
        let still = self.0.iter().map(|(task, watched)| (task, now - watched.advanced_at));
        let stalled = still.filter(|(_, silence)| *silence > patience.report_after);
        let mut stalled: Vec<_> =
            stalled.map(|(task, silence)| stalled_task(task, silence)).collect();
        stalled.sort_by(|a, b| a.task.cmp(&b.task));
        stalled
    }

    /// Those of them of which it was not said since they advanced last.
    pub fn newly_stalled(&mut self, patience: Patience, now: Instant) -> Vec<StalledTask> {
        let mut stalled = Vec::new();
        for (task, watched) in &mut self.0 {
            let silence = now - watched.advanced_at;
            if silence > patience.report_after && !watched.is_reported {
                watched.is_reported = true;
                stalled.push(stalled_task(task, silence));
            }
        }
        stalled
    }

    /// Why the process is to be given up, if it is: nothing was heard of it for so long, or a task
    /// stands still.
    pub fn given_up(&self, patience: Patience, silence: Duration, now: Instant) -> Option<String> {
        if !self.0.is_empty() && silence > patience.stalled_after {
            return Some(format!("it said nothing for {} s with tasks open", silence.as_secs()));
        }
        let too_long = |task: &Watched| now - task.advanced_at > patience.stuck_after;
        let ((task, _), _) = self.0.iter().find(|(_, task)| too_long(task))?;
        let limit = patience.stuck_after.as_secs();
        Some(format!("task {task} did not advance in {limit} s"))
    }
}

fn stalled_task((task, _): &Key, silence: Duration) -> StalledTask {
    StalledTask { task: task.to_string(), silent_ms: millis(silence) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        stalled_after: Duration::from_secs(180),
        stuck_after: Duration::from_secs(7_200),
        report_after: Duration::from_secs(600),
    };

    fn task(name: &str) -> Key {
        (TaskId::try_from(name.to_owned()).unwrap(), 1)
    }

    fn progress(name: &str, done: u64) -> TaskProgress {
        let (task_id, attempt) = task(name);
        let (phase, unit) = ("p".to_owned(), "u".to_owned());
        TaskProgress { task_id, attempt, phase, done, total: 9, unit, checkpoint: None }
    }

    fn names(stalled: Vec<StalledTask>) -> Vec<String> {
        stalled.into_iter().map(|stalled| stalled.task).collect()
    }

    #[test]
    fn a_task_that_stands_still_is_said_once_until_it_advances() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        for name in ["a", "b"] {
            watch.begin(task(name), Arc::new(|_| ()), start);
        }
        assert!(watch.advance(&progress("b", 1), at(500)).is_some());
        assert!(watch.newly_stalled(PATIENCE, at(600)).is_empty());
        let said = watch.newly_stalled(PATIENCE, at(601));
        assert_eq!(said, [StalledTask { task: "a".to_owned(), silent_ms: 601_000 }]);
        // The same `done` is a sign of life, not of work.
        watch.advance(&progress("b", 1), at(1_100));
        assert_eq!(names(watch.newly_stalled(PATIENCE, at(1_101))), ["b"]);
        assert_eq!(names(watch.stalled(PATIENCE, at(1_101))), ["a", "b"]);
        watch.advance(&progress("a", 3), at(1_200));
        assert_eq!(names(watch.stalled(PATIENCE, at(1_201))), ["b"]);
        assert!(watch.newly_stalled(PATIENCE, at(1_800)).is_empty());
        assert_eq!(names(watch.newly_stalled(PATIENCE, at(1_801))), ["a"]);
        watch.end(&task("a"));
        watch.end(&task("b"));
        assert!(watch.is_empty() && watch.stalled(PATIENCE, at(9_999)).is_empty());
        assert!(watch.advance(&progress("a", 4), at(9_999)).is_none());
    }

    #[test]
    fn a_process_is_given_up_for_silence_with_tasks_open_or_for_a_stuck_task() {
        let start = Instant::now();
        let [short, long] = [10, 181].map(Duration::from_secs);
        let mut watch = Watch::default();
        assert_eq!(watch.given_up(PATIENCE, long, start), None);
        watch.begin(task("a"), Arc::new(|_| ()), start);
        assert_eq!(watch.given_up(PATIENCE, short, start), None);
        let silent = watch.given_up(PATIENCE, long, start);
        assert_eq!(silent.unwrap(), "it said nothing for 181 s with tasks open");
        let stuck = watch.given_up(PATIENCE, short, start + Duration::from_secs(7_201));
        assert_eq!(stuck.unwrap(), "task a did not advance in 7200 s");
    }

    #[test]
    fn short_times_are_looked_for_more_often() {
        let check = |report_after, expected| {
            assert_eq!(Patience { report_after, ..PATIENCE }.interval(), expected);
        };
        check(Duration::from_secs(600), WATCH_INTERVAL);
        check(Duration::from_millis(400), Duration::from_millis(100));
        check(Duration::ZERO, SHORTEST_INTERVAL);
    }
}
