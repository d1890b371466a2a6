// SPDX-License-Identifier: MIT OR Apache-2.0

//! pc2 on GPUs: the spans of a sector are dealt out to devices, each driven by a thread of its own.
//!
//! [`kernels`] launches, [`arena`] has a device's memory, [`files`] reads and writes on threads of its own,
//! [`pipeline`] keeps all of them busy, [`bench`] measures.

pub mod bench;

mod arena;
mod files;
mod kernels;
mod pipeline;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use sealpipe_gpu::{GpuError, Kind, device::Device, driver::Context};
use sealpipe_protocol::TaskError;

use self::{
    arena::Arena,
    files::{Files, Jobs},
    kernels::{IMAGES, Kernels},
    pipeline::Pipeline,
};
use crate::{
    Node,
    cpu::Hashes,
    plan::Shape,
    sector::{Inputs, Outputs},
    stage::Watch,
    top::Tops,
};

/// Threads that read, at least: reads wait for disks, not for cpus.
const MIN_IO_THREADS: usize = 8;
/// And at most.
const MAX_IO_THREADS: usize = 32;

/// Threads that write. Apart from those that read: a file system lets one write a file at a time.
const N_WRITERS: usize = 8;

/// The GPUs of this process, in use.
#[derive(Debug)]
pub struct Gpus {
    gpus: Vec<Mutex<Gpu>>,
    n_io_threads: usize,
}

/// A GPU in use.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) context: Arc<Context>,
    pub(crate) kernels: Kernels,
    /// Kept from task to task: registering memory costs more than a small sector's work.
    pub(crate) arena: Option<Arena>,
}

/// The devices and the kernels that they will run, for people.
///
/// # Errors
/// [`Kind::NoKernels`] when there are none for a device.
pub fn describe(devices: &[Device]) -> Result<String, GpuError> {
    IMAGES.describe(devices)
}

impl Gpus {
    /// Takes devices into use; `n_cpus` are for reading and writing.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn new(devices: &[Device], n_cpus: usize) -> Result<Self, GpuError> {
        let gpus = devices.iter().map(|device| Gpu::new(device).map(Mutex::new));
        let gpus: Vec<_> = gpus.collect::<Result<_, _>>()?;
        if gpus.is_empty() {
            return Err(GpuError::new(Kind::NoDevice, "no GPU was granted"));
        }
        Ok(Self { gpus, n_io_threads: n_cpus.clamp(MIN_IO_THREADS, MAX_IO_THREADS) })
    }

    /// The first of them.
    pub(crate) fn first(&self) -> &Mutex<Gpu> {
        &self.gpus[0]
    }

    /// Computes a sector with batches of at most `batch_limit` columns; gives the roots of tree-c and of
    /// tree-r-last.
    ///
    /// # Errors
    /// What the files and the devices say, and a stop.
    pub fn run(
        &self,
        shape: Shape,
        batch_limit: u64,
        (inputs, outputs): (&Inputs, &Outputs),
        hashes: &Hashes,
        watch: &Watch<'_>,
    ) -> Result<(Node, Node), TaskError> {
        let batch = shape.batch(batch_limit);
        let spans = VecDeque::from(shape.spans(batch, self.gpus.len() as u64));
        let shared = pipeline::Shared::new(shape, batch, spans, Tops::new(shape, batch), *watch);
        let (reads, to_read) = mpsc::channel();
        let (writes, to_write) = mpsc::channel();
        let jobs = Jobs { reads, writes };
        let (readers, writers) =
            (Files::new(inputs, outputs, to_read), Files::new(inputs, outputs, to_write));
        thread::scope(|scope| {
            for _ in 0..self.n_io_threads {
                scope.spawn(|| readers.serve());
            }
            for _ in 0..N_WRITERS {
                scope.spawn(|| writers.serve());
            }
            let devices: Vec<_> = self
                .gpus
                .iter()
                .map(|gpu| {
                    let (shared, jobs) = (&shared, jobs.clone());
                    scope.spawn(move || {
                        let mut gpu = gpu.lock().unwrap_or_else(PoisonError::into_inner);
                        Pipeline::run(&mut gpu, shared, jobs)
                    })
                })
                .collect();
            // The threads of `files` end with the last sender.
            drop(jobs);
            let ended = devices.into_iter().map(|device| {
                device.join().unwrap_or_else(|_| {
                    Err(GpuError::new(Kind::Defect, "the thread of a device panicked").into())
                })
            });
            ended.fold(Ok(()), Result::and)
        })?;
        shared.into_tops().finish(outputs, &hashes.octree, &hashes.pair, batch)
    }
}

impl Gpu {
    fn new(device: &Device) -> Result<Self, GpuError> {
        let image = IMAGES.of(device)?;
        let context = Context::new(device, image.bytes)?;
        let kernels = Kernels::new(&context)?;
        Ok(Self { context, kernels, arena: None })
    }
}
