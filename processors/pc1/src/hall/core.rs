// SPDX-License-Identifier: MIT OR Apache-2.0

//! A core that does nothing but label: one thread, bound to one cpu, that carries the lanes of up to
//! a few groups forward together, a short step at a time.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::label::{Batch, Kernel};

/// Nodes a lane goes forward before the core looks up: three milliseconds.
const STEP_NODES: usize = 4096;

/// How long a core waits for memory before it looks again.
const MEMORY_WAIT: Duration = Duration::from_millis(5);

/// A layer of a group that a core is to label.
#[derive(Debug)]
pub struct Job {
    /// The labels.
    pub batch: Batch,
    /// By the lane's index, whether its sector has left.
    pub left: Vec<Arc<AtomicBool>>,
    /// Where the batch goes when it is labelled or all of its sectors have left.
    pub done: Sender<Batch>,
}

/// The outside of a core.
#[derive(Debug)]
pub struct Core {
    cpu: Option<u32>,
    mailbox: Mutex<Vec<Job>>,
    bell: Condvar,
}

impl Core {
    /// Starts a core, on `cpu` if it is to be bound. It ends with the process.
    ///
    /// # Errors
    /// What the system says when it has no more threads.
    pub fn start(cpu: Option<u32>, kernel: fn() -> Kernel) -> io::Result<Arc<Self>> {
        let core = Arc::new(Self { cpu, mailbox: Mutex::default(), bell: Condvar::new() });
        let inside = core.clone();
        let name = cpu.map_or("pc1-core".to_owned(), |cpu| format!("pc1-core-{cpu}"));
        thread::Builder::new().name(name).spawn(move || inside.run(kernel()))?;
        Ok(core)
    }

    /// Gives the core something to label.
    pub fn submit(&self, job: Job) {
        self.mailbox().push(job);
        self.bell.notify_all();
    }

    /// Says that there is more memory, or that a sector has left.
    pub fn ring(&self) {
        self.bell.notify_all();
    }

    fn mailbox(&self) -> MutexGuard<'_, Vec<Job>> {
        // A list of jobs is valid whatever happened elsewhere.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut kernel: Kernel) {
        if let Some(cpu) = self.cpu {
            let mut set = CpuSet::new();
            set.set(cpu as usize);
            // Refused when the cpu has gone offline: then the thread stays where it may be.
            let _ = sched_setaffinity(None, &set);
        }
        let mut jobs: Vec<Job> = Vec::new();
        loop {
            self.take_in(&mut jobs);
            for job in &mut jobs {
                let left = &job.left;
                job.batch.lanes.retain(|lane| !left[lane.index].load(Ordering::Acquire));
            }
            hand_back(&mut jobs);
            if !step(&mut kernel, &mut jobs) && !jobs.is_empty() {
                let waited = self.bell.wait_timeout(self.mailbox(), MEMORY_WAIT);
                drop(waited);
            }
            hand_back(&mut jobs);
        }
    }

    /// Takes what is in the mailbox; waits for something when there is nothing else to do.
    fn take_in(&self, jobs: &mut Vec<Job>) {
        let mut mailbox = self.mailbox();
        while jobs.is_empty() && mailbox.is_empty() {
            mailbox = self.bell.wait(mailbox).unwrap_or_else(PoisonError::into_inner);
        }
        jobs.append(&mut mailbox);
    }
}

/// Labels a step of all batches that have memory for it; whether there was one.
fn step(kernel: &mut Kernel, jobs: &mut [Job]) -> bool {
    let room = |batch: &Batch| batch.current.backed() - batch.current.labels().published();
    for job in &mut *jobs {
        if job.batch.current.labels().published() == 0 && room(&job.batch) > 0 {
            job.batch.label_first();
        }
    }
    let mut ready: Vec<_> =
        jobs.iter_mut().map(|job| &mut job.batch).filter(|batch| room(batch) > 0).collect();
    let Some(least) = ready.iter().map(|batch| room(batch)).min() else { return false };
    kernel.advance(&mut ready, least.min(STEP_NODES));
    true
}

/// Hands back the batches that are labelled or that nobody wants any more.
fn hand_back(jobs: &mut Vec<Job>) {
    let is_over = |job: &mut Job| {
        let labels = job.batch.current.labels();
        job.batch.lanes.is_empty() || labels.published() == labels.n_nodes()
    };
    for Job { batch, done, .. } in jobs.extract_if(.., is_over) {
        // Whoever does not listen any more does not want it.
        let _ = done.send(batch);
    }
}
