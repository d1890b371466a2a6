// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is to be sealed: which sectors come when, and what each goes through.

use std::time::Duration;

use sealpipe_protocol::Stage;

use super::{profile::Profile, random::Random};
use crate::{pipeline::steps::STAGES, scheduler::Sector};

/// How sectors come.
#[derive(Clone, Debug)]
pub enum Supply {
    /// There is always another: as many wait before pc1 as it has slots.
    Unlimited,
    /// One after each such interval.
    Every(Duration),
    /// These, all at the beginning.
    Jobs(Vec<Vec<Step>>),
}

/// One task on a sector's way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    /// Its stage.
    pub stage: Stage,
    /// How long it waits for the chain before it asks for a place.
    pub pause: Duration,
    /// How long it takes on a usual processor.
    pub takes: Duration,
}

/// A sector's way, by a profile. A stage for which a ready file stands in takes no part.
pub fn sector(profile: &Profile, ready: &[Stage]) -> Vec<Step> {
    let stages = STAGES.iter().copied().filter(|stage| !ready.contains(stage));
    let step = |stage| Step {
        stage,
        pause: if stage == Stage::C1 { profile.wait_seed } else { Duration::ZERO },
        takes: profile.stage(stage).takes,
    };
    stages.map(step).collect()
}

/// Seeded variation of durations.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jitter {
    /// A task takes up to this part longer or shorter, evenly.
    pub part: f64,
    /// The seed.
    pub seed: u64,
}

impl Jitter {
    /// What a step of a sector takes. The same sector's step takes the same in every run with this
    /// seed, whoever decides.
    pub fn apply(&self, takes: Duration, sector: Sector, step: usize) -> Duration {
        if self.part == 0.0 {
            return takes;
        }
        let unit = Random::new(self.seed, &[sector, step as u64]).unit();
        takes.mul_f64(1.0 + self.part * (2.0 * unit - 1.0))
    }
}
