// SPDX-License-Identifier: MIT OR Apache-2.0

//! What ran where and when, by the daemon's journal.

use std::collections::{BTreeMap, BTreeSet};

use sealpipe_tests::text;
use serde_json::Value;

/// A task that has ended well. Times are in milliseconds since 1970.
pub struct Task<'e> {
    sector: &'e str,
    stage: &'e str,
    processor: &'e str,
    begin: u64,
    end: u64,
    /// How long it waited since the stage before it had ended; `None` for a sector's first.
    waited: Option<u64>,
}

/// All tasks in the order in which they began.
#[track_caller]
pub fn tasks(events: &[Value]) -> Vec<Task<'_>> {
    let (mut open, mut before) = (BTreeMap::new(), BTreeMap::new());
    let mut tasks = Vec::new();
    for event in events {
        let (sector, stage) = (text(event, "sector"), text(event, "stage"));
        let at = || event["atMs"].as_u64().unwrap();
        match text(event, "event") {
            "stage-started" => {
                let began = open.insert((sector, stage), (text(event, "processor"), at()));
                assert!(began.is_none(), "{event} for the second time");
            }
            "stage-finished" => {
                let began = open.remove(&(sector, stage));
                let (processor, begin) = began.unwrap_or_else(|| panic!("{event} and no start"));
                let waited = before.insert(sector, at()).map(|before| begin - before);
                tasks.push(Task { sector, stage, processor, begin, end: at(), waited });
            }
            "stage-retried" | "stage-failed" | "processor-died" | "processor-degraded" => {
                panic!("nothing may fail: {event}")
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "not ended: {open:?}");
    tasks.sort_by_key(|task| task.begin);
    tasks
}

/// Checks that no two tasks held a lock at once, and that each processor that needs it had it.
#[track_caller]
pub fn check_locks(tasks: &[Task<'_>], holders: &BTreeMap<String, Vec<String>>, stages: &[&str]) {
    for (lock, processors) in holders {
        let held: Vec<_> = held(tasks, processors).collect();
        for pair in held.windows(2) {
            let (task, next) = (&pair[0], &pair[1]);
            assert!(
                task.end <= next.begin,
                "{lock} is held by {} of {} until {}, and by {} of {} from {} on",
                task.stage,
                task.sector,
                task.end,
                next.stage,
                next.sector,
                next.begin,
            );
        }
        let had: BTreeSet<_> = held.iter().map(|task| task.stage).collect();
        assert_eq!(had, stages.iter().copied().collect(), "{lock} was used by {had:?} alone");
    }
}

fn held<'t>(tasks: &'t [Task<'t>], processors: &'t [String]) -> impl Iterator<Item = &'t Task<'t>> {
    tasks.iter().filter(|task| processors.iter().any(|one| one == task.processor))
}

/// What went through each lock, and who waited longest for one.
pub fn table(tasks: &[Task<'_>], holders: &BTreeMap<String, Vec<String>>) -> String {
    let seconds = |ms: u64| ms as f64 / 1e3;
    let begin = tasks.iter().map(|task| task.begin).min().unwrap_or_default();
    let end = tasks.iter().map(|task| task.end).max().unwrap_or_default();
    let sectors: BTreeSet<_> = tasks.iter().map(|task| task.sector).collect();
    let mut table = format!("{} sectors in {:.2} s\n", sectors.len(), seconds(end - begin));
    table += "lock   processor  tasks     busy  longest wait\n";
    for (lock, processors) in holders {
        for processor in processors {
            let mine: Vec<_> = tasks.iter().filter(|task| task.processor == processor).collect();
            let busy: u64 = mine.iter().map(|task| task.end - task.begin).sum();
            let waited = mine.iter().filter_map(|task| task.waited).max().unwrap_or_default();
            table += &format!(
                "{lock:<6} {processor:<9} {:>6} {:>6.2} s {:>11.2} s\n",
                mine.len(),
                seconds(busy),
                seconds(waited),
            );
        }
    }
    table
}
