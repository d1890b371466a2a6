// SPDX-License-Identifier: MIT OR Apache-2.0

//! Waits: what they wait for, and what is left of those that are given up.

use std::time::Duration;

use sealpipe_protocol::{Stage, method::ShutdownMode};
use sealpipe_worker::{
    fleet::{Journey, Reason},
    scheduler::Need,
    simulate::Random,
};
use serde_json::json;
use tokio::{join, task::JoinSet, time::sleep};

use crate::bench::{Bench, Entry, within};

/// Waits that are given up at random moments.
const ABANDONED: usize = 300;

const GPU: &str = "[processors.ext_locks]\ngpu = 1\n[processors.limitation.concurrent]\necho = 2";

fn shared() -> [Entry; 2] {
    [Stage::Echo, Stage::Verify].map(|stage| Entry::new(stage).keys("locks = [\"gpu\"]"))
}

fn texts(bench: &Bench, journey: &Journey) -> Vec<String> {
    bench.fleet.explain(journey).iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn waits_that_are_given_up_take_nothing_with_them() {
    let bench = Bench::ready(GPU, &shared()).await;
    let mut random = Random::new(1, &[]);
    let mut waits = JoinSet::new();
    let mut handles = Vec::new();
    for _ in 0..ABANDONED {
        let fleet = bench.fleet.clone();
        let stage = [Stage::Echo, Stage::Verify][random.below(2)];
        let hold = Duration::from_micros(random.below(500) as u64);
        handles.push(waits.spawn(async move {
            let journey = fleet.begin_sector("s", None);
            let _slot = fleet.slot(stage, Some(&journey), None).await.unwrap();
            sleep(hold).await;
        }));
    }
    let mut n_given_up = 0;
    while !handles.is_empty() {
        let index = random.below(handles.len());
        handles.swap_remove(index).abort();
        sleep(Duration::from_micros(random.below(300) as u64)).await;
        while let Some(joined) = waits.try_join_next() {
            n_given_up += usize::from(joined.is_err());
        }
    }
    while let Some(joined) = within(waits.join_next()).await {
        n_given_up += usize::from(joined.is_err());
    }
    assert!(n_given_up > ABANDONED / 10, "only {n_given_up} were given up");
    assert_eq!(bench.status().sectors_in_flight, 0);
    for stage in [Stage::Echo, Stage::Verify] {
        bench.run(stage, "after", json!({}), None).await.unwrap();
    }
    bench.end().await;
}

#[tokio::test]
async fn who_holds_a_lock_is_told_by_name() {
    let bench = Bench::ready(GPU, &shared()).await;
    let holds = bench.fleet.begin_sector("t01000-1", None);
    let waits = bench.fleet.begin_sector("t01000-2", None);
    let slot = bench.slot(Stage::Echo, Some(&holds)).await;
    let look = async {
        bench.wait(|| !bench.fleet.explain(&waits).is_empty()).await;
        let reasons = bench.fleet.explain(&waits);
        let [Reason::Lock { name, count: 1, holders }] = &reasons[..] else {
            panic!("{reasons:?}")
        };
        assert_eq!((&**name, holders.len()), ("gpu", 1));
        assert_eq!(holders[0].sector.as_deref(), Some("t01000-1"));
        let text = &texts(&bench, &waits)[0];
        assert!(text.starts_with("the lock `gpu` is held by t01000-1 (echo) since "), "{text}");
        let json = serde_json::to_value(&reasons).unwrap();
        assert_eq!(json[0]["reason"], "lock");
        assert_eq!(bench.status().locks[0].holders[0].sector.as_deref(), Some("t01000-1"));
        assert_eq!(bench.fleet.explain(&holds), [], "what runs waits for nothing");
        drop(slot);
    };
    let (other, ()) = join!(bench.slot(Stage::Verify, Some(&waits)), look);
    drop(other);
    bench.end().await;
}

#[tokio::test]
async fn a_pause_a_hold_and_a_full_disk_are_waited_for() {
    let bench = Bench::ready("", &[Entry::new(Stage::Echo)]).await;
    let need = Some(Need { disk: 5, bytes: 10 });
    let journey = bench.fleet.begin_sector("t01000-7", need);
    bench.fleet.pause();
    journey.hold();
    let steps = async {
        let says = async |expected: &[&str]| {
            bench.wait(|| !texts(&bench, &journey).is_empty()).await;
            assert_eq!(texts(&bench, &journey), expected);
        };
        let full = "it needs 10 B on its disk, of which 0 B are not spoken for";
        says(&["the worker is paused", "the sector is held", full]).await;
        assert!(bench.status().paused);
        bench.fleet.resume();
        says(&["the sector is held", full]).await;
        journey.unhold();
        bench.fleet.set_room(5, 9);
        says(&["it needs 10 B on its disk, of which 9 B are not spoken for"]).await;
        assert!(!journey.has_begun());
        bench.fleet.set_room(5, 10);
    };
    let (slot, ()) = join!(bench.slot(Stage::Echo, Some(&journey)), steps);
    assert!(journey.has_begun());
    assert_eq!(bench.status().sectors_in_flight, 1);
    drop(slot);
    drop(journey);
    assert_eq!(bench.status().sectors_in_flight, 0);
    bench.end().await;
}

#[tokio::test]
async fn a_sector_waits_for_the_cap_and_one_that_begun_before_counts() {
    let rules = "processors.scheduling.sectors_in_flight = 1";
    let bench = Bench::ready(rules, &[Entry::new(Stage::Echo)]).await;
    let [old, new] = ["old", "new"].map(|name| bench.fleet.begin_sector(name, None));
    old.begin();
    let look = async {
        bench.wait(|| !bench.fleet.explain(&new).is_empty()).await;
        assert_eq!(texts(&bench, &new), ["1 of at most 1 sectors in flight have begun"]);
        drop(bench.slot(Stage::Echo, Some(&old)).await);
        drop(old);
    };
    let (slot, ()) = join!(bench.slot(Stage::Echo, Some(&new)), look);
    drop(slot);
    bench.end().await;
}

#[tokio::test]
async fn a_worker_that_stops_ends_all_waits() {
    let bench =
        Bench::ready("processors.limitation.concurrent.echo = 0", &[Entry::new(Stage::Echo)]).await;
    let journey = bench.fleet.begin_sector("s", None);
    let stop = async {
        bench.wait(|| !bench.fleet.explain(&journey).is_empty()).await;
        let off = "`limitation.concurrent.echo` is 0: the stage is switched off";
        assert_eq!(texts(&bench, &journey), [off]);
        bench.fleet.clone().stop(ShutdownMode::Interrupt).await;
    };
    let (ended, ()) = join!(within(bench.fleet.slot(Stage::Echo, Some(&journey), None)), stop);
    assert_eq!(ended.err().unwrap().message, "it was stopped");
    drop(journey);
    bench.end().await;
}
