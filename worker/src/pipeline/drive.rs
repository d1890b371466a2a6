// SPDX-License-Identifier: MIT OR Apache-2.0

//! Runs a sector's stages, one after another, through the fleet.

use std::{
    future::Future,
    path::Path,
    time::{Duration, Instant},
};

use sealpipe_protocol::{Bytes32, Stage, TaskError, method::TaskRunResult};
use tokio::time::sleep;

use super::{
    record::StageRecord,
    retry::Tries,
    sector::Randomness,
    steps,
    store::{SectorDir, lies_there},
    task::{DriveError, Driver, Owner, Task, run_task, task_id},
};
use crate::{
    config::static_tree_d::StaticTreeD,
    event::{Event, millis},
    fleet::{Journey, Slot},
};

/// What a sector's way asks of whoever sends it, and tells them. Each is done durably before the way
/// goes on.
pub trait Course: Send {
    /// What has become of the tries of the stage at hand, also under an earlier worker.
    fn tries(&self) -> Tries;

    /// What the sector is called in the ids of its tasks.
    fn task_name(&self, sector: &str) -> String {
        sector.to_owned()
    }

    /// The sector waits for a place for a stage.
    fn waits(&mut self, stage: Stage) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// A try of a stage begins at a processor.
    fn starts(
        &mut self,
        stage: Stage,
        processor: &str,
        attempt: u32,
    ) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// A try of a stage is lost.
    fn lost(
        &mut self,
        stage: Stage,
        tries: Tries,
    ) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// A stage is done.
    fn finishes(&mut self, stage: Stage) -> impl Future<Output = Result<(), DriveError>> + Send;

    /// Asks for randomness that is not known yet. A seed is waited for however long that takes; for
    /// a ticket, for which a place is kept, `Err` says how long to wait without one.
    fn ask(
        &mut self,
        what: Randomness,
        dir: &SectorDir,
    ) -> impl Future<Output = Result<Bytes32, Duration>> + Send;

    /// Sees to it that the proof's parameters are there.
    fn parameters(
        &mut self,
        dir: &SectorDir,
    ) -> impl Future<Output = Result<(), DriveError>> + Send;
}

/// The course of a sector for which everything is known and nothing is remembered elsewhere.
#[derive(Default)]
pub struct Plain(Tries);

impl Course for Plain {
    fn tries(&self) -> Tries {
        self.0
    }

    async fn waits(&mut self, _: Stage) -> Result<(), DriveError> {
        Ok(())
    }

    async fn starts(&mut self, _: Stage, _: &str, _: u32) -> Result<(), DriveError> {
        Ok(())
    }

    async fn lost(&mut self, _: Stage, tries: Tries) -> Result<(), DriveError> {
        self.0 = tries;
        Ok(())
    }

    async fn finishes(&mut self, _: Stage) -> Result<(), DriveError> {
        self.0 = Tries::default();
        Ok(())
    }

    async fn ask(&mut self, _: Randomness, _: &SectorDir) -> Result<Bytes32, Duration> {
        unreachable!("a sector that is sealed by one command has its ticket and its seed")
    }

    async fn parameters(&mut self, _: &SectorDir) -> Result<(), DriveError> {
        Ok(())
    }
}

/// Runs the stages of a sector up to and with `until`. A `first` place is for its next stage.
///
/// # Errors
/// [`DriveError`]; whatever was done by then is kept, and another call goes on there.
pub async fn drive(
    driver: &Driver,
    dir: &mut SectorDir,
    journey: &Journey,
    mut first: Option<Slot>,
    until: Stage,
    course: &mut impl Course,
) -> Result<(), DriveError> {
    if dir.record.finalized {
        return Ok(());
    }
    // A proof that does not hold is made again.
    if dir.record.results.valid == Some(false) {
        dir.record.undo_from(Stage::C2);
    }
    steps::forget_lost(&mut dir.record, &dir.layout, lies_there)?;
    let sector = dir.record.sector.name();
    for stage in steps::STAGES.iter().copied().filter(|stage| dir.record.is_done(*stage)) {
        driver.observer.tell(&Event::StageSkipped { sector: sector.clone(), stage });
    }
    let mut way = Way { driver, sector, journey, course };
    while let Some(stage) = steps::next(&dir.record).filter(|stage| *stage <= until) {
        let place = first.take().filter(|slot| slot.processor().id().stage == stage);
        match way.ready_tree_d(dir, stage) {
            Some(ready) => way.adopt_tree_d(dir, &ready)?,
            None => way.run_stage(dir, stage, place).await?,
        }
        way.course.finishes(stage).await?;
    }
    dir.remove_work()?;
    Ok(())
}

/// Whether a stage needs no place, since its result lies ready.
pub fn lies_ready<'a>(
    static_tree_d: &'a StaticTreeD,
    record: &super::record::Record,
    stage: Stage,
) -> Option<&'a Path> {
    let ready = static_tree_d.get(&record.sector.proof);
    ready.filter(|_| stage == Stage::TreeD && record.sector.is_empty()).map(|r| r.path.as_path())
}

struct Way<'a, C> {
    driver: &'a Driver,
    sector: String,
    journey: &'a Journey,
    course: &'a mut C,
}

impl<C: Course> Way<'_, C> {
    fn ready_tree_d(&self, dir: &SectorDir, stage: Stage) -> Option<std::path::PathBuf> {
        lies_ready(&self.driver.static_tree_d, &dir.record, stage).map(Path::to_owned)
    }

    /// Takes a ready tree-d instead of building one. pc1 compares its root with the pieces.
    fn adopt_tree_d(&self, dir: &mut SectorDir, ready: &Path) -> Result<(), DriveError> {
        let stage = Stage::TreeD;
        let since = Instant::now();
        dir.record.results.comm_d = Some(dir.adopt_tree_d(ready)?);
        let elapsed_ms = millis(since.elapsed());
        let processor = Some(format!("static_tree_d {}", ready.display()));
        let record = StageRecord { attempts: 1, elapsed_ms, resumed_from: None, processor };
        dir.record.stages.insert(stage, record);
        dir.save()?;
        self.tell_finished(stage, 1, elapsed_ms, None);
        Ok(())
    }

    async fn run_stage(
        &mut self,
        dir: &mut SectorDir,
        stage: Stage,
        place: Option<Slot>,
    ) -> Result<(), DriveError> {
        let failed = |error| DriveError::Stage { stage, error, drop_work: false };
        if stage == Stage::C2 {
            self.course.parameters(dir).await?;
        }
        let place = self.prepared(dir, stage, place).await?;
        let job = steps::job(&dir.record, &dir.layout, stage);
        let id = task_id(&self.course.task_name(&self.sector), stage).map_err(failed)?;
        let task = Task { sector: &self.sector, id, journey: Some(self.journey), job };
        dir.make_work(stage)?;
        let since = Instant::now();
        let mut owner = StageOwner { dir: &mut *dir, stage, course: &mut *self.course };
        let answer = run_task(self.driver, &task, place, &mut owner).await;
        if let Err(DriveError::Stage { drop_work: true, .. }) = &answer {
            dir.remove_work()?;
        }
        // Its place is given back at the end: the record comes first.
        let answer = answer?;
        let elapsed_ms = millis(since.elapsed());
        let stage_record = dir.record.stages.entry(stage).or_default();
        stage_record.elapsed_ms = elapsed_ms;
        stage_record.resumed_from = answer.resumed_from.clone();
        stage_record.processor = Some(answer.processor);
        dir.save()?;
        self.tell_finished(stage, answer.attempt, elapsed_ms, answer.resumed_from);
        dir.remove_work_of(stage)?;
        Ok(())
    }

    /// Sees to it that the stage has all that it takes from the chain. A seed takes long, and no place
    /// is kept for it meanwhile. A ticket gets old, so it is asked for once the place is there.
    async fn prepared(
        &mut self,
        dir: &mut SectorDir,
        stage: Stage,
        mut place: Option<Slot>,
    ) -> Result<Option<Slot>, DriveError> {
        while let Some(what) = steps::lacks(&dir.record, stage) {
            if what == Randomness::Ticket && place.is_none() {
                self.course.waits(stage).await?;
                let journey = Some(self.journey);
                place = Some(self.driver.place(stage, journey, None).await?);
            }
            match self.course.ask(what, dir).await {
                Ok(value) => {
                    let sector = &mut dir.record.sector;
                    match what {
                        Randomness::Ticket => sector.ticket = Some(value),
                        Randomness::Seed => sector.seed = Some(value),
                    }
                    dir.save()?;
                }
                Err(delay) => {
                    place = None;
                    sleep(delay).await;
                }
            }
        }
        if place.is_none() {
            self.course.waits(stage).await?;
        }
        Ok(place)
    }

    fn tell_finished(
        &self,
        stage: Stage,
        attempt: u32,
        elapsed_ms: u64,
        resumed_from: Option<String>,
    ) {
        let sector = self.sector.clone();
        let event = Event::StageFinished { sector, stage, attempt, elapsed_ms, resumed_from };
        self.driver.observer.tell(&event);
    }
}

/// A sector as the owner of a stage's task.
struct StageOwner<'a, C> {
    dir: &'a mut SectorDir,
    stage: Stage,
    course: &'a mut C,
}

impl<C: Course> Owner for StageOwner<'_, C> {
    async fn begin(&mut self, processor: &str) -> Result<u32, DriveError> {
        let record = self.dir.record.stages.entry(self.stage).or_default();
        record.attempts += 1;
        record.processor = Some(processor.to_owned());
        let attempt = record.attempts;
        self.dir.save()?;
        self.course.starts(self.stage, processor, attempt).await?;
        Ok(attempt)
    }

    fn tries(&self) -> Tries {
        self.course.tries()
    }

    async fn lost(&mut self, tries: Tries) -> Result<(), DriveError> {
        self.course.lost(self.stage, tries).await
    }

    fn accept(&mut self, result: &TaskRunResult) -> Result<(), TaskError> {
        steps::accept(&mut self.dir.record, self.stage, &result.output)
    }
}
