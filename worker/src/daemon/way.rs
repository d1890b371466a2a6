// SPDX-License-Identifier: MIT OR Apache-2.0

//! A job's way from its first place to its end.

use std::{pin::pin, sync::Arc, time::Duration};

use sealpipe_protocol::{
    Bytes32, Stage, TaskError, TaskId,
    method::TaskRunResult,
    stage::{Job as StageJob, echo},
};
use tokio::time::{sleep, timeout};

use super::{
    desk::Desk,
    job::{EchoJob, SectorJob, Source, Work},
    randomness,
    state::{Refusal, Step, Trouble},
    store::Entry,
};
use crate::{
    event::{Event, millis},
    fleet::{Journey, Slot},
    pipeline::{
        drive::{Course, drive, lies_ready},
        parameters,
        record::Record,
        retry::Tries,
        sector::Randomness,
        steps,
        store::{SectorDir, StoreError},
        task::{DriveError, Owner, Task, run_task, unfit},
    },
};

/// The first wait before a directory is tried again that could not be written; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long the daemon may take to learn that it is to end, after its children have.
const STOP_SEEN_WITHIN: Duration = Duration::from_secs(1);

/// Goes a job's way and writes down how it ends.
pub async fn go(desk: Arc<Desk>, entry: Entry, journey: Arc<Journey>) {
    let name = entry.job.name.clone();
    let mut wait = FIRST_WAIT;
    let outcome = loop {
        let number = entry.number;
        let mut errand = Errand { desk: &desk, name: &name, number, source: None, failures: 0 };
        let outcome = match &entry.job.work {
            Work::Sector(job) => errand.sector(job, &journey).await,
            Work::Echo(job) => errand.echo(job, &journey).await,
        };
        match outcome {
            // A full disk stops nobody for good, and neither does somebody else's hand on the sector.
            Err(DriveError::Store(error)) if error.passes => {
                desk.note(&name, Some(error.message.clone()));
                desk.moved(&name, Some(error.message));
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            outcome => break outcome,
        }
    };
    let trouble = match outcome {
        Ok(()) => {
            // Refused when somebody has cancelled it in this very moment.
            let _ = desk.book.step(&name, &Step::Complete).await;
            return desk.moved(&name, None);
        }
        // Whoever comes next goes on.
        Err(DriveError::Stopping) => return,
        Err(DriveError::Stage { stage, error, .. }) => Trouble::of_task(stage, &error),
        Err(DriveError::Start(error)) => Trouble::new(None, &error.to_string(), error.hint.clone()),
        Err(DriveError::Parameters(error)) => {
            Trouble::new(Some(Stage::C2), &error.message, error.hint)
        }
        Err(DriveError::Store(error)) => Trouble::new(None, &error.message, error.hint),
    };
    fail(&desk, &name, trouble).await;
}

async fn fail(desk: &Desk, name: &str, trouble: Trouble) {
    let reason = trouble.to_string();
    let _ = desk.book.step(name, &Step::Fail { trouble }).await;
    desk.moved(name, Some(reason));
}

/// A defect of ours stops one job and not the daemon.
pub async fn panicked(desk: &Desk, name: &str) {
    let hint = Some("the daemon's stderr says more; please report it".to_owned());
    fail(desk, name, Trouble::new(None, "a defect of sealpipe stopped it", hint)).await;
}

/// A job that is on its way.
struct Errand<'a> {
    desk: &'a Arc<Desk>,
    name: &'a str,
    /// Its place in the order of submission.
    number: u64,
    /// Of a sector.
    source: Option<&'a SectorJob>,
    /// How often a command had nothing, in a row.
    failures: u32,
}

impl<'a> Errand<'a> {
    async fn sector(&mut self, job: &'a SectorJob, journey: &Journey) -> Result<(), DriveError> {
        self.source = Some(job);
        let record = SectorDir::look(&job.dir, &job.sector())?;
        if record.is_none() && self.life()?.has_begun() {
            return Err(DriveError::Store(vanished(job)));
        }
        let record = record.unwrap_or_else(|| Record::new(job.sector()));
        let first = self.first_place(&record, job, journey).await?;
        let mut dir = SectorDir::open_or_create(&job.dir, job.sector())?;
        let _writing = self.desk.journals.add(&dir)?;
        let driver = self.desk.driver();
        drive(&driver, &mut dir, journey, first, job.until, self).await?;
        dir.finish(job.keep)?;
        match dir.record.results.valid {
            Some(false) if job.until == Stage::Verify => Err(invalid()),
            _ => Ok(()),
        }
    }

    /// Waits for a place for the next stage, before anything is opened or made: of a thousand
    /// sectors that wait none holds a file.
    async fn first_place(
        &mut self,
        record: &Record,
        job: &SectorJob,
        journey: &Journey,
    ) -> Result<Option<Slot>, DriveError> {
        let next = steps::next(record).filter(|stage| *stage <= job.until && !record.finalized);
        let Some(stage) = next else { return Ok(None) };
        let driver = self.desk.driver();
        let ready = lies_ready(&driver.static_tree_d, record, stage).is_some();
        // c2 wants its parameters first, and a seed takes long.
        if ready || stage >= Stage::C1 {
            return Ok(None);
        }
        self.waits(stage).await?;
        driver.place(stage, Some(journey), None).await.map(Some)
    }

    async fn echo(&mut self, job: &EchoJob, journey: &Journey) -> Result<(), DriveError> {
        let stage = Stage::Echo;
        let driver = self.desk.driver();
        loop {
            let done = self.life()?.steps_done;
            if done >= job.steps {
                return Ok(());
            }
            let failed = |error| DriveError::Stage { stage, error, drop_work: false };
            let id = TaskId::try_from(format!("{}/echo-{}", self.task_name(self.name), done + 1));
            let id = id.map_err(|e| failed(unfit(stage, &e)))?;
            let params = StageJob::Echo(job.params.clone());
            let task = Task { sector: self.name, id, journey: Some(journey), job: params };
            self.waits(stage).await?;
            let since = tokio::time::Instant::now();
            let mut owner = EchoOwner { errand: &mut *self, payload: &job.params.payload };
            let answer = run_task(&driver, &task, None, &mut owner).await?;
            self.finishes(stage).await?;
            // Before its place is given back with the answer.
            self.desk.tell(&Event::StageFinished {
                sector: self.name.to_owned(),
                stage,
                attempt: answer.attempt,
                elapsed_ms: millis(since.elapsed()),
                resumed_from: None,
            });
        }
    }

    fn life(&self) -> Result<super::state::Life, DriveError> {
        self.desk.book.get(self.name).map(|entry| entry.life).ok_or(DriveError::Stopping)
    }

    /// What somebody has said by hand: seeds alone are.
    fn said(&self, what: Randomness) -> Result<Option<Bytes32>, DriveError> {
        Ok(self.life()?.seed.filter(|_| what == Randomness::Seed))
    }

    async fn step(&self, step: Step) -> Result<(), DriveError> {
        self.desk.book.step(self.name, &step).await.map(drop).map_err(over)
    }

    /// Asks a command once.
    async fn command(
        &mut self,
        what: Randomness,
        command: &str,
        record: &Record,
    ) -> Result<Bytes32, Duration> {
        let variables = randomness::variables(what, record);
        let asked = randomness::ask(command, &variables, randomness::COMMAND_LIMIT).await;
        let sector = self.name.to_owned();
        match asked {
            Ok(value) => {
                self.failures = 0;
                let answer = Some(value.to_string());
                self.desk.tell(&Event::Asked { sector, what, answer, delay_ms: None });
                self.desk.note(self.name, None);
                Ok(value)
            }
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                let delay = randomness::delay(self.failures);
                self.desk.note(self.name, Some(format!("its {what} command: {why}")));
                let (answer, delay_ms) = (Some(why), Some(millis(delay)));
                self.desk.tell(&Event::Asked { sector, what, answer, delay_ms });
                Err(delay)
            }
        }
    }
}

/// A step that does not follow any more: somebody has ended the job.
fn over(_: Refusal) -> DriveError {
    DriveError::Stopping
}

/// What was begun lies in a directory that is not there: its disk may not be mounted, and nothing is
/// begun anew on another one.
fn vanished(job: &SectorJob) -> StoreError {
    StoreError {
        message: format!("{} is gone, and the sector in it was begun", job.dir.display()),
        hint: Some(
            "mount its disk; if its files are lost, cancel it and submit it again to begin anew"
                .to_owned(),
        ),
        passes: false,
    }
}

fn invalid() -> DriveError {
    let stage = Stage::Verify;
    let error = TaskError::new(
        sealpipe_protocol::Code::VerificationFailed,
        "the proof was checked and does not hold",
    )
    .hint("whoever ran c2 is defective, or the parameters are");
    DriveError::Stage { stage, error, drop_work: false }
}

impl Course for Errand<'_> {
    /// Submitted again under its name it counts its tries from 1 again, and a processor that has seen
    /// them takes no lower number.
    fn task_name(&self, sector: &str) -> String {
        format!("{sector}.{}", self.number)
    }

    fn tries(&self) -> Tries {
        self.life().map(|life| life.tries).unwrap_or_default()
    }

    async fn waits(&mut self, stage: Stage) -> Result<(), DriveError> {
        self.desk.book.note(self.name, &Step::Wait { stage }).map_err(over)
    }

    async fn starts(
        &mut self,
        stage: Stage,
        processor: &str,
        attempt: u32,
    ) -> Result<(), DriveError> {
        self.step(Step::Start { stage, processor: processor.to_owned(), attempt }).await
    }

    async fn lost(&mut self, stage: Stage, tries: Tries) -> Result<(), DriveError> {
        self.step(Step::Lose { stage, tries }).await
    }

    async fn finishes(&mut self, _: Stage) -> Result<(), DriveError> {
        self.step(Step::Finish).await
    }

    async fn ask(&mut self, what: Randomness, dir: &SectorDir) -> Result<Bytes32, Duration> {
        // It is over, and whoever waits is about to be told.
        const NEVER: Duration = LONGEST_WAIT;
        let Some(job) = self.source else { return Err(NEVER) };
        if self.step(Step::Ask { what }).await.is_err() {
            return Err(NEVER);
        }
        let wake = self.desk.wake(self.name).ok_or(NEVER)?;
        let source = if what == Randomness::Ticket { &job.ticket } else { &job.seed };
        loop {
            let mut told = pin!(wake.notified());
            if let Some(value) = self.said(what).map_err(|_| NEVER)?.or(source.given()) {
                return Ok(value);
            }
            let Source::Command(command) = source else {
                told.await;
                continue;
            };
            let printed = tokio::select! {
                // What somebody says comes before what the command would, which ends.
                () = &mut told => continue,
                printed = self.command(what, command, &dir.record) => printed,
            };
            match printed {
                // Somebody may have said one in the same moment, and was told that it is taken.
                Ok(value) => return Ok(self.said(what).ok().flatten().unwrap_or(value)),
                // A place is kept for who asks for a ticket: it is given back first.
                Err(delay) if what == Randomness::Ticket => return Err(delay),
                Err(delay) => drop(timeout(delay, told).await),
            }
        }
    }

    async fn parameters(&mut self, dir: &SectorDir) -> Result<(), DriveError> {
        let proof = dir.record.sector.proof;
        let mut seen = self.desk.parameters.lock().await;
        if !seen.contains(&proof) {
            let (config, dir) = (self.desk.config(), &self.desk.settings.worker_dir);
            let ensured = parameters::ensure(proof, &config.processors, dir, &self.desk.observer);
            if let Err(error) = ensured.await {
                // Who stops the daemon may have stopped its children in the same moment.
                sleep(STOP_SEEN_WITHIN).await;
                return Err(match self.desk.fleet.is_stopping() {
                    true => DriveError::Stopping,
                    false => error.into(),
                });
            }
            seen.insert(proof);
        }
        Ok(())
    }
}

/// A demonstration as the owner of a run of `echo`.
struct EchoOwner<'a, 'b> {
    errand: &'a mut Errand<'b>,
    payload: &'a serde_json::Value,
}

impl Owner for EchoOwner<'_, '_> {
    async fn begin(&mut self, processor: &str) -> Result<u32, DriveError> {
        let attempt = self.errand.life()?.attempt + 1;
        self.errand.starts(Stage::Echo, processor, attempt).await?;
        Ok(attempt)
    }

    fn tries(&self) -> Tries {
        Course::tries(self.errand)
    }

    async fn lost(&mut self, tries: Tries) -> Result<(), DriveError> {
        Course::lost(self.errand, Stage::Echo, tries).await
    }

    fn accept(&mut self, result: &TaskRunResult) -> Result<(), TaskError> {
        let output: echo::Output = serde_json::from_str(result.output.get())
            .map_err(|error| unfit(Stage::Echo, &error.to_string()))?;
        match output.payload == *self.payload {
            true => Ok(()),
            false => Err(unfit(Stage::Echo, "another payload than was given")),
        }
    }
}
