// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processes that are trusted no more, that die, and that stand still.

use sealpipe_protocol::{
    Class, Stage, TaskId,
    stage::{Job, echo},
};
use sealpipe_worker::{
    event::{Event, Observer},
    fleet::Patience,
    pipeline::task::{DriveError, Driver, Passing, Task, run_task},
    supervisor::{Condemned, Lost},
};
use serde_json::{Value, json};
use tokio::join;

use crate::bench::{Bench, Entry, is_alive, within};

fn echo() -> Entry {
    Entry::new(Stage::Echo)
}

#[tokio::test]
async fn a_processor_that_is_trusted_no_more_is_stopped_and_the_others_go_on() {
    let bench = Bench::ready("", &[echo(), echo()]).await;
    let pid = bench.pid("echo[0]");
    let [critical, beside] = [bench.slot(Stage::Echo, None).await, {
        // The second one goes to the other place, the third one beside the first.
        let _other = bench.slot(Stage::Echo, None).await;
        bench.slot(Stage::Echo, None).await
    }];
    assert_eq!(critical.place(), beside.place());
    let victim = critical.processor().id().to_string();
    assert_eq!(victim, "echo[0]");
    let (failed, interrupted) = join!(
        async {
            bench.began("beside").await;
            let failed = bench.run_at(&critical, "critical", json!({ "fail": "critical" })).await;
            let message = "its replica is wrong".to_owned();
            critical.processor().condemn(Condemned { message, hint: None });
            // At once: nobody is given a place there any more.
            assert_eq!(bench.processor("echo[0]").slots, 0);
            failed
        },
        bench.run_at(&beside, "beside", bench.until("never")),
    );
    assert!(matches!(failed, Err(Lost::Failed(error)) if error.data.class == Class::Critical));
    // It is told to leave a checkpoint, and may be run again.
    assert!(
        matches!(interrupted, Err(Lost::Failed(error)) if error.data.class == Class::Temporary)
    );
    let place = critical.place();
    drop((critical, beside));
    bench.wait(|| bench.processor("echo[0]").state == "degraded").await;
    bench.wait(|| !is_alive(pid)).await;
    let why = bench.processor("echo[0]").last_error.unwrap();
    assert_eq!(why, "its replica is wrong");
    let degraded = |event: &Event| {
        matches!(event, Event::ProcessorDegraded { processor, reason }
        if processor == "echo[0]" && *reason == why)
    };
    assert_eq!(bench.events().iter().filter(|event| degraded(event)).count(), 1);
    // The other one serves the stage alone.
    let elsewhere = bench.run(Stage::Echo, "critical", json!({}), Some(place)).await.unwrap();
    assert_eq!(elsewhere["pid"], bench.pid("echo[1]"));
    assert!(!bench.fleet.revive("echo[7]"));
    assert!(bench.fleet.revive("echo[0]"));
    bench.wait(|| bench.processor("echo[0]").state == "ready").await;
    bench.end().await;
}

#[tokio::test]
async fn who_waits_is_told_of_a_critical_error_at_once_and_its_processor_gets_no_other_task() {
    let bench = Bench::new(Patience::UntilGivenUp, "", &[echo(), echo()]);
    bench.fleet.start_configured().await.unwrap();
    let driver = Driver::attended(bench.fleet.clone(), &Observer::new(|_| {}));
    let run = async |id: &str, payload: Value| {
        let params = echo::Params { payload, ticks: 0, interval_ms: 0, fail: None };
        let id = TaskId::try_from(id.to_owned()).unwrap();
        let task = Task { sector: "s", id, journey: None, job: Job::Echo(params) };
        let mut owner = Passing::<Value>::new(Stage::Echo);
        within(run_task(&driver, &task, None, &mut owner)).await.map(|answer| answer.processor)
    };
    match run("critical", json!({ "fail": "critical" })).await {
        Err(DriveError::Stage { error, .. }) => assert_eq!(error.data.class, Class::Critical),
        other => panic!("{:?}", other.err()),
    }
    for n in 0..5 {
        assert_eq!(run(&format!("later-{n}"), json!({})).await.unwrap(), "echo[1]");
    }
    bench.wait(|| bench.processor("echo[0]").state == "degraded").await;
    assert_eq!(bench.tasks().len(), 6);
    bench.end().await;
}

#[tokio::test]
async fn who_has_a_place_at_a_condemned_processor_is_told() {
    let bench = Bench::ready("", &[echo()]).await;
    let slot = bench.slot(Stage::Echo, None).await;
    for message in ["the first reason", "another one"] {
        slot.processor().condemn(Condemned { message: message.to_owned(), hint: None });
    }
    let refused = bench.run_at(&slot, "later", json!({})).await;
    assert_eq!(refused, Err(Lost::Gone("the first reason".to_owned())));
    drop(slot);
    bench.wait(|| bench.processor("echo[0]").state == "degraded").await;
    assert_eq!(bench.tasks().len(), 0, "it is given nothing any more");
    bench.end().await;
}

#[tokio::test]
async fn a_task_that_failed_is_run_elsewhere_if_asked() {
    let bench = Bench::ready("", &[echo(), echo()]).await;
    let slot = bench.slot(Stage::Echo, None).await;
    let first = slot.place();
    let failed = bench.run_at(&slot, "task", json!({ "fail": "temporary" })).await;
    assert!(matches!(failed, Err(Lost::Failed(error)) if error.data.class == Class::Temporary));
    drop(slot);
    for _ in 0..3 {
        let answer = bench.run(Stage::Echo, "task", json!({}), Some(first)).await.unwrap();
        assert_eq!(answer["pid"], bench.pid("echo[1]"));
    }
    bench.reload("", &[echo()]).await.unwrap();
    let answer = bench.run(Stage::Echo, "task", json!({}), Some(first)).await.unwrap();
    assert_eq!(answer["pid"], bench.pid("echo[0]"), "there is no other any more");
    bench.end().await;
}

#[tokio::test]
async fn a_task_that_stands_still_is_reported_once_each_time() {
    let entry = echo().keys("stall_report_after = \"200ms\"");
    let bench = Bench::ready("", &[entry]).await;
    let stalled = || {
        let events = bench.events().into_iter().filter_map(|event| match event {
            Event::TaskStalled { processor, task, stage, silent_ms } => {
                assert_eq!((&*processor, &*task, stage), ("echo[0]", "slow", Stage::Echo));
                Some(silent_ms)
            }
            _ => None,
        });
        events.collect::<Vec<_>>()
    };
    let gates = [bench.path("one"), bench.path("two")];
    let run = bench.run(Stage::Echo, "slow", json!({ "until": gates }), None);
    let watch = async {
        bench.wait(|| stalled().len() == 1).await;
        let silent = bench.processor("echo[0]").stalled;
        assert_eq!(silent.len(), 1);
        assert_eq!(silent[0].task, "slow");
        assert!(silent[0].silent_ms >= 200 && stalled()[0] >= 200);
        // Standing still goes on, and is not said again before it has moved.
        let still_since = silent[0].silent_ms;
        bench
            .wait(|| {
                let stalled = bench.processor("echo[0]").stalled;
                stalled.first().is_some_and(|task| task.silent_ms > still_since + 600)
            })
            .await;
        assert_eq!(stalled().len(), 1);
        bench.open("one");
        bench.wait(|| stalled().len() == 2).await;
        bench.open("two");
    };
    let (ended, ()) = join!(run, watch);
    ended.unwrap();
    assert_eq!(bench.processor("echo[0]").stalled, []);
    bench.end().await;
}

#[tokio::test]
async fn a_stuck_task_ends_its_process_where_that_is_configured() {
    let bench = Bench::ready("", &[echo()]).await;
    let pid = bench.pid("echo[0]");
    let run = bench.run(Stage::Echo, "stuck", bench.until("never"), None);
    let configure = async {
        bench.began("stuck").await;
        // In place: the running process is watched by the new time.
        bench.reload("", &[echo().keys("stuck_after = \"300ms\"")]).await.unwrap();
        assert_eq!(bench.pid("echo[0]"), pid);
    };
    let (ended, ()) = join!(run, configure);
    assert!(matches!(ended, Err(Lost::Gone(_))), "{ended:?}");
    bench.wait(|| !is_alive(pid)).await;
    bench.wait(|| bench.processor("echo[0]").state == "ready").await;
    let status = bench.processor("echo[0]");
    assert_eq!(status.restarts, 1);
    assert!(status.last_error.unwrap().contains("did not advance"));
    bench.end().await;
}

#[tokio::test]
async fn a_command_is_told_when_all_processors_of_a_stage_are_given_up() {
    let bench = Bench::new(Patience::UntilGivenUp, "", &[echo().env("SICK", "/")]);
    let error = within(bench.fleet.slot(Stage::Echo, None, None)).await.err().unwrap();
    assert_eq!(error.last_words, ["it is sick"]);
    let off = Bench::new(Patience::UntilGivenUp, "", &[echo().keys("concurrent = 0")]);
    let error = within(off.fleet.slot(Stage::Echo, None, None)).await.err().unwrap();
    assert!(error.message.contains("`concurrent` is 0"), "{error}");
}
