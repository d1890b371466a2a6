// SPDX-License-Identifier: MIT OR Apache-2.0

//! One HTML file that shows runs: a chart of who ran where, queues over time, the numbers. It needs no
//! network: `page.html` is the whole program, and the data stand in it.

use sealpipe_protocol::Stage;
use serde_json::{Value, json};

use super::{
    engine::{Experiment, Trace},
    report::{Report, sector_spans, waiting},
    series::Level,
};
use crate::scheduler::Time;

const TEMPLATE: &str = include_str!("page.html");

/// A run on the page.
pub struct PageRun<'a> {
    /// What it is called.
    pub name: String,
    /// What was run.
    pub experiment: &'a Experiment,
    /// What happened.
    pub trace: &'a Trace,
    /// What it means.
    pub report: &'a Report,
}

/// The page's text.
pub fn page(title: &str, runs: &[PageRun<'_>]) -> String {
    let data = json!({ "title": title, "runs": runs.iter().map(run).collect::<Vec<_>>() });
    // Inside of a script nothing may look like its end.
    let data = data.to_string().replace('<', "\\u003c");
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    TEMPLATE.replace("{{title}}", &title).replace("{{data}}", &data)
}

/// The times of a run as whole numbers.
struct Clock {
    /// Seconds of one tick.
    unit: f64,
}

impl Clock {
    /// Seconds are fine enough for days, milliseconds for hours.
    fn new(trace: &Trace) -> Self {
        Self { unit: if trace.end.as_secs() > 24 * 3_600 { 1.0 } else { 0.001 } }
    }

    fn ticks(&self, at: Time) -> u64 {
        (at.as_secs_f64() / self.unit).round() as u64
    }

    fn level(&self, level: &Level) -> Vec<Value> {
        level.changes().iter().map(|(at, n)| json!([self.ticks(*at), n])).collect()
    }
}

fn run(run: &PageRun<'_>) -> Value {
    let PageRun { name, experiment, trace, report } = run;
    let clock = Clock::new(trace);
    let site = &experiment.site;
    let used = |index: usize| trace.tasks.iter().any(|t| t.started.is_some_and(|s| s.0 == index));
    let places = site.places.iter().enumerate().map(|(index, place)| {
        let locks: Vec<&String> = place.locks.iter().map(|lock| &site.locks[*lock].name).collect();
        json!({ "name": place.name, "stage": place.stage, "locks": locks, "used": used(index) })
    });
    let queues = Stage::ALL.iter().filter_map(|stage| {
        let waits = trace.tasks.iter().filter(|task| task.stage == *stage && task.step > 0);
        let level = waiting(waits);
        (level.most() > 0).then(|| json!({ "stage": stage, "level": clock.level(&level) }))
    });
    let in_flight = Level::new(sector_spans(trace).values().copied());
    json!({
        "name": name,
        "unit": clock.unit,
        "end": clock.ticks(trace.end),
        "places": places.collect::<Vec<_>>(),
        "locks": site.locks.iter().map(|lock| &lock.name).collect::<Vec<_>>(),
        "tasks": tasks(trace, &clock),
        "queues": queues.collect::<Vec<_>>(),
        "inFlight": clock.level(&in_flight),
        "report": report,
    })
}

/// Tasks as place, sector, when it asked, started and ended: five numbers each, in one array.
fn tasks(trace: &Trace, clock: &Clock) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(5 * trace.grants.len());
    for task in trace.grants.iter().map(|task| &trace.tasks[*task]) {
        let Some((place, started)) = task.started else { continue };
        let ended = task.ended.unwrap_or(trace.end);
        numbers.extend([place as u64, task.sector]);
        numbers.extend([task.requested, started, ended].map(|at| clock.ticks(at)));
    }
    numbers
}
