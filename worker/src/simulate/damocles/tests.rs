// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;
use crate::{
    config::{self, Source},
    simulate::{Profile, Written},
};

/// damocles with a configuration, asked for tasks one by one at moments that the test chooses.
struct Case {
    damocles: Damocles,
    names: Vec<String>,
    next: TaskId,
}

impl Case {
    fn new(text: &str, newcomers: Newcomers) -> Self {
        let parsed = config::parse(&Source::new("test", text));
        let config = parsed.config().expect("the configuration has no errors");
        let site = Site::new(&config.processors, &Profile::default());
        let site = Written::read(text).as_damocles(site);
        let names = site.places.iter().map(|place| place.name.clone()).collect();
        Self { damocles: Damocles::new(&site, newcomers, 1), names, next: 0 }
    }

    /// A task of a sector of its own.
    fn ask(&mut self, stage: Stage) -> TaskId {
        let task = self.next;
        self.next += 1;
        self.damocles.request(task, stage, task as Sector, Time::ZERO);
        task
    }

    /// Who starts where at a second, in the order of the tasks, and when it wants to be asked again.
    fn starts(&mut self, second: u64) -> (Vec<(TaskId, &str)>, Option<u64>) {
        let (starts, wake) = self.damocles.grants(Time::from_secs(second));
        let mut starts: Vec<_> =
            starts.iter().map(|start| (start.task, self.names[start.place].as_str())).collect();
        starts.sort_unstable();
        (starts, wake.map(|at| at.as_secs()))
    }

    fn end(&mut self, task: TaskId, second: u64) {
        self.damocles.release(task, Time::from_secs(second));
    }
}

fn text(locks: &[&str], entries: &[(Stage, &[&str])]) -> String {
    let mut text = "[processors.ext_locks]\n".to_owned();
    for lock in locks {
        text.push_str(&format!("{lock} = 1\n"));
    }
    for (stage, locks) in entries {
        text.push_str(&format!("[[processors.{stage}]]\nconcurrent = 1\nlocks = {locks:?}\n"));
    }
    text
}

#[test]
fn of_equal_entries_the_last_is_taken() {
    let mut case = Case::new(&text(&[], &[(Stage::C2, &[]), (Stage::C2, &[])]), Newcomers::Random);
    let first = case.ask(Stage::C2);
    assert_eq!(case.starts(0).0, [(first, "c2[1]")]);
    let second = case.ask(Stage::C2);
    assert_eq!(case.starts(0).0, [(second, "c2[0]")]);
}

#[test]
fn whoever_finds_all_busy_waits_for_the_first_entry_alone() {
    let mut case = Case::new(&text(&[], &[(Stage::C2, &[]), (Stage::C2, &[])]), Newcomers::Random);
    let tasks = [(); 3].map(|()| case.ask(Stage::C2));
    let (mut starts, _) = case.starts(0);
    let waiting = tasks.into_iter().find(|task| starts.iter().all(|(t, _)| t != task)).unwrap();
    starts.sort_by_key(|(_, name)| *name);
    let (first, last) = (starts[0].0, starts[1].0);
    case.end(last, 1);
    assert_eq!(case.starts(1).0, [], "the second entry is idle beside a task");
    case.end(first, 2);
    assert_eq!(case.starts(2).0, [(waiting, "c2[0]")]);
}

#[test]
fn a_newcomer_may_pass_who_waits() {
    let shared = text(&["gpu"], &[(Stage::Pc2, &["gpu"]), (Stage::C2, &["gpu"])]);
    let check = |newcomers, winner: usize| {
        let mut case = Case::new(&shared, newcomers);
        let running = case.ask(Stage::Pc2);
        case.starts(0);
        let waiting = case.ask(Stage::C2);
        case.starts(1);
        case.end(running, 2);
        let newcomer = case.ask(Stage::Pc2);
        let starts: Vec<TaskId> = case.starts(2).0.iter().map(|(task, _)| *task).collect();
        assert_eq!(starts, [[waiting, newcomer][winner]], "{newcomers:?}");
    };
    check(Newcomers::First, 1);
    check(Newcomers::Last, 0);
}

#[test]
fn opposite_orders_of_locks_deadlock() {
    let crossed = text(
        &["a", "b"],
        &[
            (Stage::Pc2, &["a", "b"]),
            (Stage::C2, &["b", "a"]),
            (Stage::C1, &["a"]),
            (Stage::Pc1, &["b"]),
        ],
    );
    let mut case = Case::new(&crossed, Newcomers::Last);
    let (holds_a, holds_b) = (case.ask(Stage::C1), case.ask(Stage::Pc1));
    case.starts(0);
    let (pc2, c2) = (case.ask(Stage::Pc2), case.ask(Stage::C2));
    assert_eq!(case.starts(1).0, []);
    assert_eq!(case.damocles.stuck(), [], "who holds the locks will go on");
    case.end(holds_a, 2);
    assert_eq!(case.starts(2).0, [], "pc2 holds `a` and waits behind c2 for `b`");
    case.end(holds_b, 3);
    assert_eq!(case.starts(3).0, []);
    let stuck: Vec<_> =
        case.damocles.stuck().iter().map(|s| (s.task, s.waits_for.clone())).collect();
    assert_eq!(stuck, [(pc2, "lock `b`".to_owned()), (c2, "lock `a`".to_owned())]);
}

#[test]
fn a_lock_that_is_named_twice_blocks_its_own_task() {
    let mut case = Case::new(&text(&["a"], &[(Stage::C2, &["a", "a"])]), Newcomers::Random);
    case.ask(Stage::C2);
    assert_eq!(case.starts(0).0, []);
    let stuck = &case.damocles.stuck()[0];
    assert_eq!(stuck.holds, ["slot of `c2[0]`", "lock `a`"]);
    assert_eq!(stuck.waits_for, "lock `a`");
}

#[test]
fn zero_blocks_for_ever() {
    let off = "[processors.limitation.concurrent]\nc2 = 0\n[[processors.c2]]";
    let mut case = Case::new(off, Newcomers::Random);
    case.ask(Stage::C2);
    assert_eq!(case.starts(0), (vec![], None));
}

#[test]
fn a_stage_token_is_held_while_a_stagger_token_is_waited_for() {
    let staggered = "[processors.limitation]\nconcurrent = { pc1 = 2 }\nstaggered = { pc1 = \"10s\" }\n\
                     [[processors.pc1]]";
    let mut case = Case::new(staggered, Newcomers::Last);
    let tasks = [(); 3].map(|()| case.ask(Stage::Pc1));
    let (starts, wake) = case.starts(4);
    assert_eq!((starts.len(), wake), (1, Some(10)), "the timer runs since the worker started");
    let first = starts[0].0;
    let (starts, wake) = case.starts(10);
    assert_eq!((starts.len(), wake), (1, None), "the second one after 6 seconds of 10");
    let second = starts[0].0;
    // A task that ends lets the next one start at once.
    case.end(first, 11);
    let third = tasks.into_iter().find(|task| ![first, second].contains(task)).unwrap();
    assert_eq!(case.starts(11).0, [(third, "pc1[0]")]);
}

#[test]
fn sectors_beyond_the_sealing_threads_wait_for_one() {
    let text = "[processors.scheduling]\nsectors_in_flight = 1\n[[processors.pc1]]";
    let mut case = Case::new(text, Newcomers::Random);
    let (a, b) = (case.ask(Stage::Pc1), case.ask(Stage::Pc1));
    let (starts, _) = case.starts(0);
    let first = starts[0].0;
    assert_eq!(starts.len(), 1);
    case.end(first, 1);
    assert_eq!(case.starts(1).0, [], "the thread keeps its sector");
    case.damocles.leave(first as Sector);
    assert_eq!(case.starts(2).0, [(a + b - first, "pc1[0]")]);
}
