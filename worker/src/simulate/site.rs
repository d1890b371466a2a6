// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a configuration puts up: places for tasks, locks and limits, as plain numbers.

use std::time::Duration;

use sealpipe_protocol::Stage;

use super::profile::{Profile, StageProfile};
use crate::{
    config::{Device, Entry, Processors},
    fleet,
    scheduler::{Place, Rules, Scheduler, StageLimit},
};

/// All that tasks contend for.
#[derive(Clone, Debug)]
pub struct Site {
    /// Places, in the order of the stages and of the file; implied ones last.
    pub places: Vec<SitePlace>,
    /// Locks, in the order of their names.
    pub locks: Vec<SiteLock>,
    /// Limits, and who goes first.
    pub rules: Rules,
    /// Sectors between their first grant and their end.
    pub in_flight: Option<usize>,
}

/// A place where tasks run: an entry, or a processor that none names.
#[derive(Clone, Debug)]
pub struct SitePlace {
    /// Such as `pc2[1]`, or `pc2` for an implied one.
    pub name: String,
    /// The stage.
    pub stage: Stage,
    /// Tasks at once, as the entry says.
    pub concurrent: Option<usize>,
    /// Tasks at once, as far as the program takes them.
    pub slots: usize,
    /// Indices of the locks that each task holds, in the order of the file.
    pub locks: Vec<usize>,
    /// Its share beside others.
    pub weight: u32,
    /// How long its tasks take, in what the profile says of the stage.
    pub slowness: f64,
    /// Whether its slots count for the default bound on sectors in flight.
    pub is_counted: bool,
}

/// A counting lock.
#[derive(Clone, Debug)]
pub struct SiteLock {
    /// Its name.
    pub name: String,
    /// How many tasks may hold it at once; `None` for no bound.
    pub units: Option<usize>,
}

impl Site {
    /// What a configuration puts up, with the programs of a profile.
    pub fn new(config: &Processors, profile: &Profile) -> Self {
        let used = config.entries.iter().flat_map(|entry| &entry.locks);
        let mut names: Vec<&String> = used.chain(config.ext_locks.keys()).collect();
        names.sort();
        names.dedup();
        let units = |name: &String| config.ext_locks.get(name).copied();
        let locks = names.iter().map(|name| SiteLock { name: (*name).clone(), units: units(name) });
        let entry = |entry: &Entry| SitePlace::of_entry(entry, profile, &names);
        let implied = config.implied().map(|stage| SitePlace::implied(stage, profile));
        let places = config.entries.iter().map(entry).chain(implied).collect();
        let (locks, rules) = (locks.collect(), fleet::rules(config));
        let mut site = Self { places, locks, rules, in_flight: None };
        site.in_flight = site.scheduler(site.rules.clone()).cap();
        site
    }

    /// The worker's scheduler with all processors ready; its places are numbered as they are here.
    pub fn scheduler(&self, rules: Rules) -> Scheduler {
        let place = |(rank, place): (usize, &SitePlace)| Place {
            stage: place.stage,
            rank,
            capacity: place.slots,
            locks: place.locks.iter().map(|lock| self.locks[*lock].name.clone()).collect(),
            weight: place.weight,
            is_counted: place.is_counted,
        };
        Scheduler::new(rules, self.places.iter().enumerate().map(place).collect())
    }

    /// The number of a lock.
    pub fn lock(&self, name: &str) -> Option<usize> {
        self.locks.iter().position(|lock| lock.name == name)
    }

    /// The limits of a stage.
    pub fn limit(&self, stage: Stage) -> StageLimit {
        self.rules.limits.get(&stage).copied().unwrap_or_default()
    }

    /// The places of a stage, with their indices.
    pub fn of_stage(&self, stage: Stage) -> impl Iterator<Item = (usize, &SitePlace)> {
        self.places.iter().enumerate().filter(move |(_, place)| place.stage == stage)
    }

    /// Tasks of a stage at once, by slots and limits.
    pub fn width(&self, stage: Stage) -> usize {
        let places = self.of_stage(stage);
        let slots = places.fold(0_usize, |sum, (_, place)| sum.saturating_add(place.slots));
        self.limit(stage).concurrent.map_or(slots, |limit| limit.min(slots))
    }
}

impl SitePlace {
    fn of_entry(entry: &Entry, profile: &Profile, names: &[&String]) -> Self {
        let name = format!("{}[{}]", entry.stage, entry.index);
        let index = |lock: &String| names.iter().position(|name| *name == lock);
        let usual = profile.stage(entry.stage);
        let own = profile.entries.get(&name).copied();
        let own = own.or_else(|| on_cpu(entry, &usual)).unwrap_or(usual.takes);
        Self {
            stage: entry.stage,
            concurrent: entry.concurrent,
            slots: entry.concurrent.unwrap_or_else(|| offered(entry, usual.concurrent)),
            locks: entry.locks.iter().filter_map(index).collect(),
            weight: entry.weight,
            slowness: slowness(own, usual.takes),
            is_counted: fleet::is_counted(entry.stage, true),
            name,
        }
    }

    fn implied(stage: Stage, profile: &Profile) -> Self {
        Self {
            name: stage.to_string(),
            stage,
            concurrent: None,
            slots: profile.stage(stage).concurrent,
            locks: Vec::new(),
            weight: 1,
            slowness: 1.0,
            is_counted: fleet::is_counted(stage, false),
        }
    }
}

/// What a task takes on the cpus of an entry that is told to use no GPU.
fn on_cpu(entry: &Entry, usual: &StageProfile) -> Option<Duration> {
    let cores = u32::try_from(entry.cpus.as_ref()?.len()).ok().filter(|cores| *cores > 0)?;
    usual.cpu_time.filter(|_| entry.device == Some(Device::Cpu)).map(|time| time / cores)
}

/// What the program of an entry without `concurrent` takes at once. A multicore pc1 takes two cpus
/// a task; for the other stages the profile knows.
fn offered(entry: &Entry, usual: usize) -> usize {
    match (&entry.cpus, entry.stage) {
        (Some(cpus), Stage::Pc1) => (cpus.len() / 2).max(1),
        _ => usual.max(1),
    }
}

fn slowness(own: Duration, usual: Duration) -> f64 {
    if usual.is_zero() { 1.0 } else { own.as_secs_f64() / usual.as_secs_f64() }
}
