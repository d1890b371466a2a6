// SPDX-License-Identifier: MIT OR Apache-2.0

//! `echo`: gives its payload back, as slowly and as badly as asked.

use std::{thread, time::Duration};

use sealpipe_protocol::{
    Class, Code, TaskError,
    stage::echo::{Failure, Output, Params},
};

use crate::report::Reporter;

/// Runs the stage.
///
/// # Errors
/// The one that was asked for.
///
/// # Panics
/// When that was asked for.
pub fn run(params: &Params, reporter: &Reporter) -> Result<Output, TaskError> {
    for tick in 1..=params.ticks {
        thread::sleep(Duration::from_millis(params.interval_ms));
        reporter.progress("echo", tick, params.ticks, "ticks");
    }
    let failed =
        |class| TaskError::new(Code::InternalError, "the task asked for this failure").class(class);
    match params.fail {
        None => Ok(Output { payload: params.payload.clone() }),
        Some(Failure::Temporary) => Err(failed(Class::Temporary)),
        Some(Failure::Permanent) => Err(failed(Class::Permanent)),
        Some(Failure::Panic) => panic!("the task asked for this panic"),
    }
}
