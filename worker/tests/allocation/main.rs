// SPDX-License-Identifier: MIT OR Apache-2.0

//! The tables and pictures of `docs/allocation.md` and `docs/scheduling.md` are what the simulator
//! gives. `make docs` writes them anew.

mod svg;

use std::{fs, path::PathBuf, sync::Mutex, time::Duration};

use sealpipe_protocol::Stage;
use sealpipe_worker::{
    config::{self, Source},
    hardware::{Amounts, Description},
    plan::{Gpus, Objective, Plan, Wishes, plan},
    simulate::{
        Decider, Experiment, Jitter, MAX_TASKS, Profile, Report, Site, StageReport, Supply, Trace,
        Written, sector,
    },
};

const SCHEME_A: &str = include_str!("../data/scheme-a.toml");
const SCHEME_B: &str = include_str!("../data/scheme-b.toml");

const DAYS: u32 = 30;

/// Bound on sectors in flight.
#[derive(Clone, Copy, PartialEq)]
enum Bound {
    Default,
    None,
}

struct Run {
    experiment: Experiment,
    trace: Trace,
    report: Report,
}

fn run(text: &str, bound: Bound, decider: Decider) -> Run {
    let profile = Profile::default();
    let parsed = config::parse(&Source::new("scheme", text));
    let config = parsed.config().expect("the schemes have no errors");
    let mut site = Site::new(&config.processors, &profile);
    if bound == Bound::None {
        site.in_flight = None;
    }
    let experiment = Experiment {
        site,
        written: Written::read(text),
        supply: Supply::Unlimited,
        way: sector(&profile, &[]),
        jitter: Jitter { part: 0.0, seed: 1 },
        until: Duration::from_secs(24 * 3_600) * DAYS,
        max_tasks: MAX_TASKS,
    };
    let (trace, report) = decider.run(&experiment).expect("a month is not too much");
    Run { experiment, trace, report }
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 2.0 * 3_600.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3_600.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// A table in Markdown: a column for each run.
fn table(names: &[&str], runs: &[Run]) -> String {
    type Row = (&'static str, fn(&Report) -> String);
    fn stage(report: &Report, stage: Stage) -> StageReport {
        *report.stage(stage).expect("it ran")
    }
    let rows: &[Row] = &[
        ("sectors a day", |r| format!("{:.1}", r.sealed_per_day)),
        ("what the GPUs could do", |r| format!("{:.1}", r.at_most_per_day.unwrap_or_default())),
        ("a sector takes, mean", |r| span(r.latency.mean_s)),
        ("sectors in flight, most", |r| r.in_flight.most.to_string()),
        ("wait for c2, mean", |r| span(stage(r, Stage::C2).wait.mean_s)),
        ("wait for c2, longest", |r| span(stage(r, Stage::C2).wait.longest_s)),
        ("queue before c2, most", |r| stage(r, Stage::C2).longest_queue.to_string()),
        ("c2 overtaken by pc2, most in a row", |r| {
            stage(r, Stage::C2).overtaken_in_a_row.to_string()
        }),
        ("wait for pc2, mean", |r| span(stage(r, Stage::Pc2).wait.mean_s)),
        ("queue before pc2, most", |r| stage(r, Stage::Pc2).longest_queue.to_string()),
        ("pc2 overtaken by c2, most in a row", |r| {
            stage(r, Stage::Pc2).overtaken_in_a_row.to_string()
        }),
        ("tasks begun before an older one of their stage", |r| {
            r.stages.iter().map(|stage| stage.out_of_order).sum::<u64>().to_string()
        }),
    ];
    let mut text = format!("| | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (name, value) in rows {
        let values: Vec<_> = runs.iter().map(|run| value(&run.report)).collect();
        text.push_str(&format!("| {name} | {} |\n", values.join(" | ")));
    }
    text
}

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Compares a file with what it should be, or writes it.
fn agree(path: &str, expected: &str) {
    let path = docs().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not what `make docs` writes", path.display());
}

/// Tests of one page read and write it one after another.
static PAGES: Mutex<()> = Mutex::new(());

/// Compares or writes the part of a page between `<!-- name -->` and `<!-- /name -->`.
fn agree_part(page: &str, name: &str, expected: &str) {
    let _alone = PAGES.lock();
    let path = docs().join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("{page} has no {name}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{name} does not end"));
    agree(page, &format!("{before}{open}\n{expected}\n{close}{after}"));
}

const DECIDERS: [(&str, Decider); 4] = [
    ("sealpipe", Decider::Sealpipe),
    ("sealpipe, `fifo`", Decider::Fifo),
    ("damocles", Decider::Damocles),
    ("damocles at its worst", Decider::DamoclesWorst),
];

#[test]
fn scheme_b_under_all_policies_is_as_documented() {
    for (name, bound) in [("scheme-b-bound", Bound::Default), ("scheme-b-no-bound", Bound::None)] {
        let runs: Vec<Run> =
            DECIDERS.iter().map(|(_, decider)| run(SCHEME_B, bound, *decider)).collect();
        agree_part("scheduling.md", name, &table(&DECIDERS.map(|(name, _)| name), &runs));
    }
}

#[test]
fn the_schemes_side_by_side_are_as_documented() {
    let names = ["A, sealpipe", "A, damocles", "B, sealpipe", "B, damocles"];
    for (name, bound) in [("schemes-bound", Bound::Default), ("schemes-no-bound", Bound::None)] {
        let runs = [SCHEME_A, SCHEME_B].into_iter().flat_map(|scheme| {
            [Decider::Sealpipe, Decider::Damocles].map(|decider| run(scheme, bound, decider))
        });
        agree_part("allocation.md", name, &table(&names, &runs.collect::<Vec<_>>()));
    }
}

#[test]
fn the_pictures_are_as_documented() {
    let deciders = [DECIDERS[0], DECIDERS[2], DECIDERS[3]];
    let mut runs = Vec::new();
    for (scheme, text) in [("A", SCHEME_A), ("B", SCHEME_B)] {
        for (name, decider) in deciders {
            runs.push((format!("Scheme {scheme}, {name}"), run(text, Bound::None, decider)));
        }
    }
    let panels: Vec<_> = runs.iter().map(|(name, run)| (name.clone(), &run.trace)).collect();
    agree("allocation-queues.svg", &svg::queues(&panels, 3));
    let names = [DECIDERS[0], DECIDERS[1], DECIDERS[2]];
    let runs: Vec<_> =
        names.map(|(name, decider)| (name, run(SCHEME_B, Bound::Default, decider))).into();
    let strips: Vec<_> =
        runs.iter().map(|(name, run)| (plain(name), &run.experiment, &run.trace)).collect();
    agree("allocation-gpus.svg", &svg::locks(&strips, 240.0));
}

/// hwloc's words for the machine of the schemes.
const MACHINE: &str = "pack:2 [numa(memory=1TiB)] l3:16(size=16MiB) core:3 pu:1";

fn planned(objective: Objective) -> Plan {
    let mut hardware = Description::of_text(MACHINE).read().expect("hwloc knows these words");
    Amounts { gpus: Some((2, None)), ..Amounts::default() }.apply(&mut hardware);
    let wishes = Wishes { objective, ..Wishes::default() };
    plan(&hardware, &Profile::default(), &wishes).expect("it is large enough")
}

#[test]
fn the_plans_are_as_documented() {
    let objectives = [Objective::SectorsPerDay, Objective::Latency, Objective::CoresLeft];
    let plans = objectives.map(planned);
    agree_part("allocation.md", "plan", &format!("```toml\n{}```\n", plans[0].text));
    let row = |(objective, plan): (Objective, &Plan)| {
        let (draft, report) = (&plan.best.draft, &plan.best.report);
        let gpus = if draft.gpus == Gpus::Shared { "shared" } else { "one a stage" };
        let (per_day, takes) = (report.sealed_per_day, span(report.latency.mean_s));
        let (flight, left) = (report.in_flight.most, draft.left.len());
        format!(
            "| {objective} | {} | {gpus} | {per_day:.1} | {takes} | {flight} | {left} |\n",
            draft.n_pc1()
        )
    };
    let rows: String = objectives.into_iter().zip(&plans).map(row).collect();
    let columns = ["`--objective`", "pc1", "GPUs", "sectors a day", "a sector takes", "in flight"];
    let head = format!("| {} | cpus left |\n|---|---|---|---|---|---|---|\n", columns.join(" | "));
    agree_part("allocation.md", "objectives", &(head + &rows));
}

/// A name without Markdown.
fn plain(name: &str) -> String {
    format!("Scheme B, {}", name.replace('`', ""))
}
