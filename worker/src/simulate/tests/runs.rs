// SPDX-License-Identifier: MIT OR Apache-2.0

//! Small runs of which every moment is known.

use super::*;

const MINUTE: f64 = 60.0;

fn step(stage: Stage, minutes: u64) -> Step {
    Step { stage, pause: Duration::ZERO, takes: Duration::from_secs(60 * minutes) }
}

/// Runs jobs, and gives each task's sector, processor, start and end in minutes, in the order in
/// which they started.
fn check(text: &str, jobs: &[&[Step]], decider: Decider, expected: &[(u64, &str, f64, f64)]) {
    let experiment = Experiment {
        supply: Supply::Jobs(jobs.iter().map(|steps| steps.to_vec()).collect()),
        ..experiment(text, 30)
    };
    let (trace, _) = decider.run(&experiment).unwrap();
    let went = trace.grants.iter().map(|task| &trace.tasks[*task]).map(|task| {
        let (place, started) = task.started.unwrap();
        let name = experiment.site.places[place].name.as_str();
        let minutes = |at: Duration| at.as_secs_f64() / MINUTE;
        (task.sector, name, minutes(started), minutes(task.ended.unwrap_or_default()))
    });
    assert_eq!(went.collect::<Vec<_>>(), expected, "{text} {decider}");
}

#[test]
fn a_stage_is_served_in_order_by_whoever_is_free() {
    let two = "[[processors.c2]]\nconcurrent = 1\n[[processors.c2]]\nconcurrent = 1";
    let jobs: &[&[Step]] = &[&[step(Stage::C2, 10)], &[step(Stage::C2, 4)], &[step(Stage::C2, 1)]];
    let expected = [(1, "c2[0]", 0.0, 10.0), (2, "c2[1]", 0.0, 4.0), (3, "c2[1]", 4.0, 5.0)];
    check(two, jobs, Decider::Sealpipe, &expected);
}

#[test]
fn a_sector_goes_from_stage_to_stage_and_waits_for_the_chain() {
    let one = "[[processors.pc2]]\n[[processors.c2]]";
    let after_an_hour = Step { pause: Duration::from_secs(3_600), ..step(Stage::C2, 5) };
    let jobs: &[&[Step]] = &[&[step(Stage::Pc2, 10), after_an_hour]];
    check(one, jobs, Decider::Sealpipe, &[(1, "pc2[0]", 0.0, 10.0), (1, "c2[0]", 70.0, 75.0)]);
}

#[test]
fn tasks_that_take_no_time_end_when_they_begin() {
    let one = "[[processors.pc2]]\n[[processors.c2]]";
    let jobs: &[&[Step]] = &[&[step(Stage::Pc2, 0), step(Stage::C2, 1)]];
    check(one, jobs, Decider::Sealpipe, &[(1, "pc2[0]", 0.0, 0.0), (1, "c2[0]", 0.0, 1.0)]);
}

#[test]
fn the_later_stage_has_the_lock_first() {
    let shared = "[processors.ext_locks]\ngpu = 1\n[[processors.pc2]]\nlocks = [\"gpu\"]\n\
                  [[processors.c2]]\nlocks = [\"gpu\"]";
    let jobs: &[&[Step]] =
        &[&[step(Stage::Pc2, 10)], &[step(Stage::Pc2, 10)], &[step(Stage::C2, 5)]];
    let expected = [(3, "c2[0]", 0.0, 5.0), (1, "pc2[0]", 5.0, 15.0), (2, "pc2[0]", 15.0, 25.0)];
    check(shared, jobs, Decider::Sealpipe, &expected);
    let expected = [(1, "pc2[0]", 0.0, 10.0), (2, "pc2[0]", 10.0, 20.0), (3, "c2[0]", 20.0, 25.0)];
    check(shared, jobs, Decider::Fifo, &expected);
}

#[test]
fn an_entry_of_its_own_speed_takes_its_own_time() {
    let two = "[[processors.c2]]\nconcurrent = 1\n[[processors.c2]]\nconcurrent = 1";
    let mut experiment = experiment(two, 30);
    let mut profile = Profile::default();
    profile.entries.insert("c2[1]".to_owned(), 2 * profile.stage(Stage::C2).takes);
    let parsed = config::parse(&Source::new("test", two));
    experiment.site = Site::new(&parsed.config().unwrap().processors, &profile);
    experiment.supply = Supply::Jobs(vec![vec![step(Stage::C2, 10)]; 3]);
    let (trace, report) = Decider::Sealpipe.run(&experiment).unwrap();
    assert_eq!(trace.end.as_secs(), 20 * 60);
    assert_eq!(report.places.iter().map(|place| place.done).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn what_never_ends_is_told_and_does_not_hang() {
    let off = "[processors.limitation.concurrent]\nc2 = 0\n[[processors.c2]]";
    for decider in DECIDERS {
        let mut experiment = experiment(off, 30);
        experiment.supply = Supply::Jobs(vec![vec![step(Stage::Pc2, 1), step(Stage::C2, 1)]; 3]);
        let (trace, report) = decider.run(&experiment).unwrap();
        assert!(report.standstill && report.sealed == 0, "{decider} {report:?}");
        assert_eq!(trace.end.as_secs(), if decider.name().starts_with("d") { 60 } else { 180 });
        assert!(report.bottleneck.starts_with("nothing runs"), "{}", report.bottleneck);
    }
}

#[test]
fn a_deadlock_of_damocles_is_told_and_ours_has_none() {
    let crossed = "[processors.ext_locks]\na = 1\nb = 1\n[[processors.pc1]]\nconcurrent = 14\n\
                   [[processors.pc2]]\nconcurrent = 1\nlocks = [\"a\", \"b\"]\n\
                   [[processors.c2]]\nconcurrent = 1\nlocks = [\"b\", \"a\"]";
    let mut experiment = experiment(crossed, 30);
    experiment.jitter = Jitter { part: 0.2, seed: 1 };
    let (_, ours) = Decider::Sealpipe.run(&experiment).unwrap();
    assert!(ours.deadlock.is_empty() && ours.sealed > 500, "{ours:?}");
    let (_, theirs) = Decider::Damocles.run(&experiment).unwrap();
    assert_eq!(theirs.deadlock.len(), 2, "{theirs:?}");
    assert!(theirs.bottleneck.starts_with("a deadlock"), "{}", theirs.bottleneck);
    assert!(theirs.sealed < ours.sealed, "{theirs:?}");
}

#[test]
fn a_supply_that_nothing_holds_back_is_refused() {
    let bounded = Experiment { max_tasks: 1_000, ..experiment("[[processors.pc1]]", 30) };
    let mut experiment = bounded.clone();
    experiment.supply = Supply::Every(Duration::from_millis(1));
    assert_eq!(Decider::Sealpipe.run(&experiment).unwrap_err(), TooMany(1_000));
    let mut experiment = bounded;
    experiment.site.places[0].slots = usize::MAX;
    assert_eq!(Decider::Sealpipe.run(&experiment).unwrap_err(), TooMany(1_000));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let text = include_str!("../../../tests/data/scheme-b.toml");
    let bytes = |seed, decider: Decider| {
        let mut experiment = experiment(text, 1);
        experiment.jitter = Jitter { part: 0.1, seed };
        let (trace, report) = decider.run(&experiment).unwrap();
        let run =
            PageRun { name: "run".into(), experiment: &experiment, trace: &trace, report: &report };
        page("title", &[run])
    };
    for decider in DECIDERS {
        assert_eq!(bytes(1, decider), bytes(1, decider));
        assert_ne!(bytes(1, decider), bytes(2, decider));
    }
}

#[test]
fn a_page_keeps_text_from_being_markup() {
    let experiment = experiment("[[processors.c2]]", 1);
    let (trace, report) = Decider::Sealpipe.run(&experiment).unwrap();
    let name = "</script><b>&".to_owned();
    let run = PageRun { name, experiment: &experiment, trace: &trace, report: &report };
    let page = page("<i>", &[run]);
    assert!(page.contains("&lt;i>") && !page.contains("<i>") && !page.contains("<b>"));
}
