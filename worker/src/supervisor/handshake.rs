// SPDX-License-Identifier: MIT OR Apache-2.0

//! The first words with a process that was just started.

use std::{sync::Arc, time::Duration};

use sealpipe_protocol::{
    TaskError, Version,
    method::{
        Identity, Initialize, InitializeParams, InitializeResult, Placement, StageOffer,
        WorkerLimits,
    },
    peer::{CallError, Closed},
};
use tokio::{sync::Notify, time::timeout};

use super::{
    ProcessorSpec,
    child::{Child, describe_exit},
    connection::{Connection, Dialect},
    legacy,
    link::Link,
    observed,
    spec::Name,
};
use crate::{
    config::{Device, Pinning},
    event::Observer,
};

/// Lines of rubbish before the answer to `initialize` after which nothing good is expected.
const RUBBISH_LINES: u32 = 20;

/// What is said of a program that prints something else.
const NO_PROCESSOR: &str = "stdout carries messages only; is it a processor of this protocol?";

/// How long the process may take to be gone once its stdout ended.
pub(super) const EXIT_AFTER_EOF: Duration = Duration::from_secs(1);

/// Why a processor could not be started: one message with a hint, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("processor {processor}: {message}")]
pub struct StartError {
    /// The entry.
    pub processor: String,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The last lines of its stderr.
    pub last_words: Vec<String>,
}

/// A process that answered.
pub struct Started {
    pub child: Child,
    pub link: Connection,
    pub identity: Identity,
    pub offer: StageOffer,
}

/// Starts the process of an entry and exchanges the first words with it, in the dialect that it is
/// known for or turns out to speak. A process that does not answer well is killed.
pub async fn start(
    spec: &ProcessorSpec,
    name: &Name,
    dialect: &mut Dialect,
    observer: &Observer,
) -> Result<Started, StartError> {
    if *dialect == Dialect::Legacy {
        let started = legacy::start(spec, name, observer).await;
        if started.is_err() {
            // Another program may stand there now.
            *dialect = Dialect::Protocol;
        }
        return started;
    }
    let (mut child, stdin, stdout) =
        Child::spawn(spec, name, Dialect::Protocol).map_err(|error| cannot_run(spec, &error))?;
    let rubbish = Arc::new(Notify::new());
    let link = Arc::new(Link::new(spec, name, stdin, stdout, observer.clone(), rubbish.clone()));
    let word = first_word(spec);
    let failure = tokio::select! {
        // In this order: rubbish that comes together with the answer, and after it, is no reason.
        biased;
        answered = timeout(spec.stable_wait, link.peer().request::<Initialize>(&word)) => {
            match answered {
                Ok(Ok(result)) => {
                    link.agree_on(&result.limits);
                    match check(spec, &child, result) {
                        Ok((identity, offer)) => {
                            let link = Connection::protocol(link);
                            return Ok(Started { child, link, identity, offer });
                        }
                        Err(failure) => failure,
                    }
                }
                Ok(Err(error)) => failed_call(error, &mut child, &link).await,
                Err(_) => not_answered(spec, &link),
            }
        }
        () = rubbish_heard(&link, &rubbish) => rubbish_failure(&link),
    };
    child.kill().await;
    if link.is_legacy() {
        // From the start again: what is done for it is done before the program runs.
        let started = legacy::start(spec, name, observer).await;
        *dialect = if started.is_ok() { Dialect::Legacy } else { Dialect::Protocol };
        return started;
    }
    let (message, hint) = failure;
    let last_words = child.last_words().await;
    Err(StartError { processor: spec.id.to_string(), message, hint, last_words })
}

/// What happened, and what to do next.
pub type Failure = (String, Option<String>);

fn first_word(spec: &ProcessorSpec) -> InitializeParams {
    let placement = match spec.pinning {
        Pinning::Processor => spec.placement.clone(),
        Pinning::Worker | Pinning::Off => {
            Placement { gpus: spec.placement.gpus.clone(), ..Placement::default() }
        }
    };
    InitializeParams {
        protocol_versions: Version::SUPPORTED.to_vec(),
        worker: Identity { name: "sealpipe".into(), version: env!("CARGO_PKG_VERSION").into() },
        entry: Some(spec.id.to_string()),
        limits: WorkerLimits {
            concurrent: spec.concurrent.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
            grace_ms: crate::event::millis(spec.grace),
            ..WorkerLimits::default()
        },
        placement,
        capabilities: Default::default(),
    }
}

pub(super) fn cannot_run(spec: &ProcessorSpec, error: &std::io::Error) -> StartError {
    let program = spec.program.bin.display();
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => "check the entry's `bin`, or that it is on the PATH",
        std::io::ErrorKind::PermissionDenied => "is it executable, and its directory readable?",
        std::io::ErrorKind::InvalidInput => {
            "the cpus of `cgroup.cpuset` and the node of `numa_preferred` have to exist, and the \
             worker's own control group has to have them"
        }
        _ => "is it a program of this machine's architecture?",
    };
    StartError {
        processor: spec.id.to_string(),
        message: format!("cannot run {program}: {error}"),
        hint: Some(hint.to_owned()),
        last_words: Vec::new(),
    }
}

/// Whether what was answered is what was asked for.
fn check(
    spec: &ProcessorSpec,
    child: &Child,
    result: InitializeResult,
) -> Result<(Identity, StageOffer), Failure> {
    let version = result.protocol_version;
    if !Version::SUPPORTED.contains(&version) {
        return Err((format!("it chose protocol {version}, which was not offered"), None));
    }
    let stage = spec.id.stage;
    let offered: Vec<_> = result.stages.iter().map(|offer| offer.stage.clone()).collect();
    let Some(offer) = result.stages.into_iter().find(|offer| offer.stage == stage.name()) else {
        return Err((
            format!("it does not serve `{stage}`, but {}", offered.join(", ")),
            Some(format!("another program belongs under [[processors.{stage}]]")),
        ));
    };
    if offer.schema_version.major != Version::V1_0.major {
        let version = offer.schema_version;
        return Err((format!("it reads `{stage}` in version {version}, and 1.0 is needed"), None));
    }
    if offer.max_concurrent == 0 {
        return Err((format!("it offers to run 0 tasks of `{stage}` at a time"), None));
    }
    check_device(spec, &offer)?;
    check_placement(spec, child)?;
    Ok((result.processor, offer))
}

fn check_device(spec: &ProcessorSpec, offer: &StageOffer) -> Result<(), Failure> {
    match (spec.device, offer.device.as_deref()) {
        (Some(Device::Cuda), Some("cpu")) => Err((
            format!("it computes `{}` on the cpu, and the entry means a GPU", spec.id.stage),
            Some(
                "with `device = \"cpu\"` the entry takes the cpu, which is much slower".to_owned(),
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_placement(spec: &ProcessorSpec, child: &Child) -> Result<(), Failure> {
    if spec.pinning == Pinning::Off {
        return Ok(());
    }
    match observed::mismatch(child.pid(), &spec.placement) {
        None => Ok(()),
        Some(mismatch) => Err((
            format!("it does not run where it was told to: {mismatch}"),
            Some(
                "a program that cannot pin itself needs `pinning = \"worker\"` in its entry"
                    .to_owned(),
            ),
        )),
    }
}

async fn failed_call(error: CallError, child: &mut Child, link: &Link) -> Failure {
    match error {
        CallError::Answered(TaskError { message, data, .. }) => (message, data.hint),
        CallError::Closed(Closed::Eof) => {
            let status = timeout(EXIT_AFTER_EOF, child.wait()).await;
            let how = match status {
                Ok(status) => describe_exit(status.ok()),
                Err(_) => "closed its stdout".to_owned(),
            };
            let said = link.first_oddity().map(|odd| format!("; it said {odd}"));
            let message =
                format!("it {how} before it answered `initialize`{}", said.unwrap_or_default());
            (message, Some("run the program by hand to see what it needs".to_owned()))
        }
        other => (other.to_string(), None),
    }
}

fn not_answered(spec: &ProcessorSpec, link: &Link) -> Failure {
    if let Some(odd) = link.first_oddity() {
        return (
            format!(
                "it printed what is no message and did not answer `initialize` in {}: {odd}",
                humantime::format_duration(spec.stable_wait)
            ),
            Some(NO_PROCESSOR.to_owned()),
        );
    }
    (
        format!(
            "it did not answer `initialize` in {}",
            humantime::format_duration(spec.stable_wait)
        ),
        Some(
            "is it a processor? Where it needs longer, raise the entry's `stable_wait`".to_owned(),
        ),
    )
}

async fn rubbish_heard(link: &Link, rubbish: &Notify) {
    while link.oddities() < RUBBISH_LINES && !link.is_legacy() {
        rubbish.notified().await;
    }
}

fn rubbish_failure(link: &Link) -> Failure {
    let odd = link.first_oddity().unwrap_or_default();
    (format!("it prints what is no message on its stdout: {odd}"), Some(NO_PROCESSOR.to_owned()))
}
