// SPDX-License-Identifier: MIT OR Apache-2.0

//! The two schemes of the configuration guide that users come from, for a month.

use super::*;
use crate::scheduler::DEFAULT_OVERTAKES;

const SCHEME_A: &str = include_str!("../../../tests/data/scheme-a.toml");
const SCHEME_B: &str = include_str!("../../../tests/data/scheme-b.toml");

fn month(text: &str, in_flight: Option<usize>, decider: Decider) -> (Trace, Report) {
    let mut experiment = experiment(text, 30);
    experiment.site.in_flight = in_flight;
    decider.run(&experiment).unwrap()
}

fn stage(report: &Report, stage: Stage) -> StageReport {
    *report.stage(stage).expect("it ran")
}

#[test]
fn both_schemes_do_what_their_gpus_can() {
    for (text, per_day) in [(SCHEME_A, 24.0 * 60.0 / 14.5), (SCHEME_B, 2.0 * 24.0 * 60.0 / 26.0)] {
        let default = experiment(text, 30).site.in_flight;
        let (_, report) = month(text, default, Decider::Sealpipe);
        assert!((report.at_most_per_day.unwrap() - per_day).abs() < 1e-6, "{report:?}");
        assert!(report.sealed_per_day >= 0.99 * per_day, "{report:?}");
        assert!(report.sealed_per_day <= 1.01 * per_day, "{report:?}");
        assert!(report.places.iter().all(|place| place.idle_beside_waiter == 0.0), "{report:?}");
        assert_eq!(report.starved, 0);
    }
}

/// How often a GPU changed hands while each task of a stage waited, beside the tasks of its stage that
/// waited already when it came.
fn hands(trace: &Trace, stage: Stage) -> Vec<(usize, usize)> {
    let gpu = |task: &&Task| matches!(task.stage, Stage::Pc2 | Stage::C2);
    let tasks: Vec<&Task> = trace.tasks.iter().filter(gpu).collect();
    let mut starts: Vec<_> = tasks.iter().filter_map(|task| Some(task.started?.1)).collect();
    starts.sort();
    let counted = tasks.iter().enumerate().filter(|(_, task)| task.stage == stage);
    let counted = counted.filter_map(|(index, task)| Some((index, task, task.started?.1)));
    let hands = counted.map(|(index, task, started)| {
        let older = tasks[..index].iter().filter(|other| other.stage == stage);
        let is_ahead = |other: &&&Task| other.started.is_none_or(|(_, at)| at > task.requested);
        let n_ahead = older.filter(is_ahead).count();
        let before = |at| starts.partition_point(|start| *start < at);
        (n_ahead, before(started) - before(task.requested))
    });
    hands.collect()
}

#[test]
fn waits_for_a_gpu_keep_the_bound_that_the_documentation_states() {
    for in_flight in [Some(64), None] {
        let (trace, report) = month(SCHEME_B, in_flight, Decider::Sealpipe);
        for stage in [Stage::Pc2, Stage::C2] {
            let bound = DEFAULT_OVERTAKES as usize + 1;
            let hands = hands(&trace, stage);
            assert!(hands.len() > 3_000);
            for (n_ahead, n_hands) in hands {
                assert!(n_hands <= (n_ahead + 1) * bound, "{stage}: {n_hands} for {n_ahead}");
            }
            let row = self::stage(&report, stage).overtaken_in_a_row;
            assert!(row <= DEFAULT_OVERTAKES, "{stage} {row}");
        }
    }
}

#[test]
fn queues_are_bounded_by_the_sectors_in_flight() {
    let (_, report) = month(SCHEME_B, Some(64), Decider::Sealpipe);
    assert!(report.stages.iter().all(|stage| stage.longest_queue <= 64), "{report:?}");
    assert_eq!(report.in_flight.most, 64);
    // Without a bound pc1 runs ahead of the GPUs, and c2 still does not wait.
    let (_, report) = month(SCHEME_B, None, Decider::Sealpipe);
    assert!(stage(&report, Stage::Pc2).longest_queue > 1_000, "{report:?}");
    assert!(stage(&report, Stage::C2).longest_queue < 10, "{report:?}");
}

#[test]
fn c2_starves_with_damocles() {
    let (_, ours) = month(SCHEME_B, None, Decider::Sealpipe);
    let (_, fair) = month(SCHEME_B, None, Decider::Damocles);
    let (_, worst) = month(SCHEME_B, None, Decider::DamoclesWorst);
    let c2 = |report| stage(report, Stage::C2);
    assert!(c2(&fair).longest_queue > 20 * c2(&ours).longest_queue, "{fair:?}");
    assert!(c2(&fair).wait.mean_s > 20.0 * c2(&ours).wait.mean_s, "{fair:?}");
    assert!(c2(&worst).longest_queue > 100 * c2(&ours).longest_queue, "{worst:?}");
    assert!(c2(&worst).overtaken_in_a_row > 100, "{worst:?}");
    assert!(worst.sealed_per_day < 0.95 * ours.sealed_per_day, "{worst:?}");
}

#[test]
fn a_month_is_few_events() {
    // At some microseconds each, a second is enough for several months.
    let (trace, _) = month(SCHEME_B, Some(64), Decider::Sealpipe);
    assert!((20_000..40_000).contains(&trace.n_events), "{}", trace.n_events);
}
