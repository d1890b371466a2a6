// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

fn place(stage: Stage, capacity: usize, locks: &[&str]) -> Place {
    Place { stage, capacity, locks: locks.iter().map(|l| (*l).to_owned()).collect() }
}

fn locks(names: &[&str]) -> BTreeMap<String, usize> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

/// The places that the waiting tasks get now, in their order.
fn places(scheduler: &mut Scheduler, now: Instant) -> Vec<usize> {
    scheduler.grants(now).0.iter().map(|grant| grant.place).collect()
}

#[test]
fn the_place_with_the_most_free_slots_is_taken_and_the_first_of_equals() {
    let both = vec![place(Stage::Pc1, 2, &[]), place(Stage::Pc1, 2, &[])];
    let mut scheduler = Scheduler::new(BTreeMap::new(), BTreeMap::new(), both);
    let now = Instant::now();
    (0..5).for_each(|_| {
        scheduler.request(Stage::Pc1);
    });
    assert_eq!(places(&mut scheduler, now), [0, 1, 0, 1]);
}

#[test]
fn a_place_without_a_process_gets_nothing() {
    let one = vec![place(Stage::Pc1, 0, &[])];
    let mut scheduler = Scheduler::new(BTreeMap::new(), BTreeMap::new(), one);
    scheduler.request(Stage::Pc1);
    assert_eq!(places(&mut scheduler, Instant::now()), [0_usize; 0]);
    scheduler.set_capacity(0, 1);
    assert_eq!(places(&mut scheduler, Instant::now()), [0]);
}

#[test]
fn a_stage_that_can_never_run_is_known() {
    let limits =
        BTreeMap::from([(Stage::Pc2, StageLimit { concurrent: Some(0), staggered: None })]);
    let counts = BTreeMap::from([("gpu".to_owned(), 0)]);
    let all =
        vec![place(Stage::Pc2, 9, &[]), place(Stage::C2, 9, &["gpu"]), place(Stage::C1, 1, &[])];
    let scheduler = Scheduler::new(limits, counts, all);
    assert!(scheduler.forbidden(Stage::Pc2).unwrap().contains("limitation.concurrent.pc2"));
    assert!(scheduler.forbidden(Stage::C2).unwrap().contains("locks that are 0"));
    assert_eq!(scheduler.forbidden(Stage::C1), None);
}

#[test]
fn a_stage_keeps_to_its_limit() {
    let limits =
        BTreeMap::from([(Stage::Pc2, StageLimit { concurrent: Some(1), staggered: None })]);
    let two = vec![place(Stage::Pc2, 9, &[]), place(Stage::C2, 9, &[])];
    let mut scheduler = Scheduler::new(limits, BTreeMap::new(), two);
    let first = scheduler.request(Stage::Pc2);
    scheduler.request(Stage::Pc2);
    scheduler.request(Stage::C2);
    assert_eq!(places(&mut scheduler, Instant::now()), [0, 1]);
    scheduler.release(first);
    assert_eq!(places(&mut scheduler, Instant::now()), [0]);
}

#[test]
fn staggered_starts_keep_their_distance_whenever_tasks_end() {
    let interval = Duration::from_secs(300);
    let limits =
        BTreeMap::from([(Stage::Pc1, StageLimit { concurrent: None, staggered: Some(interval) })]);
    let mut scheduler = Scheduler::new(limits, BTreeMap::new(), vec![place(Stage::Pc1, 9, &[])]);
    let start = Instant::now();
    let first = scheduler.request(Stage::Pc1);
    scheduler.request(Stage::Pc1);
    assert_eq!(scheduler.grants(start).0.len(), 1);
    scheduler.release(first);
    let (none, wake) = scheduler.grants(start + interval / 2);
    assert_eq!((none.len(), wake), (0, Some(start + interval)));
    assert_eq!(scheduler.grants(start + interval).0.len(), 1);
}

/// Scheme B: pc2 and c2 share two GPUs. damocles lets a stream of pc2 starve c2, and lets all who
/// wait queue for the first GPU.
#[test]
fn a_shared_gpu_goes_to_whoever_waits_longest() {
    let four = vec![
        place(Stage::Pc2, 1, &["gpu1"]),
        place(Stage::Pc2, 1, &["gpu2"]),
        place(Stage::C2, 1, &["gpu1"]),
        place(Stage::C2, 1, &["gpu2"]),
    ];
    let mut scheduler = Scheduler::new(BTreeMap::new(), locks(&["gpu1", "gpu2"]), four);
    let now = Instant::now();
    let running: Vec<_> = (0..2).map(|_| scheduler.request(Stage::Pc2)).collect();
    assert_eq!(places(&mut scheduler, now), [0, 1]);
    scheduler.request(Stage::C2);
    scheduler.request(Stage::Pc2);
    scheduler.release(running[1]);
    assert_eq!(places(&mut scheduler, now), [3], "the c2 came before the third pc2");
}

#[test]
fn locks_named_in_another_order_do_not_deadlock() {
    let two = vec![place(Stage::Pc2, 1, &["a", "b"]), place(Stage::C2, 1, &["b", "a"])];
    let mut scheduler = Scheduler::new(BTreeMap::new(), locks(&["a", "b"]), two);
    let first = scheduler.request(Stage::Pc2);
    scheduler.request(Stage::C2);
    assert_eq!(places(&mut scheduler, Instant::now()), [0]);
    scheduler.release(first);
    assert_eq!(places(&mut scheduler, Instant::now()), [1]);
}

#[test]
fn a_task_that_needs_two_locks_is_not_overtaken_for_ever() {
    let three = vec![
        place(Stage::Pc1, 9, &["b"]),
        place(Stage::Pc2, 1, &["a", "b"]),
        place(Stage::C2, 9, &["a"]),
    ];
    let mut scheduler = Scheduler::new(BTreeMap::new(), locks(&["a", "b"]), three);
    let now = Instant::now();
    let holds_b = scheduler.request(Stage::Pc1);
    assert_eq!(places(&mut scheduler, now), [0]);
    scheduler.request(Stage::Pc2);
    scheduler.request(Stage::C2);
    assert_eq!(places(&mut scheduler, now), [0_usize; 0], "`a` is kept for the older task");
    scheduler.release(holds_b);
    assert_eq!(places(&mut scheduler, now), [1]);
}

#[test]
fn nothing_is_ever_granted_twice_or_beyond_its_bounds() {
    // A fixed walk over many states: a linear congruential generator (Knuth, MMIX).
    let mut random = 7_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % below
    };
    let limits =
        BTreeMap::from([(Stage::Pc2, StageLimit { concurrent: Some(2), staggered: None })]);
    let all = vec![
        place(Stage::Pc2, 2, &["gpu"]),
        place(Stage::Pc2, 2, &[]),
        place(Stage::C2, 3, &["gpu"]),
    ];
    let mut scheduler = Scheduler::new(limits, locks(&["gpu"]), all);
    let mut running: Vec<Grant> = Vec::new();
    let now = Instant::now();
    for _ in 0..5_000 {
        match draw(3) {
            0 => {
                scheduler.request(if draw(2) == 0 { Stage::Pc2 } else { Stage::C2 });
            }
            1 if !running.is_empty() => {
                let ended = running.swap_remove(draw(running.len() as u64) as usize);
                scheduler.release(ended.ticket);
            }
            _ => {}
        }
        let (grants, _) = scheduler.grants(now);
        running.extend(&grants);
        assert!(scheduler.grants(now).0.is_empty(), "granting twice changes nothing");
        let at = |place| running.iter().filter(|grant| grant.place == place).count();
        assert!(at(0) + at(1) <= 2, "the stage's limit");
        assert!(at(0) + at(2) <= 1, "the lock");
    }
}
