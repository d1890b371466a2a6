// SPDX-License-Identifier: MIT OR Apache-2.0

//! The smallest processor: `echo`. It also prints to stdout, as libraries do, to show that no frame
//! is harmed. With ECHO_WARM_UP_MS in the environment it takes so long to get ready, as who loads something.

use std::{process::ExitCode, time::Duration};

use sealpipe_protocol::{
    Code, Stage, TaskError,
    method::{Identity, InitializeParams, StageOffer},
    serve::{self, Done, Processor, Progress, TaskContext},
    stage::{
        Job,
        echo::{Failure, Output, Params},
    },
};

struct Echo;

/// How long to get ready, where that is asked for.
fn warm_up_time() -> Option<Duration> {
    let text = std::env::var("ECHO_WARM_UP_MS").ok()?;
    text.parse().ok().map(Duration::from_millis)
}

impl Processor for Echo {
    fn identity(&self) -> Identity {
        Identity { name: "echo".into(), version: env!("CARGO_PKG_VERSION").into() }
    }

    fn offers(&self, _: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        Ok(vec![serve::offer(Stage::Echo, 2)])
    }

    fn warming(&self) -> Option<String> {
        warm_up_time().map(|time| format!("waiting for {time:?}"))
    }

    fn warm_up(&self) -> Result<(), TaskError> {
        match warm_up_time() {
            Some(Duration::ZERO) => Err(TaskError::new(Code::ResourceExhausted, "no time")),
            time => {
                std::thread::sleep(time.unwrap_or_default());
                Ok(())
            }
        }
    }

    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError> {
        println!("a library prints");
        match job {
            Job::Echo(params) => echo(params, task),
            other => Err(TaskError::new(
                Code::UnsupportedStage,
                format!("`{}` is not served here", other.stage()),
            )),
        }
    }
}

fn echo(params: Params, task: &TaskContext) -> Result<Done, TaskError> {
    for tick in 0..params.ticks {
        task.wait_stop(Duration::from_millis(params.interval_ms));
        task.check_stop()?;
        task.progress(Progress {
            phase: "echo".into(),
            done: tick + 1,
            total: params.ticks,
            unit: "ticks".into(),
            checkpoint: None,
        });
    }
    match params.fail {
        None => Ok(Done::new(&Output { payload: params.payload })),
        Some(Failure::Temporary) => Err(TaskError::new(Code::ResourceExhausted, "as asked")),
        Some(Failure::Permanent) => Err(TaskError::new(Code::InvalidInput, "as asked")),
        Some(Failure::Panic) => panic!("as asked"),
    }
}

fn main() -> ExitCode {
    serve::serve(Echo)
}
