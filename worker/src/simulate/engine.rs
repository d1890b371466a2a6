// SPDX-License-Identifier: MIT OR Apache-2.0

//! The simulation: events in virtual time, with a policy that decides.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use sealpipe_protocol::Stage;

use super::{
    fairness::{Fairness, Passed},
    policy::{Policy, Stuck, TaskId},
    site::Site,
    supply::{Jitter, Step, Supply},
    written::Written,
};
use crate::scheduler::{Sector, Time};

/// Tasks of a run: years of a large machine. More are a supply that nothing holds back.
pub const MAX_TASKS: usize = 1_000_000;

/// A run to be made.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// What there is.
    pub site: Site,
    /// What of it damocles reads in another way.
    pub written: Written,
    /// What comes.
    pub supply: Supply,
    /// The way of each sector that is not a job.
    pub way: Vec<Step>,
    /// How durations vary.
    pub jitter: Jitter,
    /// When it ends at the latest.
    pub until: Time,
    /// Tasks that it may come to, [`MAX_TASKS`] or fewer.
    pub max_tasks: usize,
}

impl Experiment {
    /// Whether sectors come for ever, so that the beginning is no measure of what follows.
    pub fn is_stream(&self) -> bool {
        !matches!(self.supply, Supply::Jobs(_))
    }
}

/// A task as it went.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Task {
    /// Its sector.
    pub sector: Sector,
    /// Its number on the sector's way, from 0.
    pub step: usize,
    /// Its stage.
    pub stage: Stage,
    /// When it asked for a place.
    pub requested: Time,
    /// Where and when it started.
    pub started: Option<(usize, Time)>,
    /// When it ended.
    pub ended: Option<Time>,
}

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Trace {
    /// All tasks, in the order in which they asked.
    pub tasks: Vec<Task>,
    /// The order in which they started.
    pub grants: Vec<TaskId>,
    /// When each sector was sealed, in that order.
    pub sealed: Vec<(Sector, Time)>,
    /// When it ended: nothing was left to do, or the time was over.
    pub end: Time,
    /// Nothing ran any more and nothing was to come, but tasks waited.
    pub standstill: bool,
    /// Tasks that would have waited for ever.
    pub stuck: Vec<Stuck>,
    /// Who was passed, by stage.
    pub passed: BTreeMap<Stage, Passed>,
    /// How long each place was idle beside a task that it could have run.
    pub idle_beside_waiter: Vec<Duration>,
    /// Events that were worked off.
    pub n_events: usize,
}

/// There is more to simulate than anybody can want.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("more than {0} tasks: nothing holds the supply back")]
pub struct TooMany(pub usize);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// A task ends.
    End(TaskId),
    /// A sector asks for its next place.
    Ask(Sector),
    /// Another sector comes.
    Arrival,
}

/// A sector under way.
struct Way {
    steps: Vec<Step>,
    next: usize,
}

struct Run<'a> {
    experiment: &'a Experiment,
    policy: &'a mut dyn Policy,
    fairness: Fairness,
    /// What is to come; of events at one moment, in the order in which they were foreseen.
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    n_foreseen: u64,
    ways: BTreeMap<Sector, Way>,
    sectors: Sector,
    /// Sectors whose pc1 has not started.
    before_pc1: usize,
    trace: Trace,
}

/// Runs an experiment. Places take as many tasks at once as `capacities` says.
///
/// # Errors
/// [`TooMany`] tasks.
pub fn run(
    experiment: &Experiment,
    policy: &mut dyn Policy,
    capacities: Vec<Option<usize>>,
) -> Result<Trace, TooMany> {
    let mut run = Run {
        experiment,
        policy,
        fairness: Fairness::new(&experiment.site, capacities),
        events: BinaryHeap::new(),
        n_foreseen: 0,
        ways: BTreeMap::new(),
        sectors: 0,
        before_pc1: 0,
        trace: Trace {
            tasks: Vec::new(),
            grants: Vec::new(),
            sealed: Vec::new(),
            end: Time::ZERO,
            standstill: false,
            stuck: Vec::new(),
            passed: BTreeMap::new(),
            idle_beside_waiter: Vec::new(),
            n_events: 0,
        },
    };
    run.begin();
    run.go()?;
    Ok(run.finish())
}

impl Run<'_> {
    fn begin(&mut self) {
        match &self.experiment.supply {
            Supply::Unlimited => {}
            Supply::Every(_) => self.foresee(Time::ZERO, Event::Arrival),
            Supply::Jobs(jobs) => {
                for steps in jobs {
                    self.admit(steps.clone(), Time::ZERO);
                }
            }
        }
    }

    fn go(&mut self) -> Result<(), TooMany> {
        let mut now = Time::ZERO;
        loop {
            while let Some(Reverse((at, _, event))) = self.events.peek().copied()
                && at <= now
            {
                self.events.pop();
                self.trace.n_events += 1;
                self.happen(event, now);
            }
            self.supply(now);
            let (starts, wake) = self.policy.grants(now);
            for start in starts {
                self.start(start.task, start.place, now);
            }
            self.fairness.settle(now);
            if self.is_too_much() {
                return Err(TooMany(self.experiment.max_tasks));
            }
            let next = self.events.peek().map(|Reverse((at, ..))| *at);
            self.trace.end = now;
            let Some(next) = next.into_iter().chain(wake).min() else {
                self.trace.standstill = self.trace.tasks.len() > self.trace.grants.len();
                return Ok(());
            };
            if next > self.experiment.until {
                self.trace.end = self.experiment.until;
                return Ok(());
            }
            now = next;
        }
    }

    fn finish(mut self) -> Trace {
        self.trace.stuck = self.policy.stuck();
        let end = self.trace.end;
        (self.trace.passed, self.trace.idle_beside_waiter) = self.fairness.finish(end);
        self.trace
    }

    fn foresee(&mut self, at: Time, event: Event) {
        self.n_foreseen += 1;
        self.events.push(Reverse((at, self.n_foreseen, event)));
    }

    /// Keeps as many sectors before pc1 as it has slots: whenever some of these come free, there
    /// is one for each.
    fn supply(&mut self, now: Time) {
        if !matches!(self.experiment.supply, Supply::Unlimited) {
            return;
        }
        let wanted = self.experiment.site.width(Stage::Pc1).max(1);
        while self.before_pc1 < wanted && !self.is_too_much() {
            self.before_pc1 += 1;
            self.admit(self.experiment.way.clone(), now);
        }
    }

    fn is_too_much(&self) -> bool {
        self.trace.tasks.len() > self.experiment.max_tasks
    }

    fn admit(&mut self, steps: Vec<Step>, now: Time) {
        self.sectors += 1;
        let sector = self.sectors;
        self.ways.insert(sector, Way { steps, next: 0 });
        self.proceed(sector, now);
    }

    /// A sector turns to its next step, or is sealed.
    fn proceed(&mut self, sector: Sector, now: Time) {
        let Some(way) = self.ways.get(&sector) else { return };
        match way.steps.get(way.next) {
            Some(step) if step.pause.is_zero() => self.ask(sector, now),
            Some(step) => self.foresee(now.saturating_add(step.pause), Event::Ask(sector)),
            None => {
                self.ways.remove(&sector);
                self.policy.leave(sector);
                self.fairness.leave(sector);
                self.trace.sealed.push((sector, now));
            }
        }
    }

    fn ask(&mut self, sector: Sector, now: Time) {
        let Some(way) = self.ways.get(&sector) else { return };
        let (step, stage) = (way.next, way.steps[way.next].stage);
        let task = self.trace.tasks.len();
        self.trace.tasks.push(Task {
            sector,
            step,
            stage,
            requested: now,
            started: None,
            ended: None,
        });
        self.policy.request(task, stage, sector, now);
        self.fairness.request(task, stage, sector);
    }

    fn start(&mut self, task: TaskId, place: usize, now: Time) {
        let Task { sector, step, stage, .. } = self.trace.tasks[task];
        self.fairness.start(task, stage, place, now);
        self.trace.tasks[task].started = Some((place, now));
        self.trace.grants.push(task);
        self.before_pc1 = self.before_pc1.saturating_sub(usize::from(stage == Stage::Pc1));
        let usual = self.ways.get(&sector).map_or(Duration::ZERO, |way| way.steps[step].takes);
        let takes = self.experiment.jitter.apply(usual, sector, step);
        let takes = takes.mul_f64(self.experiment.site.places[place].slowness);
        self.foresee(now.saturating_add(takes), Event::End(task));
    }

    fn happen(&mut self, event: Event, now: Time) {
        match event {
            Event::Ask(sector) => self.ask(sector, now),
            Event::Arrival => {
                self.admit(self.experiment.way.clone(), now);
                if let Supply::Every(interval) = self.experiment.supply {
                    self.foresee(now.saturating_add(interval), Event::Arrival);
                }
            }
            Event::End(task) => {
                let Task { sector, stage, started, .. } = self.trace.tasks[task];
                self.trace.tasks[task].ended = Some(now);
                if let Some((place, _)) = started {
                    self.fairness.end(stage, place);
                }
                self.policy.release(task, now);
                if let Some(way) = self.ways.get_mut(&sector) {
                    way.next += 1;
                }
                self.proceed(sector, now);
            }
        }
    }
}
