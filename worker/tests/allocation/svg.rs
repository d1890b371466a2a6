// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pictures for the documentation: plain SVG that is readable on light and on dark pages.

use std::fmt::Write as _;

use sealpipe_protocol::Stage;
use sealpipe_worker::simulate::{self, Experiment, Level, Trace};

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #1c1c1e } .faint { fill: #6b6b70 } \
.title { font-weight: 600 } .line { stroke: #d9d9de } .row { fill: #f0f0f4 } \
.pc2 { fill: #2e8b57 } .c2 { fill: #d9730d } path { fill: none; stroke-width: 1.8 } \
path.pc2 { stroke: #2e8b57; fill: none } path.c2 { stroke: #d9730d; fill: none } \
@media (prefers-color-scheme: dark) { text { fill: #e8e8ec } .faint { fill: #9a9aa4 } \
.line { stroke: #383a42 } .row { fill: #1f2026 } .pc2 { fill: #56bd85 } .c2 { fill: #f0953c } \
path.pc2 { stroke: #56bd85 } path.c2 { stroke: #f0953c } }";

const DAY_SECONDS: f64 = 24.0 * 3_600.0;

fn open(width: u32, height: u32, label: &str) -> String {
    format!(
        "<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{label}\">\n<style>{STYLE}</style>\n"
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
    );
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = writeln!(
        svg,
        "<line class=\"line\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

/// What the colours mean.
fn legend(svg: &mut String, x: f64, y: f64) {
    for (index, stage) in ["pc2", "c2"].into_iter().enumerate() {
        let x = x + 60.0 * index as f64;
        let _ = writeln!(
            svg,
            "<rect class=\"{stage}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\"/>",
            y - 10.0
        );
        text(svg, x + 16.0, y, "start", "", stage);
    }
}

/// How many tasks of a stage waited over time.
fn queue(trace: &Trace, stage: Stage) -> Level {
    simulate::waiting(trace.tasks.iter().filter(|task| task.stage == stage))
}

/// Queues before pc2 and c2 over the days of several runs: a panel each, `columns` of them in a row,
/// all with the same scale.
pub fn queues(panels: &[(String, &Trace)], columns: usize) -> String {
    const WIDTH: f64 = 250.0;
    const HEIGHT: f64 = 150.0;
    const GAP: (f64, f64) = (50.0, 46.0);
    let rows = panels.len().div_ceil(columns);
    let width = GAP.0 + columns as f64 * (WIDTH + GAP.0);
    let height = 40.0 + rows as f64 * (HEIGHT + GAP.1);
    let levels: Vec<[Level; 2]> = panels
        .iter()
        .map(|(_, trace)| [queue(trace, Stage::Pc2), queue(trace, Stage::C2)])
        .collect();
    let most = levels.iter().flatten().map(Level::most).max().unwrap_or(1).next_multiple_of(1000);
    let mut svg = open(width as u32, height as u32, "queues before pc2 and c2 over 30 days");
    legend(&mut svg, GAP.0, 16.0);
    for (index, ((name, trace), levels)) in panels.iter().zip(&levels).enumerate() {
        let left = GAP.0 + (index % columns) as f64 * (WIDTH + GAP.0);
        let top = 50.0 + (index / columns) as f64 * (HEIGHT + GAP.1);
        text(&mut svg, left, top - 8.0, "start", "title", name);
        for share in 0..=4 {
            let y = top + HEIGHT * (1.0 - f64::from(share) / 4.0);
            line(&mut svg, (left, y), (left + WIDTH, y));
            let label = (most as f64 * f64::from(share) / 4.0).to_string();
            text(&mut svg, left - 6.0, y + 4.0, "end", "faint", &label);
        }
        let end = trace.end.as_secs_f64();
        for day in [0.0, 10.0, 20.0, 30.0] {
            let x = left + WIDTH * (day * DAY_SECONDS / end).min(1.0);
            text(&mut svg, x, top + HEIGHT + 15.0, "middle", "faint", &format!("day {day}"));
        }
        for (stage, level) in ["pc2", "c2"].into_iter().zip(levels) {
            // One point a quarter of a day: a longer path looks the same.
            let points = (0..=120).map(|part| {
                let at = end * f64::from(part) / 120.0;
                let (x, y) = (left + WIDTH * at / end, height_of(level, at) / most as f64);
                format!("{x:.1} {:.1}", top + HEIGHT * (1.0 - y))
            });
            let path = points.collect::<Vec<_>>().join(" L ");
            let _ = writeln!(svg, "<path class=\"{stage}\" d=\"M {path}\"/>");
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn height_of(level: &Level, seconds: f64) -> f64 {
    let changes = level.changes();
    let index = changes.partition_point(|(at, _)| at.as_secs_f64() <= seconds);
    index.checked_sub(1).map_or(0.0, |index| changes[index].1 as f64)
}

/// Who held each lock for a day of several runs, from hour `from` on.
pub fn locks(runs: &[(String, &Experiment, &Trace)], from_hour: f64) -> String {
    const LEFT: f64 = 70.0;
    const WIDTH: f64 = 860.0;
    const BAR: f64 = 20.0;
    let n_rows: usize = runs.iter().map(|(_, experiment, _)| experiment.site.locks.len()).sum();
    let height = 50.0 + n_rows as f64 * (BAR + 5.0) + runs.len() as f64 * 34.0;
    let label = "which stage held which GPU, for a day";
    let mut svg = open((LEFT + WIDTH + 20.0) as u32, height as u32, label);
    legend(&mut svg, LEFT, 16.0);
    let (from, to) = (from_hour * 3_600.0, (from_hour + 24.0) * 3_600.0);
    let x = |at: f64| LEFT + WIDTH * (at.clamp(from, to) - from) / (to - from);
    let mut top = 30.0;
    for (name, experiment, trace) in runs {
        top += 14.0;
        text(&mut svg, LEFT, top, "start", "title", name);
        top += 8.0;
        for (index, lock) in experiment.site.locks.iter().enumerate() {
            text(&mut svg, LEFT - 8.0, top + 14.0, "end", "", &lock.name);
            let _ = writeln!(
                svg,
                "<rect class=\"row\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{BAR}\"/>"
            );
            for task in &trace.tasks {
                let Some((place, started)) = task.started else { continue };
                let ended = task.ended.unwrap_or(trace.end).as_secs_f64();
                let started = started.as_secs_f64();
                let holds = experiment.site.places[place].locks.contains(&index);
                if !holds || ended <= from || started >= to {
                    continue;
                }
                let (left, right) = (x(started), x(ended));
                let _ = writeln!(
                    svg,
                    "<rect class=\"{}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>",
                    task.stage,
                    (right - left - 1.0).max(0.5)
                );
            }
            top += BAR + 5.0;
        }
        top += 12.0;
    }
    for hour in (0..=24).step_by(4) {
        let at = LEFT + WIDTH * f64::from(hour) / 24.0;
        text(&mut svg, at, height - 8.0, "middle", "faint", &format!("{hour} h"));
    }
    svg.push_str("</svg>\n");
    svg
}
