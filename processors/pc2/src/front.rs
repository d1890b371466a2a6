// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processor: one stage, one task at a time, since a task takes the whole GPU or all cpus.

use std::sync::{Mutex, OnceLock, PoisonError};

use sealpipe_gpu::device::{self, Device};
use sealpipe_protocol::{
    Code, Stage, TaskError,
    method::{Identity, InitializeParams, StageOffer},
    placement,
    serve::{self, Done, Processor, TaskContext},
    stage::Job,
};

use crate::{
    cpu::Hashes,
    gpu::Gpus,
    plan::Shape,
    stage::{self, Backend, Settings, Watch},
};

/// What to compute on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// GPUs, or nothing.
    Cuda,
    /// The CPU.
    Cpu,
}

/// The processor.
#[derive(Debug)]
pub struct Pc2 {
    choice: Choice,
    seen: OnceLock<(Vec<Device>, usize)>,
    /// Made by the first task and kept: taking a GPU into use costs half a second.
    ready: Mutex<Option<Ready>>,
}

#[derive(Debug)]
struct Ready {
    backend: Backend,
    settings: Settings,
    hashes: Hashes,
}

impl Pc2 {
    /// A processor that computes on what was chosen.
    pub fn new(choice: Choice) -> Self {
        Self { choice, seen: OnceLock::new(), ready: Mutex::new(None) }
    }

    fn warm_up(&self) -> Result<Ready, TaskError> {
        let settings = Settings::read(|name| std::env::var(name).ok())?;
        let (devices, n_threads) = self.seen.get().cloned().unwrap_or_default();
        // Once for the process; a second task finds it made.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(n_threads.max(1)).build_global();
        let backend = match self.choice {
            Choice::Cpu => Backend::Cpu,
            Choice::Cuda => Backend::Cuda(Gpus::new(&devices, n_threads)?),
        };
        Ok(Ready { backend, settings, hashes: Hashes::default() })
    }
}

impl Processor for Pc2 {
    fn identity(&self) -> Identity {
        Identity {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn offers(&self, _: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        // This process has pinned itself: what it may run on is what was granted.
        let cpus = placement::current_cpus()
            .map_err(|error| TaskError::io(Code::PlacementMismatch, "cpus", &error))?;
        let mut offer = serve::offer(Stage::Pc2, 1);
        let devices = match self.choice {
            Choice::Cpu => {
                offer.implementation = Some("integer MDS, cpu".to_owned());
                Vec::new()
            }
            Choice::Cuda => {
                let devices = device::all()?;
                offer.device = Some("cuda".to_owned());
                offer.implementation = Some(crate::gpu::describe(&devices)?);
                devices
            }
        };
        self.seen
            .set((devices, cpus.len()))
            .map_err(|_| TaskError::new(Code::InvalidRequest, "initialized twice"))?;
        Ok(vec![offer])
    }

    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError> {
        let Job::Pc2(params) = job else {
            let text = format!("`{}` is not served here", job.stage());
            return Err(TaskError::new(Code::UnsupportedStage, text));
        };
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_none() {
            *ready = Some(self.warm_up()?);
        }
        let Some(Ready { backend, settings, hashes }) = ready.as_ref() else {
            return Err(TaskError::new(Code::InternalError, "nothing is ready"));
        };
        let total = Shape::of(params.proof, settings.rows_to_discard).nodes();
        let ended = stage::run(&params, *settings, backend, hashes, &Watch::new(task, total));
        if ended.as_ref().is_err_and(|error| error.known_code() == Some(Code::DeviceLost)) {
            sealpipe_gpu::device::end_process_soon();
        }
        ended.map(|output| Done::new(&output))
    }
}
