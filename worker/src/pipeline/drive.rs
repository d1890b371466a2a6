// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a sector's stages, one after another, through the fleet.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sealpipe_protocol::{
    Stage, TaskError, TaskId, Version,
    method::{TaskProgress, TaskRunParams, TaskRunResult},
    stage::Job,
};
use tokio::time::{sleep, timeout};

use super::{
    record::StageRecord,
    retry::Tries,
    steps,
    store::{SectorDir, StoreError},
};
use crate::{
    config::static_tree_d::StaticTreeD,
    event::{Event, Observer, millis},
    fleet::{Fleet, Journey, Slot},
    supervisor::{Lost, StartError, State},
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
    },
    /// A stage has no processor.
    #[error("{0}")]
    Start(Arc<StartError>),
    /// The sector's directory cannot be written.
    #[error("{0}")]
    Store(#[from] StoreError),
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

/// What drives sectors.
#[derive(Clone)]
pub struct Driver {
    /// The processors.
    pub fleet: Arc<Fleet>,
    /// Who wants to know.
    pub observer: Observer,
    /// Ready tree-d files for sectors without data.
    pub static_tree_d: StaticTreeD,
}

/// Runs the stages of a sector up to and with `until`.
///
/// # Errors
/// [`DriveError`]; whatever was done by then is kept, and another call goes on there.
pub async fn drive(driver: &Driver, dir: &mut SectorDir, until: Stage) -> Result<(), DriveError> {
    let Driver { fleet, observer, static_tree_d } = driver;
    if dir.record.finalized {
        return Ok(());
    }
    steps::forget_lost(&mut dir.record, &dir.layout, |path| path.exists());
    let sector = dir.record.sector.name();
    let journey = fleet.begin_sector(&sector, None);
    for stage in steps::STAGES.iter().copied().filter(|stage| dir.record.is_done(*stage)) {
        observer.tell(&Event::StageSkipped { sector: sector.clone(), stage });
    }
    while let Some(stage) = steps::next(&dir.record).filter(|stage| *stage <= until) {
        let ready = static_tree_d.get(&dir.record.sector.proof);
        match ready.filter(|_| stage == Stage::TreeD && dir.record.sector.is_empty()) {
            Some(ready) => adopt_tree_d(dir, &ready.path, &sector, observer)?,
            None => run_stage(driver, dir, stage, &sector, &journey).await?,
        }
    }
    dir.remove_work()?;
    Ok(())
}

/// Takes a ready tree-d instead of building one. pc1 compares its root with the pieces.
fn adopt_tree_d(
    dir: &mut SectorDir,
    ready: &Path,
    sector: &str,
    observer: &Observer,
) -> Result<(), DriveError> {
    let stage = Stage::TreeD;
    let since = Instant::now();
    dir.record.results.comm_d = Some(dir.adopt_tree_d(ready)?);
    let elapsed_ms = millis(since.elapsed());
    let processor = Some(format!("static_tree_d {}", ready.display()));
    let record = StageRecord { attempts: 1, elapsed_ms, resumed_from: None, processor };
    dir.record.stages.insert(stage, record);
    dir.save()?;
    observer.tell(&Event::StageFinished {
        sector: sector.to_owned(),
        stage,
        attempt: 1,
        elapsed_ms,
        resumed_from: None,
    });
    Ok(())
}

async fn run_stage(
    driver: &Driver,
    dir: &mut SectorDir,
    stage: Stage,
    sector: &str,
    journey: &Journey,
) -> Result<(), DriveError> {
    let Driver { fleet, observer, .. } = driver;
    let failed = |error| DriveError::Stage { stage, error };
    let job = steps::job(&dir.record, &dir.layout, stage);
    let id = task_id(sector, stage).map_err(failed)?;
    let task = Task { sector, id, journey: Some(journey), job };
    dir.make_work(stage)?;
    let since = Instant::now();
    let (attempt, result, processor) = {
        let mut begin = |processor: &str| -> Result<u32, StoreError> {
            // Written down first: an attempt is never used twice, whatever happens.
            let stage_record = dir.record.stages.entry(stage).or_default();
            stage_record.attempts += 1;
            stage_record.processor = Some(processor.to_owned());
            let attempt = stage_record.attempts;
            dir.save()?;
            Ok(attempt)
        };
        run_task(fleet, &task, &mut begin, observer).await?
    };
    steps::accept(&mut dir.record, stage, &result.output).map_err(failed)?;
    let elapsed_ms = millis(since.elapsed());
    let stage_record = dir.record.stages.entry(stage).or_default();
    stage_record.elapsed_ms = elapsed_ms;
    stage_record.resumed_from = result.resumed_from.clone();
    stage_record.processor = Some(processor);
    dir.save()?;
    observer.tell(&Event::StageFinished {
        sector: sector.to_owned(),
        stage,
        attempt,
        elapsed_ms,
        resumed_from: result.resumed_from,
    });
    dir.remove_work_of(stage)?;
    Ok(())
}

/// The id of a sector's stage.
///
/// # Errors
/// A name that makes it too long.
pub fn task_id(sector: &str, stage: Stage) -> Result<TaskId, TaskError> {
    TaskId::try_from(format!("{sector}/{stage}"))
        .map_err(|error| TaskError::new(sealpipe_protocol::Code::InvalidParams, error))
}

/// Runs a task until it has a result: waits for a place, runs it there, and again elsewhere when its
/// process dies. `begin` is called with the processor's name before each try and numbers it.
///
/// # Errors
/// [`DriveError`].
pub async fn run_task(
    fleet: &Arc<Fleet>,
    task: &Task<'_>,
    begin: &mut (dyn FnMut(&str) -> Result<u32, StoreError> + Send),
    observer: &Observer,
) -> Result<(u32, TaskRunResult, String), DriveError> {
    let stage = task.job.stage();
    let params = task.job.to_raw().map_err(|error| DriveError::Stage { stage, error })?;
    let mut tries = Tries::default();
    loop {
        let slot = fleet.slot(stage, task.journey, None).await.map_err(DriveError::Start)?;
        let State::Ready(ready) = slot.processor().state().borrow().clone() else {
            // It died between the grant and here, and the scheduler is about to hear of it.
            drop(slot);
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let processor = slot.processor().id().to_string();
        let attempt = begin(&processor)?;
        observer.tell(&Event::StageStarted {
            sector: task.sector.to_owned(),
            stage,
            processor: processor.clone(),
            pid: ready.pid,
            attempt,
        });
        let params = TaskRunParams {
            task_id: task.id.clone(),
            attempt,
            stage: stage.name().to_owned(),
            schema_version: Version::V1_0,
            params: params.clone(),
        };
        let report = progress_report(task.sector, stage, observer);
        let lost = match ready.link.run(&params, report).await {
            Ok(result) => return Ok((attempt, result, processor)),
            Err(lost) => lost,
        };
        if matches!(lost, Lost::Gone(_)) {
            seen_dead(&slot, ready.pid).await;
        }
        drop(slot);
        let next = tries.next(&lost).filter(|_| !fleet.is_stopping());
        let Some(delay) = next else {
            return Err(DriveError::Stage { stage, error: as_error(lost) });
        };
        observer.tell(&Event::StageRetried {
            sector: task.sector.to_owned(),
            stage,
            attempt,
            pid: Some(ready.pid),
            delay_ms: millis(delay),
            reason: lost.to_string(),
        });
        sleep(delay).await;
    }
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

fn as_error(lost: Lost) -> TaskError {
    match lost {
        Lost::Failed(error) => error,
        other => TaskError::new(sealpipe_protocol::Code::InternalError, other.to_string())
            .hint("its process died each time; its last words are in the journal"),
    }
}
