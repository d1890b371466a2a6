// SPDX-License-Identifier: MIT OR Apache-2.0

//! A configuration in virtual time: what it seals in a month, who waits how long, and for what.
//!
//! Discrete events with the worker's own [`scheduler`](crate::scheduler), or with a model of
//! damocles' for comparison; durations come from a [`Profile`]. Pure: the same experiment gives the
//! same bytes. It starts nothing and knows nothing of processes that fail.

mod change;
mod damocles;
mod decider;
mod engine;
mod fairness;
mod measured;
mod page;
mod policy;
mod profile;
mod random;
mod report;
mod series;
mod site;
mod supply;
mod verdict;
mod written;

pub use self::{
    change::apply,
    damocles::{Damocles, Newcomers},
    decider::{DECIDERS, Decider},
    engine::{Experiment, MAX_TASKS, Task, TooMany, Trace, run},
    fairness::Passed,
    measured::measured,
    page::{PageRun, page},
    policy::{Policy, Sealpipe, Start, Stuck, TaskId},
    profile::{Profile, StageProfile},
    random::Random,
    report::{
        InFlight, LockReport, PlaceReport, Report, STARVED_AFTER, StageReport, Waits, waiting,
    },
    series::Level,
    site::{Site, SiteLock, SitePlace},
    supply::{Jitter, Step, Supply, sector},
    verdict::{at_most, list},
    written::Written,
};

#[cfg(test)]
mod tests;
