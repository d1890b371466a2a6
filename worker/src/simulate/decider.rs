// SPDX-License-Identifier: MIT OR Apache-2.0

//! The policies by name, and a run with one of them.

use std::{fmt, str::FromStr};

use super::{
    damocles::{Damocles, Newcomers},
    engine::{self, Experiment, TooMany, Trace},
    policy::{Policy, Sealpipe},
    report::Report,
    site::{Site, SitePlace},
};
use crate::scheduler;

/// Who decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Decider {
    /// The worker's scheduler, as the configuration sets it.
    Sealpipe,
    /// The worker's scheduler, oldest tasks first.
    Fifo,
    /// A model of damocles-worker 0.13: who just comes and who waits have the same chance.
    Damocles,
    /// The same where who just comes always passes who waits: the worst that its channels allow.
    DamoclesWorst,
    /// The same where who just comes never passes who waits on the same entry.
    DamoclesBest,
}

/// The names, for help and errors.
pub const DECIDERS: [Decider; 5] = [
    Decider::Sealpipe,
    Decider::Fifo,
    Decider::Damocles,
    Decider::DamoclesWorst,
    Decider::DamoclesBest,
];

impl Decider {
    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealpipe => "sealpipe",
            Self::Fifo => "fifo",
            Self::Damocles => "damocles",
            Self::DamoclesWorst => "damocles-worst",
            Self::DamoclesBest => "damocles-best",
        }
    }

    fn policy(self, site: &Site, seed: u64) -> Box<dyn Policy> {
        let damocles =
            |newcomers| -> Box<dyn Policy> { Box::new(Damocles::new(site, newcomers, seed)) };
        match self {
            Self::Sealpipe => Box::new(Sealpipe::new(site, site.rules.policy)),
            Self::Fifo => Box::new(Sealpipe::new(site, scheduler::Policy::Fifo)),
            Self::Damocles => damocles(Newcomers::Random),
            Self::DamoclesWorst => damocles(Newcomers::First),
            Self::DamoclesBest => damocles(Newcomers::Last),
        }
    }

    fn is_damocles(self) -> bool {
        !matches!(self, Self::Sealpipe | Self::Fifo)
    }

    /// Tasks at once by place. damocles bounds only what has `concurrent`.
    fn capacities(self, site: &Site) -> Vec<Option<usize>> {
        let bound = |place: &SitePlace| match self.is_damocles() {
            true => place.concurrent,
            false => Some(place.slots),
        };
        site.places.iter().map(bound).collect()
    }

    /// Runs an experiment, and what it means.
    ///
    /// # Errors
    /// [`TooMany`] tasks.
    pub fn run(self, experiment: &Experiment) -> Result<(Trace, Report), TooMany> {
        let mut experiment = experiment.clone();
        if self.is_damocles() {
            experiment.site = experiment.written.as_damocles(experiment.site);
        }
        let experiment = &experiment;
        let capacities = self.capacities(&experiment.site);
        let mut policy = self.policy(&experiment.site, experiment.jitter.seed);
        let trace = engine::run(experiment, policy.as_mut(), capacities.clone())?;
        let report = Report::new(experiment, &trace, &capacities);
        Ok((trace, report))
    }
}

impl fmt::Display for Decider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Decider {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        DECIDERS.into_iter().find(|decider| decider.name() == name).ok_or_else(|| {
            let names: Vec<_> = DECIDERS.iter().map(|decider| decider.name()).collect();
            format!("no policy is called {name:?}, expected {}", names.join(", "))
        })
    }
}
