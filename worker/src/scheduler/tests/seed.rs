// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scheme B for a month of virtual time: 28 pc1 feed two GPUs that pc2 and c2 share, and supply twice
//! what these can take (`docs/scheduling.md`).

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Minutes of a 32GiB sector's stages: damocles' own table, for an EPYC 7642 and an RTX 3080.
const MINUTES: [(Stage, f64); 3] = [(Stage::Pc1, 177.0), (Stage::Pc2, 11.5), (Stage::C2, 14.5)];
/// Between pc2 and c2: the chain's randomness.
const WAIT_SEED: f64 = 75.0;

fn minutes(n: f64) -> Duration {
    MINUTE.mul_f64(n)
}

fn scheme_b() -> Vec<Place> {
    let pc1 = [(); 2].map(|()| place(Stage::Pc1, 14, &[]));
    [&pc1[..], &shared_gpus()].concat()
}

#[derive(Default, Debug)]
struct Month {
    sealed: usize,
    longest_wait: BTreeMap<Stage, Duration>,
    longest_queue: BTreeMap<Stage, usize>,
}

/// Runs with as many sectors as anybody could want.
fn run(policy: Policy, sectors_in_flight: Cap) -> Month {
    let staggered = StageLimit { concurrent: Some(28), staggered: Some(5 * MINUTE) };
    let rules = Rules {
        limits: [(Stage::Pc1, staggered)].into(),
        locks: locks(&["gpu1", "gpu2"]),
        policy,
        sectors_in_flight,
    };
    let mut scheduler = Scheduler::new(rules, scheme_b());
    let mut month = Month::default();
    let mut waiting: BTreeMap<Ticket, (Stage, Sector, Time)> = BTreeMap::new();
    // What happens next: a task ends, or a sector's randomness has come (no ticket).
    let mut events: BTreeSet<(Time, Sector, Stage, Option<Ticket>)> = BTreeSet::new();
    let mut now = Time::ZERO;
    let mut supply = 1..;
    while now < MONTH {
        while waiting.values().filter(|(stage, ..)| *stage == Stage::Pc1).count() < 2 {
            let sector = supply.next().unwrap();
            waiting.insert(
                scheduler.request(Stage::Pc1, Some(sector), None),
                (Stage::Pc1, sector, now),
            );
        }
        let (grants, wake) = scheduler.grants(now);
        for grant in grants {
            let (stage, sector, since) = waiting.remove(&grant.ticket).unwrap();
            let longest = month.longest_wait.entry(stage).or_default();
            *longest = (*longest).max(now - since);
            let took = MINUTES.iter().find(|(known, _)| *known == stage).unwrap().1;
            events.insert((now + minutes(took), sector, stage, Some(grant.ticket)));
        }
        for stage in [Stage::Pc2, Stage::C2] {
            let queue = waiting.values().filter(|(waits, ..)| *waits == stage).count();
            let longest = month.longest_queue.entry(stage).or_default();
            *longest = (*longest).max(queue);
        }
        let next = events.first().map(|(at, ..)| *at);
        let Some(next) = next.into_iter().chain(wake).min() else { break };
        now = next;
        while let Some((at, sector, stage, ticket)) = events.first().copied().filter(|e| e.0 <= now)
        {
            events.pop_first();
            scheduler.release(ticket.unwrap_or(Ticket(0)));
            match (stage, ticket) {
                (Stage::Pc2, Some(_)) => {
                    events.insert((at + minutes(WAIT_SEED), sector, Stage::C2, None));
                }
                (Stage::C2, Some(_)) => {
                    month.sealed += 1;
                    scheduler.leave(sector);
                }
                (stage, _) => {
                    let stage = if stage == Stage::Pc1 { Stage::Pc2 } else { Stage::C2 };
                    waiting
                        .insert(scheduler.request(stage, Some(sector), None), (stage, sector, now));
                }
            }
        }
    }
    month
}

/// Two GPUs do a pc2 and a c2 in 13 minutes on average.
const MOST: usize = (30 * 24 * 60) / 13;

/// What `docs/scheduling.md` says of the longest wait of a c2, for two GPUs: those ahead of it and it
/// itself need so many turns, and after every few of them a pc2 has one.
fn longest(month: &Month) -> Duration {
    let turns = month.longest_queue[&Stage::C2] as f64;
    let of_pc2 = (turns / f64::from(DEFAULT_OVERTAKES)).ceil() + 1.0;
    minutes((turns * 14.5 + of_pc2 * 11.5) / 2.0 + 14.5)
}

#[test]
fn c2_never_starves_and_the_gpus_are_never_idle() {
    for policy in [Policy::default(), Policy::LaterFirst { overtakes: 0 }, Policy::Fifo] {
        let month = run(policy, Cap::AtMost(60));
        // But for the first hours, when no sector has got so far.
        assert!(month.sealed > MOST * 97 / 100 && month.sealed <= MOST, "{policy:?} {month:?}");
        // A cap holds pc1 back: whatever waits anywhere is bounded by it.
        assert!(month.longest_queue.values().all(|queue| *queue < 60), "{policy:?} {month:?}");
    }
    let month = run(Policy::default(), Cap::AtMost(60));
    assert!(month.longest_wait[&Stage::C2] <= longest(&month), "{month:?}");
}

#[test]
fn the_cap_that_nobody_set_keeps_the_gpus_busy_and_the_queues_short() {
    let month = run(Policy::default(), Cap::Auto);
    assert!(month.sealed > MOST * 97 / 100, "{month:?}");
    // Twice as many sectors as there are slots.
    assert!(month.longest_queue.values().all(|queue| *queue < 2 * (28 + 2 + 2)), "{month:?}");
}

#[test]
fn without_a_cap_queues_grow_before_the_gpus_and_not_before_c2() {
    let month = run(Policy::default(), Cap::Unbounded);
    assert!(month.longest_queue[&Stage::Pc2] > 1_000, "{month:?}");
    assert!(month.longest_queue[&Stage::C2] < 10, "{month:?}");
}
