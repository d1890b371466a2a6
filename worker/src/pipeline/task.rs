// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a task through the fleet until it has its result.

use std::{future::Future, sync::Arc, time::Duration};

use sealpipe_protocol::{
    Code, Stage, TaskError, TaskId, Version,
    method::{TaskProgress, TaskRunParams, TaskRunResult},
    stage::Job,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{sleep, timeout};

use super::{
    parameters::ParametersError,
    retry::{MAX_TEMPORARY, MAX_TEMPORARY_UNATTENDED, Tries, Verdict},
    store::StoreError,
};
use crate::{
    config::static_tree_d::StaticTreeD,
    event::{Event, Observer, millis},
    fleet::{Fleet, Journey, Patience, Slot},
    scheduler::PlaceId,
    supervisor::{Condemned, Lost, Ready, StartError, State},
};

/// How long a process that lost a task may take to be seen dead.
const SEEN_DEAD_WITHIN: Duration = Duration::from_secs(5);

/// Why a sector does not go on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// A stage failed for good.
    #[error("stage `{stage}` failed: {error}")]
    Stage {
        /// The stage.
        stage: Stage,
        /// What its processor said last.
        error: TaskError,
        /// Whether the sector's work is of no use any more.
        drop_work: bool,
    },
    /// A stage has no processor.
    #[error("{0}")]
    Start(Arc<StartError>),
    /// The sector's directory cannot be written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The proof's parameters are not there and cannot be made.
    #[error("{0}")]
    Parameters(#[from] ParametersError),
    /// The processors are being stopped; whoever comes next goes on.
    #[error("the processors are being stopped")]
    Stopping,
}

/// A task as the fleet runs it.
pub struct Task<'a> {
    /// The sector's name.
    pub sector: &'a str,
    /// Its id, stable over its tries.
    pub id: TaskId,
    /// The sector's way through its stages, if it is on one.
    pub journey: Option<&'a Journey>,
    /// What is to be done.
    pub job: Job,
}

/// Whose task it is: numbers its tries, remembers what has become of them, reads the answer.
pub trait Owner: Send {
    /// A try begins at a processor. Gives its number, which is written down first: it is never used
    /// twice, whatever happens.
    fn begin(&mut self, processor: &str) -> impl Future<Output = Result<u32, DriveError>> + Send;

    /// What has become of the tries so far.
    fn tries(&self) -> Tries;

    /// Remembers what has become of them.
    fn lost(&mut self, tries: Tries) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// Reads the answer.
    ///
    /// # Errors
    /// It does not fit: the processor is defective.
    fn accept(&mut self, result: &TaskRunResult) -> Result<(), TaskError>;
}

/// What drives sectors.
#[derive(Clone)]
pub struct Driver {
    /// The processors.
    pub fleet: Arc<Fleet>,
    /// Who wants to know.
    pub observer: Observer,
    /// How long to keep trying.
    pub patience: Patience,
    /// Ready tree-d files for sectors without data.
    pub static_tree_d: StaticTreeD,
}

impl Driver {
    /// The driver of a command that runs single tasks.
    pub fn attended(fleet: Arc<Fleet>, observer: &Observer) -> Self {
        let observer = observer.clone();
        let static_tree_d = StaticTreeD::default();
        Self { fleet, observer, patience: Patience::UntilGivenUp, static_tree_d }
    }

    /// Waits for a place for a task of a stage.
    ///
    /// # Errors
    /// [`DriveError::Start`], or [`DriveError::Stopping`].
    pub async fn place(
        &self,
        stage: Stage,
        journey: Option<&Journey>,
        avoid: Option<PlaceId>,
    ) -> Result<Slot, DriveError> {
        self.fleet.slot(stage, journey, avoid).await.map_err(|error| {
            match self.fleet.is_stopping() {
                true => DriveError::Stopping,
                false => DriveError::Start(error),
            }
        })
    }
}

/// Runs a task until it has a result: waits for a place unless it comes with one, runs it there, and
/// again elsewhere when its process dies.
///
/// # Errors
/// [`DriveError`].
pub async fn run_task(
    driver: &Driver,
    task: &Task<'_>,
    mut place: Option<Slot>,
    owner: &mut impl Owner,
) -> Result<Answer, DriveError> {
    let stage = task.job.stage();
    let failed = |error| DriveError::Stage { stage, error, drop_work: false };
    let params = task.job.to_raw().map_err(failed)?;
    let mut avoid: Option<PlaceId> = None;
    loop {
        let slot = match place.take() {
            Some(slot) => slot,
            None => driver.place(stage, task.journey, avoid).await?,
        };
        let State::Ready(ready) = slot.processor().state().borrow().clone() else {
            // It died between the grant and here, and the scheduler is about to hear of it.
            drop(slot);
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let processor = slot.processor().id().to_string();
        let attempt = owner.begin(&processor).await?;
        let now = Try { driver, task, slot, ready, processor, attempt };
        match now.run(params.clone(), owner).await {
            Ok(resumed_from) => {
                let Try { slot, processor, attempt, .. } = now;
                return Ok(Answer { attempt, processor, resumed_from, place: slot });
            }
            Err(lost) => avoid = now.lost(lost, owner).await?,
        }
    }
}

/// How a task ended well.
pub struct Answer {
    /// The number of the try.
    pub attempt: u32,
    /// Who ran it.
    pub processor: String,
    /// What it did not have to repeat.
    pub resumed_from: Option<String>,
    /// Its place. It is kept until this is dropped: whoever tells that the task has ended does so before
    /// anybody else begins there.
    pub place: Slot,
}

/// One try of a task.
struct Try<'a> {
    driver: &'a Driver,
    task: &'a Task<'a>,
    slot: Slot,
    ready: Ready,
    processor: String,
    attempt: u32,
}

impl Try<'_> {
    /// Runs the task. Gives what it did not have to repeat.
    async fn run(
        &self,
        params: Box<RawValue>,
        owner: &mut impl Owner,
    ) -> Result<Option<String>, Lost> {
        let Self { driver, task, ready, attempt, .. } = self;
        let stage = task.job.stage();
        driver.observer.tell(&Event::StageStarted {
            sector: task.sector.to_owned(),
            stage,
            processor: self.processor.clone(),
            pid: ready.pid,
            attempt: *attempt,
        });
        let params = TaskRunParams {
            task_id: task.id.clone(),
            attempt: *attempt,
            stage: stage.name().to_owned(),
            schema_version: Version::V1_0,
            params,
        };
        let report = progress_report(task.sector, stage, &driver.observer);
        let result = ready.link.run(&params, report).await?;
        owner.accept(&result).map_err(Lost::Failed)?;
        Ok(result.resumed_from)
    }

    /// Judges the loss, and waits as long as is judged. Gives the place to avoid.
    async fn lost(self, lost: Lost, owner: &mut impl Owner) -> Result<Option<PlaceId>, DriveError> {
        let Self { driver, task, slot, ready, attempt, .. } = self;
        if matches!(lost, Lost::Gone(_)) {
            seen_dead(&slot, ready.pid).await;
        }
        if driver.fleet.is_stopping() {
            return Err(DriveError::Stopping);
        }
        let mut tries = owner.tries();
        let most_temporary = match driver.patience {
            Patience::Endless => MAX_TEMPORARY_UNATTENDED,
            Patience::UntilGivenUp => MAX_TEMPORARY,
        };
        let verdict = tries.next(&lost, most_temporary);
        let reason = lost.to_string();
        if let Verdict::Again { condemn: true, .. } = verdict {
            // Before its place is given back: nobody else is to get it.
            let message = format!("its task {} failed critically: {reason}", task.id);
            slot.processor().condemn(Condemned { message, hint: hint(&lost) });
        }
        let verdict = as_told(driver.patience, verdict);
        let (sector, stage, pid) = (task.sector.to_owned(), task.job.stage(), Some(ready.pid));
        // Told before anybody else begins there.
        driver.observer.tell(&match verdict {
            Verdict::Stop { .. } => Event::StageFailed { sector, stage, attempt, pid, reason },
            Verdict::Again { delay, .. } => {
                let delay_ms = millis(delay);
                Event::StageRetried { sector, stage, attempt, pid, delay_ms, reason }
            }
        });
        let place = slot.place();
        drop(slot);
        owner.lost(tries).await?;
        match verdict {
            Verdict::Stop { drop_work } => {
                Err(DriveError::Stage { stage, error: as_error(lost), drop_work })
            }
            Verdict::Again { delay, elsewhere, .. } => {
                sleep(delay).await;
                Ok(elsewhere.then_some(place))
            }
        }
    }
}

/// Somebody who waits at a terminal is told at once what a critical error says.
fn as_told(patience: Patience, verdict: Verdict) -> Verdict {
    match (patience, verdict) {
        (Patience::UntilGivenUp, Verdict::Again { condemn: true, .. }) => {
            Verdict::Stop { drop_work: false }
        }
        _ => verdict,
    }
}

/// The id of a sector's stage.
///
/// # Errors
/// A name that makes it too long.
pub fn task_id(sector: &str, stage: Stage) -> Result<TaskId, TaskError> {
    TaskId::try_from(format!("{sector}/{stage}"))
        .map_err(|error| TaskError::new(Code::InvalidParams, error))
}

/// The owner of a task that nobody remembers: its tries are counted from 1.
pub struct Passing<T> {
    stage: Stage,
    attempts: u32,
    tries: Tries,
    /// The answer.
    pub output: Option<T>,
}

impl<T> Passing<T> {
    /// The owner of a task of a stage that has not begun.
    pub fn new(stage: Stage) -> Self {
        Self { stage, attempts: 0, tries: Tries::default(), output: None }
    }
}

impl<T: DeserializeOwned + Send> Owner for Passing<T> {
    async fn begin(&mut self, _: &str) -> Result<u32, DriveError> {
        self.attempts += 1;
        Ok(self.attempts)
    }

    fn tries(&self) -> Tries {
        self.tries
    }

    async fn lost(&mut self, tries: Tries) -> Result<(), DriveError> {
        self.tries = tries;
        Ok(())
    }

    fn accept(&mut self, result: &TaskRunResult) -> Result<(), TaskError> {
        let output = serde_json::from_str(result.output.get());
        self.output = Some(output.map_err(|error| unfit(self.stage, &error.to_string()))?);
        Ok(())
    }
}

/// An answer that does not fit its stage.
pub(crate) fn unfit(stage: Stage, what: &str) -> TaskError {
    let message = format!("the answer of `{stage}` does not fit: {what}");
    TaskError::new(Code::VerificationFailed, message)
        .hint("the processor is defective; `sealpipe-conformance` shows where")
}

fn progress_report(
    sector: &str,
    stage: Stage,
    observer: &Observer,
) -> Arc<crate::supervisor::TaskReport> {
    let sector = sector.to_owned();
    let observer = observer.clone();
    Arc::new(move |progress: &TaskProgress| {
        observer.tell(&Event::StageProgress {
            sector: sector.clone(),
            stage,
            phase: progress.phase.clone(),
            done: progress.done,
            total: progress.total,
            unit: progress.unit.clone(),
            checkpoint: progress.checkpoint.clone(),
        });
    })
}

/// Waits until a process that lost its task is seen dead, so that its place is not given out again.
async fn seen_dead(slot: &Slot, pid: i32) {
    let mut state = slot.processor().state();
    let other = |state: &State| !matches!(state, State::Ready(ready) if ready.pid == pid);
    let _ = timeout(SEEN_DEAD_WITHIN, state.wait_for(other)).await;
}

fn hint(lost: &Lost) -> Option<String> {
    match lost {
        Lost::Failed(error) => error.data.hint.clone(),
        Lost::Gone(_) | Lost::Stalled(_) => None,
    }
}

fn as_error(lost: Lost) -> TaskError {
    match lost {
        Lost::Failed(error) => error,
        other => TaskError::new(Code::InternalError, other.to_string())
            .hint("its process died each time; its last words are in the journal"),
    }
}
