// SPDX-License-Identifier: MIT OR Apache-2.0

//! What changes while tasks run and wait: places, rules, room, and who is held.

use super::*;

fn pc1(capacity: usize) -> Place {
    place(Stage::Pc1, capacity, &[])
}

fn plain(places: Vec<Place>) -> Scheduler {
    scheduler(&[], &[], Policy::default(), places)
}

fn need(disk: Disk, bytes: u64) -> Option<Need> {
    Some(Need { disk, bytes })
}

/// Sectors that need so much each, in this order, and their first tasks.
fn enroll(scheduler: &mut Scheduler, needs: &[Option<Need>]) -> Vec<Ticket> {
    let mut ask = |(sector, need): (usize, &Option<Need>)| {
        scheduler.enroll(sector as Sector, *need);
        scheduler.request(Stage::Pc1, Some(sector as Sector), None)
    };
    needs.iter().enumerate().map(&mut ask).collect()
}

fn granted(scheduler: &mut Scheduler) -> Vec<Ticket> {
    scheduler.grants(NOW).0.iter().map(|grant| grant.ticket).collect()
}

#[test]
fn a_retired_place_gets_nothing_and_is_forgotten_after_its_last_task() {
    let mut scheduler = plain(vec![pc1(2)]);
    let old = nth(&scheduler, 0);
    let tickets: Vec<_> = (0..4).map(|_| scheduler.request(Stage::Pc1, None, None)).collect();
    assert_eq!(places(&mut scheduler), [0, 0]);
    scheduler.retire_place(old);
    let new = scheduler.add_place(pc1(1));
    assert_eq!(places(&mut scheduler), [1]);
    scheduler.release(tickets[0]);
    assert_eq!(places(&mut scheduler), [0_u64; 0], "a slot of the old place is no slot");
    assert!(scheduler.has_place(old));
    scheduler.release(tickets[1]);
    assert!(!scheduler.has_place(old));
    scheduler.retire_place(new);
    scheduler.release(tickets[2]);
    assert_ne!(scheduler.add_place(pc1(1)), new, "no id is used again");
    assert_eq!(places(&mut scheduler), [2]);
}

#[test]
fn of_equal_places_the_first_in_the_file_is_taken_whenever_it_was_added() {
    let mut scheduler = plain(vec![Place { rank: 1, ..pc1(1) }]);
    scheduler.add_place(Place { rank: 0, ..pc1(1) });
    scheduler.request(Stage::Pc1, None, None);
    assert_eq!(places(&mut scheduler), [1]);
}

#[test]
fn those_that_run_keep_the_locks_that_they_hold() {
    let one = vec![place(Stage::Pc2, 2, &["a"]), place(Stage::C2, 1, &["a"])];
    let mut scheduler = scheduler(&[], &["a", "b"], Policy::default(), one);
    let first = scheduler.request(Stage::Pc2, None, None);
    assert_eq!(places(&mut scheduler), [0]);
    scheduler.update_place(nth(&scheduler, 0), |place| place.locks = ["b".to_owned()].into());
    scheduler.request(Stage::Pc2, None, None);
    let waits = scheduler.request(Stage::C2, None, None);
    assert_eq!(places(&mut scheduler), [0], "the second one holds `b`, the first one still `a`");
    let held = Reason::Lock { name: "a".to_owned(), holders: vec![(first, Stage::Pc2, NOW)] };
    assert_eq!(scheduler.explain(waits, NOW), [held]);
    scheduler.release(first);
    assert_eq!(places(&mut scheduler), [1]);
}

#[test]
fn a_lock_or_a_limit_below_what_is_held_grants_no_more() {
    let one = vec![place(Stage::C2, 9, &["gpu"])];
    let mut scheduler = scheduler(&[], &["gpu"], Policy::default(), one);
    let rules = |gpu, limit| Rules {
        locks: [("gpu".to_owned(), gpu)].into(),
        limits: [(Stage::C2, at_most(limit))].into(),
        ..Rules::default()
    };
    scheduler.set_rules(rules(3, 9));
    let tickets: Vec<_> = (0..6).map(|_| scheduler.request(Stage::C2, None, None)).collect();
    assert_eq!(granted(&mut scheduler), tickets[..3]);
    scheduler.set_rules(rules(2, 9));
    scheduler.release(tickets[0]);
    assert_eq!(granted(&mut scheduler), [], "two hold it, as many as may");
    scheduler.set_rules(rules(9, 1));
    assert_eq!(granted(&mut scheduler), []);
    assert_eq!(scheduler.explain(tickets[3], NOW), [Reason::StageLimit { limit: 1 }]);
    scheduler.release(tickets[1]);
    scheduler.release(tickets[2]);
    assert_eq!(granted(&mut scheduler), tickets[3..4]);
}

#[test]
fn a_lock_without_a_count_is_held_by_one() {
    let mut scheduler = plain(vec![place(Stage::C2, 9, &["gpu"])]);
    for _ in 0..3 {
        scheduler.request(Stage::C2, None, None);
    }
    assert_eq!(places(&mut scheduler), [0]);
}

#[test]
fn a_paused_scheduler_grants_nothing_and_a_held_sector_gets_nothing() {
    let mut scheduler = plain(vec![pc1(9)]);
    let tickets = enroll(&mut scheduler, &[None, None]);
    scheduler.pause();
    assert_eq!(scheduler.grants(NOW), (vec![], None));
    assert_eq!(scheduler.explain(tickets[0], NOW), [Reason::Paused]);
    scheduler.resume();
    scheduler.hold(0);
    assert_eq!(scheduler.explain(tickets[0], NOW), [Reason::Held]);
    assert_eq!(granted(&mut scheduler), tickets[1..], "others go on");
    scheduler.hold(1);
    let later = scheduler.request(Stage::Pc1, Some(1), None);
    assert_eq!(granted(&mut scheduler), [], "it runs, and goes no further");
    scheduler.unhold(1);
    scheduler.unhold(0);
    assert_eq!(granted(&mut scheduler), [tickets[0], later]);
}

#[test]
fn a_sector_that_was_held_is_as_old_as_before() {
    let mut scheduler = plain(vec![pc1(0)]);
    let tickets = enroll(&mut scheduler, &[None, None]);
    scheduler.hold(0);
    scheduler.unhold(0);
    scheduler.set_capacity(nth(&scheduler, 0), 2);
    assert_eq!(granted(&mut scheduler), tickets);
}

#[test]
fn a_sector_begins_where_there_is_room_and_takes_it() {
    let mut scheduler = plain(vec![pc1(9)]);
    let tickets = enroll(&mut scheduler, &[need(7, 40), need(7, 50), need(7, 10), need(8, 1)]);
    let full = |needed, free| Reason::Disk { disk: 7, needed, free };
    assert_eq!(scheduler.explain(tickets[0], NOW), [full(40, 0)], "nothing was said of the disk");
    scheduler.set_room(7, 89);
    scheduler.set_room(8, 1);
    assert_eq!(granted(&mut scheduler), [tickets[0], tickets[3]], "49 are too few for 50");
    assert_eq!(scheduler.explain(tickets[1], NOW), [full(50, 49)]);
    let why = scheduler.explain(tickets[2], NOW);
    let kept = Reason::DiskKept { disk: 7, sector: Some(1) };
    assert_eq!(why, [kept, Reason::Behind { tasks: 1 }], "a smaller one does not overtake");
    scheduler.request(Stage::Pc1, Some(0), None);
    assert_eq!(granted(&mut scheduler).len(), 1, "one that has begun goes on");
    scheduler.set_room(7, 60);
    assert_eq!(granted(&mut scheduler), tickets[1..3]);
}

#[test]
fn an_older_sector_of_another_stage_keeps_the_room_too() {
    let mut scheduler = plain(vec![pc1(9), place(Stage::Pc2, 9, &[])]);
    scheduler.set_room(7, 30);
    let big = enroll(&mut scheduler, &[need(7, 40)])[0];
    scheduler.enroll(9, need(7, 10));
    let small = scheduler.request(Stage::Pc2, Some(9), None);
    assert_eq!(granted(&mut scheduler), []);
    let kept = Reason::DiskKept { disk: 7, sector: Some(0) };
    assert_eq!(scheduler.explain(small, NOW), [kept]);
    scheduler.release(big);
    assert_eq!(granted(&mut scheduler), [small], "who gives up keeps nothing");
}

#[test]
fn a_task_that_failed_goes_elsewhere_if_there_is_a_healthy_place() {
    let mut scheduler = plain(vec![pc1(2), pc1(1)]);
    let [first, second] = [0, 1].map(|n| nth(&scheduler, n));
    let retried = scheduler.request(Stage::Pc1, None, Some(first));
    assert_eq!(places(&mut scheduler), [1]);
    let waits = scheduler.request(Stage::Pc1, None, Some(first));
    let other = scheduler.request(Stage::Pc1, None, None);
    assert_eq!(granted(&mut scheduler), [other], "nobody stands in line behind it");
    let why = [Reason::NoSlot { slots: 3 }, Reason::Avoids { place: first }];
    assert_eq!(scheduler.explain(waits, NOW), why);
    scheduler.release(retried);
    assert_eq!(places(&mut scheduler), [1]);
    scheduler.set_capacity(second, 0);
    scheduler.request(Stage::Pc1, None, Some(first));
    assert_eq!(places(&mut scheduler), [0], "no other one is healthy");
}

#[test]
fn the_cap_is_twice_the_tasks_that_can_run_at_once() {
    let silent = |stage| Place { is_counted: false, ..place(stage, 9, &[]) };
    let all = vec![pc1(14), pc1(0), place(Stage::C2, 4, &[]), silent(Stage::Echo)];
    let mut scheduler = scheduler(&[(Stage::C2, at_most(1))], &[], Policy::default(), all);
    assert_eq!(scheduler.cap(), None);
    let cap = |scheduler: &mut Scheduler| {
        scheduler.set_rules(Rules { sectors_in_flight: Cap::Auto, ..scheduler.rules.clone() });
        scheduler.cap()
    };
    assert_eq!(cap(&mut scheduler), Some(2 * (14 + 1 + 1)), "1 for a place that never started");
    let second = nth(&scheduler, 1);
    scheduler.set_capacity(second, 14);
    assert_eq!(cap(&mut scheduler), Some(2 * (14 + 14 + 1)));
    scheduler.set_capacity(second, 0);
    assert_eq!(cap(&mut scheduler), Some(2 * (14 + 14 + 1)), "a process that died comes back");
    scheduler.retire_place(second);
    assert_eq!(cap(&mut scheduler), Some(2 * (14 + 1)));
}
