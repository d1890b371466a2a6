// SPDX-License-Identifier: MIT OR Apache-2.0

//! What holds more sectors back, in words.

use std::{collections::BTreeSet, time::Duration};

use sealpipe_protocol::Stage;

use super::{
    engine::Experiment,
    report::Report,
    site::Site,
    supply::{Step, Supply},
};

/// A share of what is possible from which on it counts as all of it. Rounding, and that tasks do not
/// end together, cost a few parts of a hundred.
const ALL_OF_IT: f64 = 0.95;

const DAY_SECONDS: f64 = 24.0 * 3_600.0;

/// What some slots or locks allow at most.
#[derive(Clone, Debug, PartialEq)]
struct Ceiling {
    /// Such as `gpu1 and gpu2, which pc2 and c2 share`.
    what: String,
    per_day: f64,
}

/// Adds the lowest ceiling and the words about it.
pub(super) fn add(report: &mut Report, experiment: &Experiment) {
    let lowest = lowest(ceilings(&experiment.site, &experiment.way));
    report.at_most_per_day = lowest.as_ref().map(|ceiling| ceiling.per_day);
    report.bottleneck = words(report, experiment, lowest);
}

/// Sectors a day that a site allows at most, as far as its stages but `without` go; nothing when
/// those take no time.
pub fn at_most(site: &Site, way: &[Step], without: Option<Stage>) -> Option<f64> {
    let way: Vec<Step> = way.iter().copied().filter(|step| Some(step.stage) != without).collect();
    lowest(ceilings(site, &way)).map(|ceiling| ceiling.per_day)
}

fn lowest(ceilings: Vec<Ceiling>) -> Option<Ceiling> {
    ceilings.into_iter().min_by(|a, b| a.per_day.total_cmp(&b.per_day))
}

fn words(report: &Report, experiment: &Experiment, lowest: Option<Ceiling>) -> String {
    if !report.deadlock.is_empty() {
        return "a deadlock: tasks hold what others wait for, in a circle".to_owned();
    }
    if report.standstill {
        return "nothing runs although tasks wait: a limit, a lock or `concurrent` is 0".to_owned();
    }
    if let Supply::Jobs(_) = experiment.supply {
        return busiest(report);
    }
    let made = report.sealed_per_day;
    if let Some(lowest) = lowest.filter(|lowest| made >= lowest.per_day * ALL_OF_IT) {
        return format!("{}: at most {:.1} sectors a day", lowest.what, lowest.per_day);
    }
    if let Supply::Every(interval) = experiment.supply {
        let come = DAY_SECONDS / interval.as_secs_f64();
        if made >= come * ALL_OF_IT {
            return format!("the supply: {come:.1} sectors a day come");
        }
    }
    let idle = report.places.iter().filter(|place| place.idle_beside_waiter > 1.0 - ALL_OF_IT);
    let idle: Vec<String> = idle
        .map(|place| format!("{} {:.0}%", place.name, 100.0 * place.idle_beside_waiter))
        .collect();
    if !idle.is_empty() {
        let idle = list(&idle);
        return format!("processors are idle beside tasks that they could run: {idle} of the time");
    }
    let in_flight = &report.in_flight;
    if let Some(bound) = in_flight.bound
        && in_flight.mean >= bound as f64 * ALL_OF_IT
    {
        return format!("the bound of {bound} sectors in flight");
    }
    busiest(report)
}

fn busiest(report: &Report) -> String {
    let places = report.places.iter().filter_map(|place| Some((place.busy?, &place.name)));
    let locks = report.locks.iter().filter_map(|lock| Some((lock.busy?, &lock.name)));
    let busiest = places.chain(locks).max_by(|a, b| a.0.total_cmp(&b.0));
    match busiest {
        Some((busy, name)) => format!("{name}, the busiest: {:.0}% of the time", 100.0 * busy),
        None => "nothing is bounded".to_owned(),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What each stage allows by its slots and limits, and what locks that are shared allow together.
fn ceilings(site: &Site, way: &[Step]) -> Vec<Ceiling> {
    let mut ceilings: Vec<Ceiling> = way.iter().filter_map(|step| of_slots(site, step)).collect();
    ceilings.extend(lock_groups(site).iter().filter_map(|group| of_locks(site, way, group)));
    ceilings
}

/// Slots of a stage: each does as many tasks a day as its own slowness allows.
fn of_slots(site: &Site, step: &Step) -> Option<Ceiling> {
    if step.takes.is_zero() {
        return None;
    }
    let a_day = |slowness: f64| DAY_SECONDS / (step.takes.as_secs_f64() * slowness);
    // With a limit below the slots, the fastest ones count.
    let places = site.of_stage(step.stage);
    let mut slots: Vec<(f64, usize)> =
        places.map(|(_, place)| (a_day(place.slowness), place.slots)).collect();
    slots.sort_by(|a, b| b.0.total_cmp(&a.0));
    let width = site.width(step.stage);
    let mut left = width;
    let mut per_day = 0.0;
    for (a_day, n) in &slots {
        let used = left.min(*n);
        per_day += used as f64 * a_day;
        left -= used;
    }
    let limited = width < slots.iter().fold(0_usize, |sum, (_, n)| sum.saturating_add(*n));
    let what = match (limited, width) {
        (true, n) => format!("`limitation.concurrent.{}` = {n}", step.stage),
        (false, 1) => format!("the one slot of {}", step.stage),
        (false, n) => format!("the {n} slots of {}", step.stage),
    };
    Some(Ceiling { what, per_day })
}

/// Locks that some entry or chain of entries has in common.
fn lock_groups(site: &Site) -> Vec<BTreeSet<usize>> {
    let mut groups: Vec<BTreeSet<usize>> = Vec::new();
    for stage in Stage::ALL {
        // A stage whose every place needs a lock brings all of these together.
        let places: Vec<_> = site.of_stage(*stage).map(|(_, place)| place).collect();
        if places.iter().any(|place| place.locks.is_empty()) {
            continue;
        }
        let mut group: BTreeSet<usize> =
            places.iter().flat_map(|place| place.locks.iter().copied()).collect();
        groups.retain(|other| {
            let apart = other.is_disjoint(&group);
            if !apart {
                group.extend(other);
            }
            apart
        });
        groups.push(group);
    }
    groups
}

/// What a group of locks allows, where each task of the stages takes just one of them.
fn of_locks(site: &Site, way: &[Step], group: &BTreeSet<usize>) -> Option<Ceiling> {
    let uses = |step: &&Step| {
        site.of_stage(step.stage).all(|(_, p)| p.locks.iter().any(|lock| group.contains(lock)))
    };
    let stages: Vec<&Step> = way.iter().filter(uses).collect();
    let places = || stages.iter().flat_map(|step| site.of_stage(step.stage));
    if places().any(|(_, place)| place.locks.len() != 1) {
        return None;
    }
    let units: usize = group.iter().map(|lock| site.locks[*lock].units.unwrap_or(1)).sum();
    let takes: Option<Vec<Duration>> = stages.iter().map(|step| takes(site, step)).collect();
    let takes: Duration = takes?.into_iter().sum();
    if takes.is_zero() {
        return None;
    }
    let names: Vec<String> = group.iter().map(|lock| site.locks[*lock].name.clone()).collect();
    let users: Vec<String> = stages.iter().map(|step| step.stage.to_string()).collect();
    let sharing = if users.len() > 1 { ", shared by " } else { ", used by " };
    Some(Ceiling {
        what: format!("{}{sharing}{}", list(&names), list(&users)),
        per_day: units as f64 * DAY_SECONDS / takes.as_secs_f64(),
    })
}

/// What a step takes at the places of its stage, where all of them are as fast.
fn takes(site: &Site, step: &Step) -> Option<Duration> {
    let mut slowness = site.of_stage(step.stage).map(|(_, place)| place.slowness);
    let first = slowness.next()?;
    slowness.all(|other| other == first).then(|| step.takes.mul_f64(first))
}
