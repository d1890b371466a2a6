// SPDX-License-Identifier: MIT OR Apache-2.0

//! The front process: speaks the protocol, and runs each task in a helper process of its own.

mod cpus;
mod environment;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use sealpipe_protocol::{
    Code, Stage, TaskError, durable,
    method::{Identity, InitializeParams, StageOffer},
    placement::{self, CpuList},
    serve::{self, Done, Processor, TaskContext},
    stage::Job,
};

use crate::{
    helper::launch::{self, End, Launch},
    report::Note,
    stage,
};

/// What computes here, for people.
const IMPLEMENTATION: &str = "filecoin-proofs 19.1";

/// The reference processor.
#[derive(Debug)]
pub struct Reference {
    program: PathBuf,
    stages: Vec<Stage>,
    granted: OnceLock<Granted>,
    in_use: Mutex<Vec<CpuList>>,
}

/// What the worker granted.
#[derive(Debug)]
struct Granted {
    cpus: CpuList,
    concurrent: Option<u32>,
}

impl Reference {
    /// A processor whose helper processes are this program.
    pub fn new() -> Self {
        // Stays this program, even when the file is replaced by a newer one meanwhile.
        Self::with_program(PathBuf::from("/proc/self/exe"))
    }

    /// A processor whose helper processes are `program`.
    pub fn with_program(program: PathBuf) -> Self {
        let stages = Stage::ALL.to_vec();
        Self { program, stages, granted: OnceLock::new(), in_use: Mutex::default() }
    }

    /// The same, for one stage alone.
    #[must_use]
    pub fn serving(mut self, stage: Stage) -> Self {
        self.stages = vec![stage];
        self
    }

    fn granted(&self) -> Result<&Granted, TaskError> {
        self.granted
            .get()
            .ok_or_else(|| TaskError::new(Code::NotInitialized, "nothing is granted yet"))
    }

    fn in_use(&self) -> MutexGuard<'_, Vec<CpuList>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes cpus for a task, until the value returned is dropped.
    fn allot(&self, stage: Stage) -> Result<Allotted<'_>, TaskError> {
        let granted = self.granted()?;
        let concurrent = cpus::max_concurrent(stage, granted.cpus.len(), granted.concurrent);
        let mut in_use = self.in_use();
        let cpus = cpus::allot(&granted.cpus, concurrent, &in_use);
        in_use.push(cpus.clone());
        Ok(Allotted { reference: self, cpus })
    }
}

impl Default for Reference {
    fn default() -> Self {
        Self::new()
    }
}

impl Processor for Reference {
    fn identity(&self) -> Identity {
        Identity {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn offers(&self, granted: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        // This process has pinned itself: what it may run on is what was granted.
        let cpus = placement::current_cpus()
            .map_err(|error| TaskError::io(Code::PlacementMismatch, "cpus", &error))?;
        let concurrent = granted.limits.concurrent;
        let offer = |stage: &Stage| StageOffer {
            implementation: Some(IMPLEMENTATION.to_owned()),
            ..serve::offer(*stage, cpus::max_concurrent(*stage, cpus.len(), concurrent))
        };
        let offers = self.stages.iter().map(offer).collect();
        self.granted
            .set(Granted { cpus, concurrent })
            .map_err(|_| TaskError::new(Code::InvalidRequest, "initialized twice"))?;
        Ok(offers)
    }

    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError> {
        let allotted = self.allot(job.stage())?;
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let launch = Launch {
            program: self.program.clone(),
            cpus: allotted.cpus.clone(),
            environment: environment::of(job.stage(), allotted.cpus.len(), is_set),
        };
        let mut tell = |note| match note {
            Note::Progress(p) => task.progress(serve::Progress {
                phase: p.phase,
                done: p.done,
                total: p.total,
                unit: p.unit,
                checkpoint: p.checkpoint,
            }),
            Note::Log(level, message) => task.log(level, message),
        };
        let stopped = || task.stop().is_some();
        let ended = launch::run(&launch, &job, task.sector_lock(), &stopped, &mut tell);
        if !matches!(ended, Ok(End::Done { .. })) {
            // The process is gone and the sector still locked: scratch must not pile up.
            stage::leftovers(&job).iter().for_each(|path| durable::sweep(path));
        }
        match ended? {
            End::Done { output, resumed_from } => {
                Ok(Done::from_raw(output).resumed_from(resumed_from))
            }
            End::Stopped => {
                task.check_stop()?;
                Err(TaskError::new(Code::Cancelled, "the task was stopped"))
            }
        }
    }
}

/// Cpus of a running task.
#[derive(Debug)]
struct Allotted<'r> {
    reference: &'r Reference,
    cpus: CpuList,
}

impl Drop for Allotted<'_> {
    fn drop(&mut self) {
        let mut in_use = self.reference.in_use();
        if let Some(index) = in_use.iter().position(|cpus| *cpus == self.cpus) {
            in_use.swap_remove(index);
        }
    }
}
