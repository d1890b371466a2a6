// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a run means, in numbers.

use std::{collections::BTreeMap, time::Duration};

use sealpipe_protocol::Stage;
use serde::Serialize;

use super::{
    engine::{Experiment, Task, Trace},
    policy::Stuck,
    series::Level,
    site::{SiteLock, SitePlace},
    verdict,
};
use crate::scheduler::{Sector, Time};

/// A sector that waits longer than this for one stage counts as starved.
pub const STARVED_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// What is not measured at the beginning: no sector has come to the later stages yet.
const WARM_UP: Duration = Duration::from_secs(24 * 3_600);

const DAY_SECONDS: f64 = 24.0 * 3_600.0;

/// The numbers of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// How long it went, in seconds.
    pub seconds: f64,
    /// Sectors that were sealed.
    pub sealed: usize,
    /// Sectors sealed a day, without the warm-up.
    pub sealed_per_day: f64,
    /// Sectors a day that slots, limits and locks allow at most in the long run. A short run may end
    /// more of them than that: a part of each was done before it is counted.
    pub at_most_per_day: Option<f64>,
    /// From its first task to the end of its last, for sectors that were sealed.
    pub latency: Waits,
    /// Sectors between their first task and their end.
    pub in_flight: InFlight,
    /// Waits of sectors that had not begun.
    pub before_begin: Waits,
    /// Sectors that waited for one stage longer than a day after they had begun.
    pub starved: usize,
    /// The stages.
    pub stages: Vec<StageReport>,
    /// The places where anything ran.
    pub places: Vec<PlaceReport>,
    /// The locks.
    pub locks: Vec<LockReport>,
    /// Tasks that hold something and would have waited for ever, in words.
    pub deadlock: Vec<String>,
    /// Whether everything stood still in the end although tasks waited.
    pub standstill: bool,
    /// What holds more sectors back, in words.
    pub bottleneck: String,
    /// Events that were worked off.
    pub n_events: usize,
}

/// Waits, in seconds. One that is not over counts with its length so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// How many there were.
    pub n: usize,
    /// Their mean.
    pub mean_s: f64,
    /// All but one of a hundred were no longer.
    pub p99_s: f64,
    /// The longest.
    pub longest_s: f64,
}

/// Sectors under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// The bound on them.
    pub bound: Option<usize>,
    /// On average, without the warm-up.
    pub mean: f64,
    /// At most.
    pub most: usize,
    /// In the end.
    pub at_end: usize,
}

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageReport {
    /// Which one.
    pub stage: Stage,
    /// Tasks that have ended.
    pub done: usize,
    /// Waits of sectors that had begun.
    pub wait: Waits,
    /// Most tasks that waited at once, of sectors that had begun.
    pub longest_queue: usize,
    /// Tasks that waited in the end.
    pub queue_at_end: usize,
    /// How often a younger task of another stage took a lock that it waited for.
    pub overtaken: u64,
    /// The longest row of these.
    pub overtaken_in_a_row: u32,
    /// Tasks that began before an older one of the stage.
    pub out_of_order: u64,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceReport {
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: Stage,
    /// Tasks at once; nothing for no bound.
    pub slots: Option<usize>,
    /// Tasks that have ended.
    pub done: usize,
    /// Tasks at once on average, without the warm-up.
    pub running: f64,
    /// The same as part of its slots.
    pub busy: Option<f64>,
    /// The part of the time in which it was idle beside a task that it could have run.
    pub idle_beside_waiter: f64,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockReport {
    /// Its name.
    pub name: String,
    /// How many may hold it; nothing where it is not declared and nobody bounds it.
    pub units: Option<usize>,
    /// The part of its units that is held, without the warm-up.
    pub busy: Option<f64>,
    /// The same by stage.
    pub by_stage: BTreeMap<Stage, f64>,
}

/// What is measured: times from and to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    from: Time,
    to: Time,
}

impl Window {
    fn new(trace: &Trace, is_stream: bool) -> Self {
        let from = if is_stream { WARM_UP.min(trace.end / 10) } else { Time::ZERO };
        Self { from, to: trace.end }
    }

    fn seconds(self) -> f64 {
        (self.to - self.from).as_secs_f64()
    }

    /// How much of a stretch of time lies inside.
    fn part(self, from: Time, to: Time) -> f64 {
        to.min(self.to).saturating_sub(from.max(self.from)).as_secs_f64()
    }
}

impl Waits {
    fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort();
        let Some(longest) = waits.last() else { return Self::default() };
        let n = waits.len();
        let sum: f64 = waits.iter().map(Duration::as_secs_f64).sum();
        // The smallest that 99 of 100 do not exceed.
        let p99 = waits[(n * 99).div_ceil(100).max(1) - 1];
        Self {
            n,
            mean_s: sum / n as f64,
            p99_s: p99.as_secs_f64(),
            longest_s: longest.as_secs_f64(),
        }
    }
}

impl Report {
    /// The numbers of a run; `capacities` are those that it was made with.
    pub fn new(experiment: &Experiment, trace: &Trace, capacities: &[Option<usize>]) -> Self {
        let window = Window::new(trace, experiment.is_stream());
        let spans = sector_spans(trace);
        let sealed = trace.sealed.iter().filter(|(_, at)| *at > window.from).count();
        let latency = |(sector, at): &(Sector, Time)| Some(*at - spans.get(sector)?.0);
        let places = places(experiment, trace, capacities, window);
        let mut report = Self {
            seconds: trace.end.as_secs_f64(),
            sealed: trace.sealed.len(),
            sealed_per_day: per(sealed as f64 * DAY_SECONDS, window.seconds()),
            at_most_per_day: None,
            latency: Waits::of(trace.sealed.iter().filter_map(latency).collect()),
            in_flight: in_flight(experiment, &spans, window),
            before_begin: Waits::of(waits(trace, |task| task.step == 0)),
            starved: starved(trace),
            stages: stages(trace),
            locks: locks(experiment, trace, window),
            deadlock: deadlock(trace),
            standstill: trace.standstill,
            bottleneck: String::new(),
            n_events: trace.n_events,
            places,
        };
        verdict::add(&mut report, experiment);
        report
    }

    /// One stage.
    pub fn stage(&self, stage: Stage) -> Option<&StageReport> {
        self.stages.iter().find(|report| report.stage == stage)
    }
}

/// 0 of nothing is 0.
fn per(amount: f64, of: f64) -> f64 {
    if of > 0.0 { amount / of } else { 0.0 }
}

/// When each sector began, and when it was sealed.
pub(super) fn sector_spans(trace: &Trace) -> BTreeMap<Sector, (Time, Option<Time>)> {
    let begun = trace.tasks.iter().filter(|task| task.step == 0);
    let begun = begun.filter_map(|task| Some((task.sector, (task.started?.1, None))));
    let mut spans: BTreeMap<Sector, (Time, Option<Time>)> = begun.collect();
    for (sector, at) in &trace.sealed {
        if let Some(span) = spans.get_mut(sector) {
            span.1 = Some(*at);
        }
    }
    spans
}

fn wait(task: &Task, end: Time) -> Duration {
    task.started.map_or(end, |(_, at)| at).saturating_sub(task.requested)
}

/// How many of some tasks waited over time.
pub fn waiting<'a>(tasks: impl Iterator<Item = &'a Task>) -> Level {
    Level::new(tasks.map(|task| (task.requested, task.started.map(|(_, at)| at))))
}

fn waits(trace: &Trace, which: impl Fn(&Task) -> bool) -> Vec<Duration> {
    trace.tasks.iter().filter(|task| which(task)).map(|task| wait(task, trace.end)).collect()
}

fn in_flight(
    experiment: &Experiment,
    spans: &BTreeMap<Sector, (Time, Option<Time>)>,
    window: Window,
) -> InFlight {
    let part = |(from, to): &(Time, Option<Time>)| window.part(*from, to.unwrap_or(window.to));
    let under_way: f64 = spans.values().map(part).sum();
    let level = Level::new(spans.values().copied());
    InFlight {
        bound: experiment.site.in_flight,
        mean: per(under_way, window.seconds()),
        most: level.most(),
        at_end: spans.values().filter(|(_, to)| to.is_none()).count(),
    }
}

fn starved(trace: &Trace) -> usize {
    let starves = |task: &&Task| task.step > 0 && wait(task, trace.end) > STARVED_AFTER;
    let mut sectors: Vec<_> = trace.tasks.iter().filter(starves).map(|task| task.sector).collect();
    sectors.sort_unstable();
    sectors.dedup();
    sectors.len()
}

fn stages(trace: &Trace) -> Vec<StageReport> {
    let mut tasks: BTreeMap<Stage, Vec<&Task>> = BTreeMap::new();
    for task in &trace.tasks {
        tasks.entry(task.stage).or_default().push(task);
    }
    let report = |(stage, tasks): (Stage, Vec<&Task>)| {
        let begun = tasks.iter().filter(|task| task.step > 0);
        let passed = trace.passed.get(&stage).copied().unwrap_or_default();
        StageReport {
            stage,
            done: tasks.iter().filter(|task| task.ended.is_some()).count(),
            wait: Waits::of(begun.clone().map(|task| wait(task, trace.end)).collect()),
            longest_queue: waiting(begun.clone().copied()).most(),
            queue_at_end: begun.filter(|task| task.started.is_none()).count(),
            overtaken: passed.times,
            overtaken_in_a_row: passed.most_in_a_row,
            out_of_order: passed.out_of_order,
        }
    };
    tasks.into_iter().map(report).collect()
}

/// Where a task ran, and from when to when.
fn ran(task: &Task, end: Time) -> Option<(usize, Time, Time)> {
    let (place, from) = task.started?;
    Some((place, from, task.ended.unwrap_or(end)))
}

fn places(
    experiment: &Experiment,
    trace: &Trace,
    capacities: &[Option<usize>],
    window: Window,
) -> Vec<PlaceReport> {
    let places = &experiment.site.places;
    let (mut busy, mut done) = (vec![0.0; places.len()], vec![0; places.len()]);
    for task in &trace.tasks {
        let Some((place, from, to)) = ran(task, trace.end) else { continue };
        busy[place] += window.part(from, to);
        done[place] += usize::from(task.ended.is_some());
    }
    let report = |(index, place): (usize, &SitePlace)| {
        let running = per(busy[index], window.seconds());
        let slots = capacities[index];
        PlaceReport {
            name: place.name.clone(),
            stage: place.stage,
            slots,
            done: done[index],
            running,
            busy: slots.map(|slots| per(running, slots as f64)),
            idle_beside_waiter: per(
                trace.idle_beside_waiter[index].as_secs_f64(),
                trace.end.as_secs_f64(),
            ),
        }
    };
    let all = places.iter().enumerate().map(report);
    let has_work = |stage: Stage| trace.tasks.iter().any(|task| task.stage == stage);
    let works: BTreeMap<Stage, bool> =
        Stage::ALL.iter().map(|stage| (*stage, has_work(*stage))).collect();
    all.filter(|place| works[&place.stage]).collect()
}

fn locks(experiment: &Experiment, trace: &Trace, window: Window) -> Vec<LockReport> {
    let site = &experiment.site;
    let mut held = vec![BTreeMap::<Stage, f64>::new(); site.locks.len()];
    for task in &trace.tasks {
        let Some((place, from, to)) = ran(task, trace.end) else { continue };
        for lock in &site.places[place].locks {
            *held[*lock].entry(task.stage).or_default() += window.part(from, to);
        }
    }
    let report = |(lock, held): (&SiteLock, BTreeMap<Stage, f64>)| {
        let of =
            |seconds: f64| per(seconds, window.seconds() * lock.units.unwrap_or(1).max(1) as f64);
        LockReport {
            name: lock.name.clone(),
            units: lock.units,
            busy: lock.units.map(|_| of(held.values().sum())),
            by_stage: held.into_iter().map(|(stage, seconds)| (stage, of(seconds))).collect(),
        }
    };
    site.locks.iter().zip(held).map(report).collect()
}

fn deadlock(trace: &Trace) -> Vec<String> {
    let words = |stuck: &Stuck| {
        let Task { sector, stage, .. } = trace.tasks[stuck.task];
        let (holds, waits_for) = (stuck.holds.join(", "), &stuck.waits_for);
        format!("{stage} of sector {sector} holds {holds} and waits for {waits_for}")
    };
    trace.stuck.iter().map(words).collect()
}
