// SPDX-License-Identifier: MIT OR Apache-2.0

//! Processors that speak the line protocol of vc-processors: found by their first line, started
//! again with what the worker does for them, and given tasks in damocles' shapes.
//!
//! Such a process cannot be told to pin itself, to stop a task or to say how far it is. So the worker
//! pins it before it executes the program, ends it to cancel a task, and bounds a task as a whole.
//! What crosses the pipe is in [`sealpipe_protocol::legacy`]; here [`task`] translates, without I/O,
//! [`files`] puts the files where the other side expects them, and [`session`] talks.

mod files;
mod session;
mod task;

use std::sync::Arc;

use sealpipe_protocol::{
    Stage, Version, legacy,
    method::{Identity, StageOffer},
};
use tokio::time::timeout;

pub use self::session::Session;
use super::{
    ProcessorSpec, StartError,
    child::{Child, describe_exit},
    connection::{Connection, Dialect},
    handshake::{Failure, Started, cannot_run, check_placement},
    spec::Name,
};
use crate::{config::Pinning, event::Observer};

/// How such a processor is called: it has no name of its own.
const NAME: &str = "legacy vc-processors";

/// Tasks at a time where the entry has no limit: what damocles reckons with.
const UNLIMITED_CONCURRENT: u32 = 64;

/// Starts the process of an entry and waits for its first line. A process that does not say it is
/// killed.
pub async fn start(
    spec: &ProcessorSpec,
    name: &Name,
    observer: &Observer,
) -> Result<Started, StartError> {
    let spec = placed(spec);
    let (mut child, stdin, stdout) =
        Child::spawn(&spec, name, Dialect::Legacy).map_err(|error| cannot_run(&spec, &error))?;
    let session = Arc::new(Session::new(&spec, name, stdin, stdout, observer.clone()));
    let (message, hint) = match timeout(spec.stable_wait, session.ready()).await {
        Ok(Ok(())) => match served(&spec).and_then(|()| check_placement(&spec, &child)) {
            Ok(()) => {
                let identity = Identity { name: NAME.to_owned(), version: String::new() };
                let offer = offer(spec.id.stage);
                let link = Connection::legacy(session);
                return Ok(Started { child, link, identity, offer });
            }
            Err(failure) => failure,
        },
        Ok(Err(why)) => {
            let status = timeout(super::handshake::EXIT_AFTER_EOF, child.wait()).await;
            let how = status.map_or(why, |status| format!("it {}", describe_exit(status.ok())));
            (format!("{how} before it said {:?}", legacy::ready_line(spec.id.stage)), None)
        }
        Err(_) => {
            let waited = humantime::format_duration(spec.stable_wait);
            let line = legacy::ready_line(spec.id.stage);
            (
                format!("it said {line:?} once, and not again in {waited}"),
                Some("where it needs longer, raise the entry's `stable_wait`".to_owned()),
            )
        }
    };
    child.kill().await;
    let last_words = child.last_words().await;
    Err(StartError { processor: spec.id.to_string(), message, hint, last_words })
}

/// The spec of a process that nobody can tell to pin itself.
fn placed(spec: &ProcessorSpec) -> ProcessorSpec {
    let pinning = match spec.pinning {
        Pinning::Processor | Pinning::Worker => Pinning::Worker,
        Pinning::Off => Pinning::Off,
    };
    ProcessorSpec { pinning, ..spec.clone() }
}

fn served(spec: &ProcessorSpec) -> Result<(), Failure> {
    let stage = spec.id.stage;
    if legacy::STAGES.contains(&stage) {
        return Ok(());
    }
    Err((
        format!("it speaks the line protocol of vc-processors, which has no tasks of `{stage}`"),
        Some("docs/legacy.md lists the stages that it has".to_owned()),
    ))
}

fn offer(stage: Stage) -> StageOffer {
    StageOffer {
        stage: stage.name().to_owned(),
        schema_version: Version::V1_0,
        max_concurrent: UNLIMITED_CONCURRENT,
        device: None,
        implementation: None,
    }
}
