// SPDX-License-Identifier: MIT OR Apache-2.0

//! The result for people: one run in full, several side by side.

use std::{fmt::Write as _, path::Path};

use sealpipe_protocol::Stage;

use super::Run;
use crate::{
    cli::table::numbers,
    simulate::{Profile, Report, STARVED_AFTER, StageReport, Waits},
};

/// The whole text.
pub fn text(profile: &Profile, runs: &[Run]) -> String {
    let mut text = format!("durations: {}\n", profile.name);
    match runs {
        [run] => one(&mut text, run),
        runs => several(&mut text, runs),
    }
    text
}

/// Seconds for people: `45s`, `12.5min`, `3.2h`, `5.1d`.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 0.05 => "0".to_owned(),
        s if s < 60.0 => format!("{s:.1}s"),
        s if s < 2.0 * 3_600.0 => format!("{:.1}min", s / 60.0),
        s if s < 48.0 * 3_600.0 => format!("{:.1}h", s / 3_600.0),
        s => format!("{:.1}d", s / 86_400.0),
    }
}

fn percent(part: f64) -> String {
    format!("{:.1}%", 100.0 * part)
}

fn or_dash(value: Option<String>) -> String {
    value.unwrap_or_else(|| "-".to_owned())
}

fn rate(report: &Report) -> String {
    match report.at_most_per_day {
        Some(most) => format!("{:.1}, in the long run at most {most:.1}", report.sealed_per_day),
        None => format!("{:.1}", report.sealed_per_day),
    }
}

fn in_flight(report: &Report) -> String {
    let flight = &report.in_flight;
    let bound = flight.bound.map_or("no bound".to_owned(), |bound| format!("bound {bound}"));
    format!("{:.1} on average, {} at most ({bound})", flight.mean, flight.most)
}

fn waits(waits: &Waits) -> [String; 3] {
    [waits.mean_s, waits.p99_s, waits.longest_s].map(span)
}

fn one(text: &mut String, run: &Run) {
    let report = &run.report;
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:18}{value}");
    };
    line("configuration", run.name.clone());
    line("policy", run.decider.to_string());
    line("time", span(report.seconds));
    line("sectors a day", rate(report));
    line("sealed", report.sealed.to_string());
    let [mean, p99, longest] = waits(&report.latency);
    line("a sector takes", format!("{mean} on average, 99 of 100 at most {p99}, all {longest}"));
    line("in flight", in_flight(report));
    line("starved", starved(report));
    line("bottleneck", report.bottleneck.clone());
    for deadlock in &report.deadlock {
        line("deadlock", deadlock.clone());
    }
    text.push('\n');
    text.push_str(&stages(report));
    text.push('\n');
    text.push_str(&places(report));
    if !report.locks.is_empty() {
        text.push('\n');
        text.push_str(&locks(report));
    }
}

fn starved(report: &Report) -> String {
    let after = span(STARVED_AFTER.as_secs_f64());
    match report.starved {
        0 => format!("no sector waited longer than {after} for a stage"),
        n => format!("{n} sectors waited longer than {after} for a stage"),
    }
}

fn stages(report: &Report) -> String {
    let headers = [
        "STAGE",
        "DONE",
        "WAIT MEAN",
        "P99",
        "LONGEST",
        "QUEUE MOST",
        "AT END",
        "OVERTAKEN",
        "IN A ROW",
        "OUT OF ORDER",
    ];
    let row = |stage: &StageReport| {
        let [mean, p99, longest] = waits(&stage.wait);
        let numbers = [
            stage.longest_queue.to_string(),
            stage.queue_at_end.to_string(),
            stage.overtaken.to_string(),
            stage.overtaken_in_a_row.to_string(),
            stage.out_of_order.to_string(),
        ];
        let first = [stage.stage.to_string(), stage.done.to_string(), mean, p99, longest];
        first.into_iter().chain(numbers).collect()
    };
    numbers(&headers, &report.stages.iter().map(row).collect::<Vec<_>>())
}

fn places(report: &Report) -> String {
    let headers = ["PROCESSOR", "SLOTS", "DONE", "RUNNING", "BUSY", "IDLE BESIDE A TASK"];
    let rows: Vec<Vec<String>> = report
        .places
        .iter()
        .map(|place| {
            vec![
                place.name.clone(),
                or_dash(place.slots.map(|slots| slots.to_string())),
                place.done.to_string(),
                format!("{:.2}", place.running),
                or_dash(place.busy.map(percent)),
                percent(place.idle_beside_waiter),
            ]
        })
        .collect();
    numbers(&headers, &rows)
}

fn locks(report: &Report) -> String {
    let used: Vec<Stage> = Stage::ALL
        .iter()
        .copied()
        .filter(|stage| report.locks.iter().any(|lock| lock.by_stage.contains_key(stage)))
        .collect();
    let by: Vec<String> = used.iter().map(|stage| format!("BY {stage}")).collect();
    let headers: Vec<&str> =
        ["LOCK", "UNITS", "BUSY"].into_iter().chain(by.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = report
        .locks
        .iter()
        .map(|lock| {
            let units = or_dash(lock.units.map(|units| units.to_string()));
            let first = [lock.name.clone(), units, or_dash(lock.busy.map(percent))];
            let by =
                used.iter().map(|stage| or_dash(lock.by_stage.get(stage).copied().map(percent)));
            first.into_iter().chain(by).collect()
        })
        .collect();
    numbers(&headers, &rows)
}

/// A column for each run.
fn several(text: &mut String, runs: &[Run]) {
    let one_file = runs.iter().all(|run| run.name == runs[0].name);
    let one_policy = runs.iter().all(|run| run.decider == runs[0].decider);
    let short = |run: &Run| match Path::new(&run.name).file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => run.name.clone(),
    };
    let name = |run: &Run| match (one_file, one_policy) {
        (true, _) => run.decider.to_string(),
        (_, true) => short(run),
        _ => format!("{}, {}", short(run), run.decider),
    };
    if one_file {
        let _ = writeln!(text, "configuration: {}", runs[0].name);
    }
    let names: Vec<String> = runs.iter().map(name).collect();
    let headers: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    text.push_str(&numbers(&headers, &comparison(runs)));
    for (name, run) in names.iter().zip(runs) {
        let _ = writeln!(text, "{name}: {}", run.report.bottleneck);
        for deadlock in &run.report.deadlock {
            let _ = writeln!(text, "{name}: deadlock: {deadlock}");
        }
    }
}

fn comparison(runs: &[Run]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: String, value: &dyn Fn(&Report) -> String| {
        rows.push(std::iter::once(name).chain(runs.iter().map(|run| value(&run.report))).collect());
    };
    row("sectors a day".into(), &|r| format!("{:.1}", r.sealed_per_day));
    row("in the long run at most".into(), &|r| {
        or_dash(r.at_most_per_day.map(|most| format!("{most:.1}")))
    });
    row("a sector takes, mean".into(), &|r| span(r.latency.mean_s));
    row("in flight, mean".into(), &|r| format!("{:.1}", r.in_flight.mean));
    row("in flight, most".into(), &|r| r.in_flight.most.to_string());
    row("starved".into(), &|r| r.starved.to_string());
    let stages = Stage::ALL.iter().copied().filter(|stage| {
        runs.iter().any(|run| run.report.stage(*stage).is_some_and(|s| s.wait.longest_s >= 1.0))
    });
    for stage in stages {
        let value = |get: fn(&StageReport) -> String| {
            move |report: &Report| or_dash(report.stage(stage).map(get))
        };
        row(format!("{stage} waits, mean"), &value(|s| span(s.wait.mean_s)));
        row(format!("{stage} waits, longest"), &value(|s| span(s.wait.longest_s)));
        row(format!("{stage} queue, most"), &value(|s| s.longest_queue.to_string()));
        row(format!("{stage} overtaken in a row"), &value(|s| s.overtaken_in_a_row.to_string()));
    }
    let mut places: Vec<&String> =
        runs.iter().flat_map(|run| run.report.places.iter().map(|place| &place.name)).collect();
    places.sort();
    places.dedup();
    for name in places {
        let busy = |report: &Report| {
            let place = report.places.iter().find(|place| place.name == *name);
            or_dash(place.map(|place| format!("{:.2}", place.running)))
        };
        row(format!("{name} running"), &busy);
    }
    rows
}
