// SPDX-License-Identifier: MIT OR Apache-2.0

//! Another configuration, while tasks run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use sealpipe_protocol::{Stage, method::ShutdownMode};
use sealpipe_worker::{
    event::Event,
    fleet::{FleetStatus, Patience, Reload},
};
use serde_json::json;
use tokio::join;

use crate::bench::{Bench, Entry, is_alive};

/// How often the processor is replaced under load.
const SWAPS: usize = 10;

/// Tasks that are always on their way meanwhile.
const STREAMS: usize = 6;

/// Tasks of all streams together between two swaps, at least.
const TASKS_BETWEEN: usize = 12;

fn echo() -> Entry {
    Entry::new(Stage::Echo)
}

fn generation(n: usize) -> Entry {
    echo().env("GENERATION", n)
}

#[tokio::test]
async fn a_processor_is_replaced_again_and_again_under_load() {
    let bench = Bench::ready("", &[generation(0)]).await;
    let (is_over, n_done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let stream = async |stream: usize| {
        let mut n = 0;
        while !is_over.load(Ordering::Relaxed) {
            let id = format!("task-{stream}-{n}");
            // None of them is tried again: not one may fail.
            bench.run(Stage::Echo, &id, json!({}), None).await.unwrap();
            n_done.fetch_add(1, Ordering::Relaxed);
            n += 1;
        }
        n
    };
    let swaps = async {
        for n in 1..=SWAPS {
            let so_far = n_done.load(Ordering::Relaxed);
            bench.wait(|| n_done.load(Ordering::Relaxed) >= so_far + TASKS_BETWEEN).await;
            let old = bench.pid("echo[0]");
            // One task is certain to run on the old process when the new one takes over.
            let (id, gate) = (format!("long-{n}"), format!("gate-{n}"));
            let long = bench.run(Stage::Echo, &id, bench.until(&gate), None);
            let swap = async {
                bench.began(&id).await;
                let reload = bench.reload("", &[generation(n)]).await.unwrap();
                assert_eq!(reload.started, ["echo[0]"]);
                assert_eq!(reload.draining.len(), 1, "{reload:?}");
                assert!(reload.draining[0].tasks > 0, "{reload:?}");
                assert_ne!(bench.pid("echo[0]"), old);
                let probe = bench.run(Stage::Echo, &format!("probe-{n}"), json!({}), None).await;
                assert_eq!(probe.unwrap()["generation"], n.to_string(), "the next task");
                assert!(is_alive(old), "it finishes its task");
                bench.open(&gate);
            };
            let (long, ()) = join!(long, swap);
            assert_eq!(long.unwrap()["generation"], (n - 1).to_string());
            bench.wait(|| !is_alive(old)).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    let streams = async {
        let mut all = Vec::new();
        for n in 0..STREAMS {
            all.push(stream(n));
        }
        futures_join(all).await
    };
    let (sent, ()) = join!(streams, swaps);
    let begun = bench.tasks();
    assert_eq!(BTreeSet::from_iter(&begun).len(), begun.len(), "a task ran twice");
    assert_eq!(begun.len(), sent.iter().sum::<usize>() + 2 * SWAPS, "a task did not run");
    bench.wait(|| bench.status().processors.iter().all(|p| !p.retired)).await;
    let died = bench.events().into_iter().find(|e| matches!(e, Event::ProcessorDied { .. }));
    assert!(died.is_none(), "{died:?}");
    bench.end().await;
}

/// Runs futures side by side.
async fn futures_join<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        for (future, ended) in &mut futures {
            if ended.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *ended = Some(value);
            }
        }
        match futures.iter().all(|(_, ended)| ended.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, ended)| ended).collect()
}

#[tokio::test]
async fn nothing_changes_when_one_of_the_new_processes_does_not_answer() {
    let rules = "processors.limitation.concurrent.echo = 3";
    let bench = Bench::ready(rules, &[generation(0), echo().keys("concurrent = 2")]).await;
    bench.open("sick");
    let before = bench.status();
    let n_events = bench.events().len();
    let sick = echo().env("SICK", bench.path("sick").display());
    let failed = bench
        .reload(
            "processors.limitation.concurrent.echo = 9",
            &[generation(1), sick, echo(), Entry::new(Stage::Verify)],
        )
        .await
        .unwrap_err();
    assert_eq!(failed.failed.len(), 1, "{failed}");
    let text = failed.to_string();
    assert!(text.starts_with("nothing was changed: processor echo[1]: it exited"), "{text}");
    assert_eq!(failed.failed[0].last_words, ["it is sick"]);
    let after = bench.status();
    assert_eq!(after.stages, before.stages);
    let known = |status: &FleetStatus| {
        let known =
            status.processors.iter().map(|p| (p.processor.clone(), p.state, p.pid, p.slots));
        known.collect::<Vec<_>>()
    };
    assert_eq!(known(&after), known(&before));
    // Nobody heard of those that came and went.
    let said = |event: &Event| !matches!(event, Event::ProcessorLog { .. });
    assert_eq!(bench.events()[n_events..].iter().filter(|event| said(event)).count(), 0);
    assert_eq!(bench.pids().len(), 2 + 4);
    assert_eq!(bench.pids().into_iter().filter(|pid| is_alive(*pid)).count(), 2);
    let answer = bench.run(Stage::Echo, "after", json!({}), None).await.unwrap();
    assert_eq!(answer["generation"], "0");
    bench.end().await;
}

#[tokio::test]
async fn what_only_the_worker_minds_changes_in_place() {
    let rules = "[processors.ext_locks]\na = 1\nb = 2";
    let entry = || echo().keys("concurrent = 1\nlocks = [\"a\"]");
    let bench = Bench::ready(rules, &[entry(), echo()]).await;
    let pids = [bench.pid("echo[0]"), bench.pid("echo[1]")];
    assert_eq!(bench.processor("echo[0]").slots, 1);
    let reload = bench
        .reload(
            "[processors.ext_locks]\na = 1\nb = 3\n[processors.limitation.concurrent]\necho = 5",
            &[
                echo().keys("concurrent = 3\nlocks = [\"b\"]\nweight = 2\nstuck_after = \"1h\""),
                echo(),
            ],
        )
        .await
        .unwrap();
    assert_eq!(pids, [bench.pid("echo[0]"), bench.pid("echo[1]")]);
    assert_eq!(bench.processor("echo[0]").slots, 3);
    let what = &reload.changed[0].what;
    let expected = ["concurrent 1 → 3", "locks [\"a\"] → [\"b\"]", "weight 1 → 2"];
    assert_eq!(what[..3], expected);
    assert_eq!(what[3], "stuck_after 2h → 1h");
    let kept: Vec<_> = reload.kept.iter().filter(|name| !name.contains("implied")).collect();
    assert_eq!(kept, ["echo[1]"]);
    assert_eq!(reload.rules, ["limitation.concurrent.echo no limit → 5", "ext_locks.b 2 → 3"]);
    let Reload { started, draining, removed, revived, .. } = reload;
    assert_eq!([started, removed, revived], [const { Vec::<String>::new() }; 3]);
    assert!(draining.is_empty());
    // Six slots by their offers and limits, of which the stage has five, and three hold `b`.
    let slots = [(); 5].map(|()| bench.slot(Stage::Echo, None));
    let slots = futures_join(slots.into()).await;
    let status = bench.status();
    assert_eq!(status.locks.iter().map(|lock| lock.holders.len()).collect::<Vec<_>>(), [0, 3]);
    drop(slots);
    bench.end().await;
}

#[tokio::test]
async fn an_entry_that_comes_in_on_top_disturbs_no_other() {
    let bench = Bench::ready("", &[generation(1), generation(2)]).await;
    let pids = [bench.pid("echo[0]"), bench.pid("echo[1]")];
    let reload = bench.reload("", &[generation(9), generation(1), generation(2)]).await.unwrap();
    assert_eq!((reload.started, reload.removed), (names(&["echo[0]"]), names(&[])));
    assert!(reload.draining.is_empty(), "{:?}", reload.draining);
    let moved: Vec<_> = reload.changed.iter().map(|c| (&*c.processor, &*c.what[0])).collect();
    let expected =
        [("echo[1]", "its place echo[0] → echo[1]"), ("echo[2]", "its place echo[1] → echo[2]")];
    assert_eq!(moved, expected);
    assert_eq!(pids, [bench.pid("echo[1]"), bench.pid("echo[2]")]);
    // What is told of it later is told of its new name.
    let slots = [(); 3].map(|()| bench.slot(Stage::Echo, None));
    let slots = futures_join(slots.into()).await;
    let second = slots.iter().find(|slot| slot.processor().id().index == Some(1)).unwrap();
    bench.run_at(second, "dies", json!({ "fail": "die" })).await.unwrap_err();
    let died = |event: &Event| match event {
        Event::ProcessorDied { processor, pid, .. } => Some((processor.clone(), *pid)),
        _ => None,
    };
    bench.wait(|| bench.events().iter().any(|event| died(event).is_some())).await;
    let died: Vec<_> = bench.events().iter().filter_map(died).collect();
    assert_eq!(died, [("echo[1]".to_owned(), pids[0])]);
    drop(slots);
    // And one that goes: the last one is where it was at first.
    let reload = bench.reload("", &[generation(9), generation(2)]).await.unwrap();
    assert_eq!(reload.removed, ["echo[1]"]);
    assert_eq!(bench.pid("echo[1]"), pids[1]);
    bench.end().await;
}

#[tokio::test]
async fn an_entry_that_is_gone_finishes_its_tasks() {
    let bench = Bench::ready("", &[echo(), generation(1)]).await;
    let old = bench.pid("echo[1]");
    let both = [(); 2].map(|()| bench.slot(Stage::Echo, None));
    let both = futures_join(both.into()).await;
    let slot = both.into_iter().find(|slot| slot.processor().id().index == Some(1)).unwrap();
    let payload = bench.until("gate");
    let (answer, ()) = join!(bench.run_at(&slot, "long", payload), async {
        bench.began("long").await;
        let reload = bench.reload("", &[echo()]).await.unwrap();
        assert_eq!(reload.removed, ["echo[1]"]);
        let still: Vec<_> = reload.draining.iter().map(|d| (&*d.processor, d.tasks)).collect();
        assert_eq!(still, [("echo[1]", 1)]);
        let retired: Vec<_> = bench.status().processors.into_iter().filter(|p| p.retired).collect();
        assert_eq!(retired.len(), 1);
        assert_eq!(retired[0].running.len(), 1);
        bench.open("gate");
    });
    assert_eq!(answer.unwrap()["generation"], "1");
    assert!(is_alive(old), "its slot is still taken");
    drop(slot);
    bench.wait(|| !is_alive(old)).await;
    bench.end().await;
}

#[tokio::test]
async fn a_stage_with_a_first_entry_loses_the_implied_one_and_back() {
    let bench = Bench::ready("", &[echo()]).await;
    let of_verify = || {
        let processors = bench.status().processors.into_iter();
        let of_verify = processors.filter(|p| p.stage == Stage::Verify && !p.retired);
        of_verify.map(|p| p.processor).collect::<Vec<_>>()
    };
    assert_eq!(of_verify(), ["verify (implied)"]);
    let reload = bench.reload("", &[echo(), Entry::new(Stage::Verify)]).await.unwrap();
    assert_eq!(
        (reload.started, reload.removed),
        (names(&["verify[0]"]), names(&["verify (implied)"]))
    );
    assert_eq!(of_verify(), ["verify[0]"]);
    bench.run(Stage::Verify, "a", json!({}), None).await.unwrap();
    let pid = bench.pid("verify[0]");
    let reload = bench.reload("", &[echo()]).await.unwrap();
    assert_eq!((reload.started, reload.removed), (names(&[]), names(&["verify[0]"])));
    assert_eq!(of_verify(), ["verify (implied)"]);
    bench.wait(|| !is_alive(pid)).await;
    bench.end().await;
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn another_program_under_the_same_path_is_taken_over() {
    let bench = Bench::new(Patience::Endless, "", &[]);
    bench.make_implied();
    bench.run(Stage::Echo, "before", json!({}), None).await.unwrap();
    let (name, old) = ("echo (implied)", bench.pid("echo (implied)"));
    let same = bench.reload("", &[]).await.unwrap();
    assert!(same.draining.is_empty(), "{same:?}");
    assert_eq!(bench.pid(name), old);
    std::fs::remove_file(bench.path("sealpipe-reference")).unwrap();
    bench.make_implied();
    let reload = bench.reload("", &[]).await.unwrap();
    assert_eq!(reload.draining.len(), 1, "{reload:?}");
    bench.run(Stage::Echo, "after", json!({}), None).await.unwrap();
    assert_ne!(bench.pid(name), old);
    bench.wait(|| !is_alive(old)).await;
    bench.end().await;
}

#[tokio::test]
async fn reloads_at_the_same_time_wait_for_one_another() {
    let bench = Bench::ready("", &[generation(0)]).await;
    let (first, second) = ([generation(1)], [generation(2)]);
    let (first, second) = join!(bench.reload("", &first), bench.reload("", &second));
    assert_eq!(
        (first.unwrap().started, second.unwrap().started),
        (names(&["echo[0]"]), names(&["echo[0]"]))
    );
    let answer = bench.run(Stage::Echo, "a", json!({}), None).await.unwrap();
    assert_eq!(answer["generation"], "2");
    bench.wait(|| bench.status().processors.iter().all(|p| !p.retired)).await;
    bench.end().await;
}

#[tokio::test]
async fn a_reload_that_is_given_up_has_changed_nothing() {
    let bench = Bench::ready("", &[generation(0)]).await;
    let pid = bench.pid("echo[0]");
    let slow = [echo().env("GATE", bench.path("gate").display()), Entry::new(Stage::Verify)];
    tokio::select! {
        reload = bench.reload("", &slow) => panic!("{reload:?}"),
        () = bench.wait(|| bench.pids().len() == 3) => {}
    }
    bench.wait(|| bench.pids().into_iter().filter(|pid| is_alive(*pid)).count() == 1).await;
    assert_eq!(bench.pid("echo[0]"), pid);
    bench.reload("", &[generation(1)]).await.unwrap();
    bench.wait(|| bench.status().processors.iter().all(|p| !p.retired)).await;
    bench.end().await;
}

#[tokio::test]
async fn who_waits_for_an_entry_that_is_gone_gets_the_implied_processor() {
    let bench = Bench::ready("", &[echo()]).await;
    bench.make_implied();
    bench.fleet.pause();
    let journey = bench.fleet.begin_sector("s", None);
    let swap = async {
        bench.wait(|| !bench.fleet.explain(&journey).is_empty()).await;
        let reload = bench.reload("", &[]).await.unwrap();
        assert_eq!(reload.removed, ["echo[0]"]);
        bench.fleet.resume();
    };
    let (slot, ()) = join!(bench.slot(Stage::Echo, Some(&journey)), swap);
    assert_eq!(slot.processor().id().to_string(), "echo (implied)");
    bench.run_at(&slot, "a", json!({})).await.unwrap();
    drop(slot);
    bench.end().await;
}

#[tokio::test]
async fn a_worker_that_stops_stops_the_new_processes_too() {
    let bench = Bench::ready("", &[generation(0)]).await;
    let slow = [echo().env("GATE", bench.path("gate").display())];
    let stop = async {
        bench.wait(|| bench.pids().len() == 2).await;
        bench.fleet.clone().stop(ShutdownMode::Interrupt).await;
    };
    let (reload, ()) = join!(bench.reload("", &slow), stop);
    assert!(reload.unwrap_err().to_string().contains("it was stopped"));
    let late = bench.reload("", &[generation(2)]).await.unwrap_err();
    assert!(late.to_string().contains("the worker stops"), "{late}");
    bench.end().await;
}

#[tokio::test]
async fn a_reload_starts_a_degraded_processor_again() {
    let bench = Bench::new(Patience::Endless, "", &[]);
    let once = || echo().keys("auto_restart = false");
    let sick = || [once().env("SICK", bench.path("sick").display())];
    bench.reload("", &sick()).await.unwrap();
    bench.open("sick");
    // It dies in its first task, and does not come back.
    let died = bench.run(Stage::Echo, "dies", json!({ "fail": "die" }), None).await;
    assert!(died.is_err());
    bench.wait(|| bench.processor("echo[0]").state == "degraded").await;
    let status = bench.processor("echo[0]");
    assert!(status.last_error.unwrap().contains("exited with code 7"));
    let journey = bench.fleet.begin_sector("s-t01000-1", None);
    let waits = bench.slot(Stage::Echo, Some(&journey));
    let reload = async {
        bench.wait(|| !bench.fleet.explain(&journey).is_empty()).await;
        let why: Vec<_> = bench.fleet.explain(&journey).iter().map(ToString::to_string).collect();
        assert_eq!(why.len(), 1, "{why:?}");
        let begin = "no processor of `echo` is healthy: echo[0] is degraded since ";
        assert!(why[0].starts_with(begin) && why[0].contains("exited with code 7"), "{why:?}");
        let reload = bench.reload("", &sick()).await.unwrap();
        assert_eq!(reload.revived, ["echo[0]"]);
        // It is still sick, and so it is degraded again.
        bench.wait(|| bench.processor("echo[0]").last_error.unwrap().contains("code 1")).await;
        bench.wait(|| bench.processor("echo[0]").state == "degraded").await;
        std::fs::remove_file(bench.path("sick")).unwrap();
        let reload = bench.reload("", &sick()).await.unwrap();
        assert_eq!(reload.revived, ["echo[0]"]);
    };
    let (slot, ()) = join!(waits, reload);
    assert_eq!(bench.processor("echo[0]").state, "ready");
    assert_eq!(bench.fleet.explain(&journey), []);
    let counts: BTreeMap<_, _> =
        bench.status().stages.iter().map(|s| (s.stage, s.running)).collect();
    assert_eq!(counts[&Stage::Echo], 1);
    drop(slot);
    bench.end().await;
}
