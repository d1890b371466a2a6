// SPDX-License-Identifier: MIT OR Apache-2.0

//! One run with an honest processor, which is looked at by many checks and made once.

use std::sync::Arc;

use super::{
    record::Seen,
    script::{Act, Life},
    site::{self, Ended, Setting},
};
use crate::{
    bench::Bench,
    check::{Failure, Verdict},
};

/// The run. The processor is in no hurry, so that what a worker says too early can be seen, and how
/// long it waits.
pub fn run(bench: &Bench) -> Verdict<Arc<Ended>> {
    let quiet = u64::try_from(bench.limits.quiet().as_millis()).unwrap_or(u64::MAX);
    let life = Life {
        start: vec![Act::Sleep(quiet)],
        initialize: vec![Act::Sleep(quiet), Act::Mark("answers".into()), Act::Answer],
        eof: vec![Act::SleepOfGrace(40), Act::Mark("stopped".into()), Act::Exit(None)],
        // One that is told to end too early lives on all the same, and sees the rest.
        term: Vec::new(),
        ..Life::default()
    };
    let made = bench.ordinary.get_or_init(|| {
        let ended = site::run(bench, &Setting::new([life]))?;
        Ok(Arc::new(ended))
    });
    made.clone()
}

/// The first process of the run.
pub fn life(bench: &Bench) -> Verdict<Seen> {
    let ended = run(bench)?;
    let life = ended.lives.first().cloned();
    life.ok_or_else(|| Failure::Broken(format!("starts no processor: {}", ended.how())))
}
