// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a processor's error does: to the task, to the sector, to the processor.

use sealpipe_tests::{
    site::{Site, moody},
    text,
};
use serde_json::Value;

fn processor(site: &Site, name: &str) -> Value {
    let status = site.status();
    let all = status["processors"].as_array().unwrap();
    all.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("{all:#?}")).clone()
}

#[test]
fn a_permanent_error_stops_the_sector_says_why_and_a_retry_goes_on() {
    let site = Site::start("");
    site.submit_lines(r#"{"echo":{"name":"bad","steps":2,"fail":"permanent"}}"#).ok();
    let sector = site.wait("bad", "failed");
    assert_eq!(sector["trouble"]["class"], "permanent", "{sector}");
    assert_eq!(sector["trouble"]["stage"], "echo", "{sector}");
    let explained = site.ok("explain bad").stdout;
    assert!(explained.contains("stage `echo` failed: "), "{explained}");
    assert!(explained.contains("`sealpipe retry bad` goes on"), "{explained}");
    assert_eq!(site.ok("retry --failed").stdout, "bad queued\n");
    site.until("it fails again", || {
        (site.events("bad", "stage-started").len() == 2).then(|| site.wait("bad", "failed"))
    });
    let waited = site.command(&["submit", "--echo", "--name", "fine", "--wait"]).end();
    waited.ok();
    assert_eq!(site.run(&["retry", "--failed"]).ok().stdout, "bad queued\n");
    site.stop();
}

#[test]
fn a_critical_error_stops_the_processor_and_the_task_goes_elsewhere() {
    let config = moody("critical", "weight = 9") + &moody("good", "");
    let site = Site::start(&config);
    site.ready(2);
    site.ok("submit --echo --name one --wait");
    let started = site.events("one", "stage-started");
    let where_: Vec<_> = started.iter().map(|event| text(event, "processor")).collect();
    assert_eq!(where_, ["echo[0]", "echo[1]"]);
    let condemned = processor(&site, "echo[0]");
    assert_eq!(condemned["state"], "degraded", "{condemned}");
    assert!(text(&condemned, "lastError").contains("the result is wrong"), "{condemned}");
    // It gets no other task.
    site.ok("submit --echo --name two --count 5 --wait");
    let journal = site.journal().events();
    let first = journal
        .iter()
        .filter(|event| event["event"] == "stage-started" && event["processor"] == "echo[0]");
    assert_eq!(first.count(), 1);
    site.stop();
}

#[test]
fn a_task_that_is_refused_here_is_tried_elsewhere() {
    let site = Site::start(&(moody("elsewhere", "weight = 9") + &moody("good", "")));
    site.ready(2);
    site.ok("submit --echo --name one --wait");
    let started = site.events("one", "stage-started");
    let where_: Vec<_> = started.iter().map(|event| text(event, "processor")).collect();
    assert_eq!(where_, ["echo[0]", "echo[1]"]);
    assert_eq!(processor(&site, "echo[0]")["state"], "ready");
    site.stop();
}

#[test]
fn an_abort_stops_the_sector_at_once() {
    let site = Site::start(&moody("abort", ""));
    site.ok("submit --echo --name one");
    let sector = site.wait("one", "failed");
    assert_eq!(sector["trouble"]["class"], "abort", "{sector}");
    assert_eq!(site.events("one", "stage-started").len(), 1);
    site.stop();
}

/// The budget of a task is its own: a daemon that is started again does not renew it.
#[test]
fn lost_tries_are_counted_over_the_death_of_the_daemon() {
    let mut site = Site::start(&moody("busy", ""));
    site.ok("submit --echo --name one");
    let retried = |site: &Site| site.events("one", "stage-retried");
    site.until("it is refused", || (retried(&site).len() >= 3).then_some(()));
    site.kill();
    let before = retried(&site).len();
    let delay = |event: &Value| event["delayMs"].as_u64().unwrap();
    let last = delay(&retried(&site)[before - 1]);
    site.begin();
    site.until("it is refused again", || (retried(&site).len() > before).then_some(()));
    let next = delay(&retried(&site)[before]);
    // Delays double. The last one was told of before it was written down, and may have to be told of
    // once more; the one before it was. A new budget would begin far below.
    assert!(next >= last, "{last} ms, then {next} ms");
    let attempts: Vec<_> =
        site.events("one", "stage-started").iter().map(|e| e["attempt"].as_u64()).collect();
    let mut distinct = attempts.clone();
    distinct.dedup();
    assert_eq!(attempts, distinct, "no number is used twice");
    site.stop();
}

#[test]
fn a_stage_without_a_healthy_processor_is_waited_for_and_explained() {
    let mut site = Site::start(&moody("critical", ""));
    site.ok("submit --echo --name one");
    let explained = site.until("it waits", || {
        let explained = site.ok("explain one").stdout;
        explained.contains("echo[0] is degraded").then_some(explained)
    });
    assert!(explained.contains("no processor of `echo` is healthy"), "{explained}");
    assert!(explained.contains("hint: "), "{explained}");
    // The entry is mended, and read again by a signal.
    site.bench.write("worker.toml", moody("good", ""));
    site.signal(rustix::process::Signal::HUP);
    site.wait("one", "done");
    site.kill();
    site.bench.check_nothing_is_left();
}

#[test]
fn one_bad_sector_does_not_stop_every_processor() {
    let entries =
        [moody("marked poison", ""), moody("marked poison", ""), moody("marked poison", "")];
    let site = Site::start(&entries.concat());
    site.submit_lines(r#"{"echo":{"name":"bad","payload":"poison"}}"#).ok();
    let sector = site.wait("bad", "failed");
    assert_eq!(sector["trouble"]["class"], "critical", "{sector}");
    site.ok("submit --echo --name fine --count 3 --wait");
    site.stop();
}
