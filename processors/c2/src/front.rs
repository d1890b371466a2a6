// SPDX-License-Identifier: MIT OR Apache-2.0

//! The processor: one stage, one task at a time, since a task takes all GPUs or all cpus.

use std::{
    sync::{
        Mutex, MutexGuard, OnceLock, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sealpipe_gpu::device::{self, Device};
use sealpipe_protocol::{
    Code, Stage, TaskError,
    method::{Identity, InitializeParams, StageOffer},
    placement,
    serve::{self, Done, Processor, TaskContext},
    stage::{Job, proof::SealProof},
};
use sealpipe_reference::{front::Reference, stage::groth16};

use crate::{
    gpu,
    params::kept,
    resident::Resident,
    stage,
    watch::{Phase, Watch},
};

/// How often a task that waits for the parameters looks whether it is stopped.
const POLL: Duration = Duration::from_millis(50);

fn identity() -> Identity {
    Identity {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// bellperson's own prover: the stage of the reference processor, each task in a process of its own.
#[derive(Debug)]
pub struct OnCpu(Reference);

impl OnCpu {
    /// A processor whose tasks run as `helper` of this program.
    #[expect(clippy::new_without_default, reason = "it names this process' program")]
    pub fn new() -> Self {
        Self(Reference::new().serving(Stage::C2))
    }
}

impl Processor for OnCpu {
    fn identity(&self) -> Identity {
        identity()
    }

    fn offers(&self, granted: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        let mut offers = self.0.offers(granted)?;
        for offer in &mut offers {
            offer.implementation = Some("bellperson 0.27, cpu".to_owned());
        }
        Ok(offers)
    }

    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError> {
        self.0.run(only_c2(job)?, task)
    }
}

fn only_c2(job: Job) -> Result<Job, TaskError> {
    match job {
        Job::C2(_) => Ok(job),
        other => {
            let text = format!("`{}` is not served here", other.stage());
            Err(TaskError::new(Code::UnsupportedStage, text))
        }
    }
}

/// Our own prover on GPUs, with the parameters of a sector size kept there from task to task.
#[derive(Debug, Default)]
pub struct OnCuda {
    seen: OnceLock<(Vec<Device>, usize)>,
    resident: Mutex<Option<Resident>>,
    /// What is loaded before a task asks for it.
    expected: OnceLock<Option<SealProof>>,
    /// Whether a task has asked for something else.
    is_unexpected: AtomicBool,
}

impl OnCuda {
    /// A processor that has looked at nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until nobody else loads parameters or computes.
    fn enter(&self, watch: &Watch<'_>) -> Result<MutexGuard<'_, Option<Resident>>, TaskError> {
        loop {
            match self.resident.try_lock() {
                Ok(resident) => return Ok(resident),
                // Whoever panicked may have left a device half way: all is loaded anew.
                Err(TryLockError::Poisoned(poisoned)) => {
                    self.resident.clear_poison();
                    let mut resident = poisoned.into_inner();
                    *resident = None;
                    return Ok(resident);
                }
                Err(TryLockError::WouldBlock) => {}
            }
            watch.check()?;
            watch.report(Phase::Waiting, 0, 1);
            std::thread::sleep(POLL);
        }
    }

    /// Makes the parameters of a proof the ones that are kept.
    fn load<'r>(
        &self,
        resident: &'r mut Option<Resident>,
        proof: SealProof,
        watch: &Watch<'_>,
    ) -> Result<&'r mut Resident, TaskError> {
        if resident.as_ref().is_none_or(|found| found.proof() != proof) {
            // First freed, then loaded: a device holds one size.
            *resident = None;
            let (devices, n_threads) = self.seen.get().cloned().unwrap_or_default();
            // Once for the process; later calls find it made.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(n_threads.max(1)).build_global();
            *resident = Some(Resident::load(proof, &devices, watch)?);
        }
        resident
            .as_mut()
            .ok_or_else(|| TaskError::new(Code::InternalError, "the parameters are not loaded"))
    }

    /// The largest size whose parameters are here in the form of the device: a machine has one, most of
    /// the time. Looked for once.
    fn expected(&self) -> Option<SealProof> {
        let ready = || SealProof::ALL.iter().copied().filter(|proof| kept::is_ready(*proof));
        *self.expected.get_or_init(|| ready().max_by_key(|proof| proof.sector_bytes()))
    }
}

/// Ends this process soon when a device was lost.
fn unless_lost<T>(ended: Result<T, TaskError>) -> Result<T, TaskError> {
    if ended.as_ref().is_err_and(|error| error.known_code() == Some(Code::DeviceLost)) {
        device::end_process_soon();
    }
    ended
}

impl Processor for OnCuda {
    fn identity(&self) -> Identity {
        identity()
    }

    fn offers(&self, _: &InitializeParams) -> Result<Vec<StageOffer>, TaskError> {
        // This process has pinned itself: what it may run on is what was granted.
        let cpus = placement::current_cpus()
            .map_err(|error| TaskError::io(Code::PlacementMismatch, "cpus", &error))?;
        // Before anything is looked for: what is wrong with it has to be changed in any case.
        gpu::budget::limit()?;
        let devices = device::all()?;
        let mut offer = serve::offer(Stage::C2, 1);
        offer.device = Some("cuda".to_owned());
        offer.implementation = Some(gpu::describe(&devices)?);
        self.seen
            .set((devices, cpus.len()))
            .map_err(|_| TaskError::new(Code::InvalidRequest, "initialized twice"))?;
        Ok(vec![offer])
    }

    fn warming(&self) -> Option<String> {
        self.expected().map(|proof| format!("loading the parameters of {}", proof.size_name()))
    }

    fn warm_up(&self) -> Result<(), TaskError> {
        let Some(proof) = self.expected() else { return Ok(()) };
        let watch = Watch::nobody().until(&self.is_unexpected);
        let load = || {
            let mut resident = self.enter(&watch)?;
            // A task that came first has loaded what it needs.
            match *resident {
                Some(_) => Ok(()),
                None => self.load(&mut resident, proof, &watch).map(drop),
            }
        };
        match unless_lost(load()) {
            // A task loads what it needs instead.
            Err(error) if error.known_code() == Some(Code::Cancelled) => Ok(()),
            ended => ended,
        }
    }

    fn run(&self, job: Job, task: &TaskContext) -> Result<Done, TaskError> {
        let Job::C2(params) = only_c2(job)? else {
            return Err(TaskError::new(Code::InternalError, "c2 is not c2"));
        };
        let watch = Watch::new(task, groth16::n_partitions(params.proof));
        if self.expected() != Some(params.proof) {
            self.is_unexpected.store(true, Ordering::Relaxed);
        }
        let mut resident = self.enter(&watch)?;
        let ended = self
            .load(&mut resident, params.proof, &watch)
            .and_then(|resident| stage::run(&params, resident, &watch));
        unless_lost(ended).map(|output| Done::new(&output))
    }
}
