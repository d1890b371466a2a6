// SPDX-License-Identifier: MIT OR Apache-2.0

mod changes;
mod properties;
mod seed;

use super::*;

/// The moment at which most tests ask.
const NOW: Time = Time::from_secs(1_000);

fn place(stage: Stage, capacity: usize, locks: &[&str]) -> Place {
    let locks = locks.iter().map(|l| (*l).to_owned()).collect();
    Place { stage, rank: 0, capacity, locks, weight: 1, is_counted: true }
}

fn scheduler(
    limits: &[(Stage, StageLimit)],
    lock_names: &[&str],
    policy: Policy,
    places: Vec<Place>,
) -> Scheduler {
    let limits = limits.iter().copied().collect();
    let sectors_in_flight = Cap::Unbounded;
    let rules = Rules { limits, locks: locks(lock_names), policy, sectors_in_flight };
    Scheduler::new(rules, places)
}

fn at_most(concurrent: usize) -> StageLimit {
    StageLimit { concurrent: Some(concurrent), staggered: None }
}

fn locks(names: &[&str]) -> BTreeMap<String, usize> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

/// The places that the waiting tasks get now, in their order.
fn places(scheduler: &mut Scheduler) -> Vec<u64> {
    scheduler.grants(NOW).0.iter().map(|grant| grant.place.number()).collect()
}

/// The place that was added after so many others.
fn nth(scheduler: &Scheduler, n: u64) -> PlaceId {
    *scheduler.sites.keys().find(|id| id.number() == n).unwrap()
}

#[test]
fn the_place_with_the_most_free_slots_is_taken_and_the_first_of_equals() {
    let both = vec![place(Stage::Pc1, 2, &[]), place(Stage::Pc1, 2, &[])];
    let mut scheduler = scheduler(&[], &[], Policy::default(), both);
    for _ in 0..5 {
        scheduler.request(Stage::Pc1, None, None);
    }
    assert_eq!(places(&mut scheduler), [0, 1, 0, 1]);
}

#[test]
fn free_slots_count_by_weight() {
    let heavy = Place { weight: 3, ..place(Stage::Pc1, 4, &[]) };
    let both = vec![place(Stage::Pc1, 4, &[]), heavy];
    let mut scheduler = scheduler(&[], &[], Policy::default(), both);
    for _ in 0..8 {
        scheduler.request(Stage::Pc1, None, None);
    }
    assert_eq!(places(&mut scheduler), [1, 1, 1, 0, 0, 1, 0, 0]);
}

#[test]
fn a_place_without_a_process_gets_nothing() {
    let one = vec![place(Stage::Pc1, 0, &[])];
    let mut scheduler = scheduler(&[], &[], Policy::default(), one);
    let ticket = scheduler.request(Stage::Pc1, None, None);
    assert_eq!(places(&mut scheduler), [0_u64; 0]);
    assert_eq!(scheduler.explain(ticket, NOW), [Reason::NoProcessor]);
    scheduler.set_capacity(nth(&scheduler, 0), 1);
    assert_eq!(places(&mut scheduler), [0]);
}

#[test]
fn a_stage_that_can_never_run_is_known() {
    let all =
        vec![place(Stage::Pc2, 9, &[]), place(Stage::C2, 9, &["gpu"]), place(Stage::C1, 1, &[])];
    let mut scheduler = scheduler(&[(Stage::Pc2, at_most(0))], &["gpu"], Policy::default(), all);
    scheduler.rules.locks.insert("gpu".to_owned(), 0);
    assert!(scheduler.forbidden(Stage::Pc2).unwrap().contains("limitation.concurrent.pc2"));
    assert!(scheduler.forbidden(Stage::C2).unwrap().contains("locks that are 0"));
    assert_eq!(scheduler.forbidden(Stage::C1), None);
    scheduler.rules.sectors_in_flight = Cap::AtMost(0);
    assert!(scheduler.forbidden(Stage::C1).unwrap().contains("sectors_in_flight"));
}

#[test]
fn a_stage_keeps_to_its_limit() {
    let two = vec![place(Stage::Pc2, 9, &[]), place(Stage::C2, 9, &[])];
    let mut scheduler = scheduler(&[(Stage::Pc2, at_most(1))], &[], Policy::Fifo, two);
    let first = scheduler.request(Stage::Pc2, None, None);
    let second = scheduler.request(Stage::Pc2, None, None);
    scheduler.request(Stage::C2, None, None);
    assert_eq!(places(&mut scheduler), [0, 1]);
    assert_eq!(scheduler.explain(second, NOW), [Reason::StageLimit { limit: 1 }]);
    scheduler.release(first);
    assert_eq!(places(&mut scheduler), [0]);
}

#[test]
fn staggered_starts_keep_their_distance_whenever_tasks_end() {
    let interval = Duration::from_secs(300);
    let limit = StageLimit { concurrent: None, staggered: Some(interval) };
    let one = vec![place(Stage::Pc1, 9, &[])];
    let mut scheduler = scheduler(&[(Stage::Pc1, limit)], &[], Policy::default(), one);
    let first = scheduler.request(Stage::Pc1, None, None);
    let second = scheduler.request(Stage::Pc1, None, None);
    assert_eq!(scheduler.grants(NOW).0.len(), 1);
    scheduler.release(first);
    let (none, wake) = scheduler.grants(NOW + interval / 2);
    assert_eq!((none.len(), wake), (0, Some(NOW + interval)));
    let why = scheduler.explain(second, NOW + interval / 2);
    assert_eq!(why, [Reason::Staggered { until: NOW + interval }]);
    assert_eq!(scheduler.grants(NOW + interval).0.len(), 1);
}

/// Scheme B: pc2 and c2 share two GPUs. damocles lets a stream of pc2 starve c2, and lets all who
/// wait queue for the first GPU.
#[test]
fn a_later_stage_takes_the_gpu_that_is_free() {
    for policy in [Policy::default(), Policy::Fifo] {
        let mut scheduler = scheduler(&[], &["gpu1", "gpu2"], policy, shared_gpus());
        let running: Vec<_> = (0..2).map(|_| scheduler.request(Stage::Pc2, None, None)).collect();
        assert_eq!(places(&mut scheduler), [0, 1]);
        scheduler.request(Stage::C2, None, None);
        scheduler.request(Stage::Pc2, None, None);
        scheduler.release(running[1]);
        assert_eq!(places(&mut scheduler), [3], "the c2 came before the third pc2");
    }
}

fn shared_gpus() -> Vec<Place> {
    let with = |stage| ["gpu1", "gpu2"].map(|gpu| place(stage, 1, &[gpu]));
    [with(Stage::Pc2), with(Stage::C2)].concat()
}

/// A stream of c2 that never ends lets a pc2 through after as many as the policy says.
#[test]
fn a_stage_is_overtaken_no_more_often_than_the_policy_says() {
    let policies = [(Policy::Fifo, 0), (Policy::LaterFirst { overtakes: 2 }, 2)];
    for (policy, bound) in policies {
        let both = vec![place(Stage::Pc2, 1, &["gpu"]), place(Stage::C2, 1, &["gpu"])];
        let mut scheduler = scheduler(&[], &["gpu"], policy, both);
        let mut running = scheduler.request(Stage::C2, None, None);
        assert_eq!(places(&mut scheduler), [1]);
        scheduler.request(Stage::Pc2, None, None);
        for _ in 0..bound {
            let next = scheduler.request(Stage::C2, None, None);
            scheduler.release(running);
            assert_eq!(places(&mut scheduler), [1]);
            running = next;
        }
        scheduler.request(Stage::C2, None, None);
        scheduler.release(running);
        assert_eq!(places(&mut scheduler), [0], "{policy:?}");
    }
}

#[test]
fn locks_named_in_another_order_do_not_deadlock() {
    let two = vec![place(Stage::Pc2, 1, &["a", "b"]), place(Stage::C2, 1, &["b", "a"])];
    let mut scheduler = scheduler(&[], &["a", "b"], Policy::Fifo, two);
    let first = scheduler.request(Stage::Pc2, None, None);
    let second = scheduler.request(Stage::C2, None, None);
    assert_eq!(places(&mut scheduler), [0]);
    let held = |name: &str| Reason::Lock {
        name: name.to_owned(),
        holders: vec![(first, Stage::Pc2, NOW)],
    };
    assert_eq!(scheduler.explain(second, NOW), [held("a"), held("b")]);
    scheduler.release(first);
    assert_eq!(places(&mut scheduler), [1]);
}

#[test]
fn a_task_that_needs_two_locks_is_not_overtaken_for_ever() {
    let three = vec![
        place(Stage::Pc1, 9, &["b"]),
        place(Stage::Pc2, 1, &["a", "b"]),
        place(Stage::C2, 9, &["a"]),
    ];
    let mut scheduler = scheduler(&[], &["a", "b"], Policy::Fifo, three);
    let holds_b = scheduler.request(Stage::Pc1, None, None);
    assert_eq!(places(&mut scheduler), [0]);
    scheduler.request(Stage::Pc2, None, None);
    let younger = scheduler.request(Stage::C2, None, None);
    assert_eq!(places(&mut scheduler), [0_u64; 0], "`a` is kept for the older task");
    assert_eq!(scheduler.explain(younger, NOW), [Reason::Kept { name: "a".to_owned() }]);
    scheduler.release(holds_b);
    assert_eq!(places(&mut scheduler), [1]);
}

#[test]
fn nothing_is_kept_for_a_place_that_a_lock_of_0_switches_off() {
    let two = vec![place(Stage::Pc2, 1, &["gpu", "off"]), place(Stage::C2, 1, &["gpu"])];
    let mut scheduler = scheduler(&[], &["gpu"], Policy::Fifo, two);
    scheduler.rules.locks.insert("off".to_owned(), 0);
    scheduler.request(Stage::Pc2, None, None);
    scheduler.request(Stage::C2, None, None);
    assert_eq!(places(&mut scheduler), [1]);
}

#[test]
fn sectors_wait_before_their_first_stage_and_never_after_it() {
    let all = vec![place(Stage::Pc1, 9, &[]), place(Stage::Pc2, 9, &[])];
    let mut scheduler = scheduler(&[], &[], Policy::default(), all);
    scheduler.rules.sectors_in_flight = Cap::AtMost(2);
    let [first, _, third] =
        [1, 2, 3].map(|sector| scheduler.request(Stage::Pc1, Some(sector), None));
    scheduler.request(Stage::Pc1, None, None);
    assert_eq!(places(&mut scheduler), [0, 0, 0], "two sectors, and a task of none");
    assert_eq!(scheduler.explain(third, NOW), [Reason::InFlight { sectors: 2, cap: 2 }]);
    scheduler.release(first);
    scheduler.request(Stage::Pc2, Some(1), None);
    assert_eq!(places(&mut scheduler), [1], "a sector that has begun goes on");
    scheduler.leave(2);
    assert_eq!(places(&mut scheduler), [0]);
}
