// SPDX-License-Identifier: MIT OR Apache-2.0

use std::time::Duration;

use sealpipe_protocol::Stage;

use super::*;
use crate::config::{self, Source};

mod properties;
mod runs;
mod seed;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// An experiment with a configuration without errors, and the built-in profile.
fn experiment(text: &str, days: u32) -> Experiment {
    let profile = Profile::default();
    let parsed = config::parse(&Source::new("test", text));
    let config = parsed.config().expect("the configuration has no errors");
    Experiment {
        site: Site::new(&config.processors, &profile),
        written: Written::read(text),
        supply: Supply::Unlimited,
        way: sector(&profile, &[]),
        jitter: Jitter::default(),
        until: DAY * days,
        max_tasks: MAX_TASKS,
    }
}
