// SPDX-License-Identifier: MIT OR Apache-2.0

//! Checks of a worker: what it says and does is looked at from a processor's side.
//!
//! `sealpipe-conformance worker -- COMMAND …` starts the worker as often as it likes and has it run
//! one task, or a few. Placeholders in its command line say what it needs to know: above all
//! `{processor}`, a program that it has to start as its processor. That is this suite in another
//! mode ([`hostile`]), which does what the check's [`script`] says and writes down what it sees.
//!
//! Reading order: [`script`] (what the processor does), [`site`] (a run), [`record`] (what was seen),
//! then the checks, a file per section of the specification; [`hostile`] is the processor.

pub mod hostile;
pub mod record;
pub mod script;
pub mod site;

mod deaths;
mod envelope;
mod errors;
mod initialize;
mod ordinary;
mod placement;
mod progress;
mod shutdown;
mod tasks;
mod transport;

use std::ffi::OsString;

use crate::check::{Check, Failure, Verdict};

/// The checks of a worker, in the order of their ids.
pub fn checks() -> Vec<Check> {
    let all = [
        transport::CHECKS,
        envelope::CHECKS,
        initialize::CHECKS,
        placement::CHECKS,
        tasks::CHECKS,
        progress::CHECKS,
        shutdown::CHECKS,
        deaths::CHECKS,
        errors::CHECKS,
    ];
    all.concat()
}

/// Whether a worker can be told by this command line what it has to start.
///
/// # Errors
/// [`Failure::Broken`], with what is missing.
pub fn understands(command: &[OsString], stage: &str) -> Verdict {
    if !hostile::STAGES.contains(&stage) {
        let stages = hostile::STAGES.join(", ");
        let text = format!("a worker is tested by {stages}, got `{stage}`");
        return Err(Failure::Broken(text));
    }
    if ["{processor}", "{config}"].iter().any(|name| site::has(command, name)) {
        return Ok(());
    }
    Err(Failure::Broken(
        "the worker has to start this suite's processor: say `{processor}` or `{config}` where its \
         command line names the program or the configuration"
            .into(),
    ))
}
