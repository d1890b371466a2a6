// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads that read and write for the devices. What is queued is bounded by the memory that it is about: a
//! job owns or shares some of the arena.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender},
    },
};

use sealpipe_gpu::driver::HostMemory;
use sealpipe_protocol::TaskError;

use crate::{
    plan::Tree,
    sector::{Inputs, Outputs},
};

/// Where nodes go.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The replica, from a node of the sector on.
    Replica(u64),
    /// A row of a tree's file, from a node of the row on.
    Row {
        /// Which kind.
        tree: Tree,
        /// Which file.
        which: u32,
        /// Which row.
        row: u32,
        /// The first node.
        first: u64,
    },
}

/// What is to be done.
#[derive(Debug)]
pub enum Job {
    /// Fills `memory` with nodes of an input.
    Read {
        /// The lane that waits, given back.
        lane: usize,
        /// Which input.
        which: usize,
        /// Its first node.
        first: u64,
        /// Where to.
        memory: HostMemory,
        /// Who waits.
        reply: Sender<Reply>,
    },
    /// Writes a range of `memory`.
    Write {
        /// From where.
        memory: Arc<HostMemory>,
        /// Which bytes of it.
        range: Range<usize>,
        /// Where to.
        target: Target,
        /// What waits, given back.
        ticket: usize,
        /// Who waits.
        reply: Sender<Reply>,
    },
}

/// The queues.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// For those who read.
    pub reads: Sender<Job>,
    /// For those who write.
    pub writes: Sender<Job>,
}

/// What was done.
#[derive(Debug)]
pub enum Reply {
    /// An input was read.
    Read {
        /// The lane.
        lane: usize,
        /// Which input.
        which: usize,
        /// What was lent.
        memory: HostMemory,
        /// Whether it worked.
        ended: Result<(), TaskError>,
    },
    /// A range was written; the memory is not shared with the writer any more.
    Written {
        /// The job's ticket.
        ticket: usize,
        /// Whether it worked.
        ended: Result<(), TaskError>,
    },
}

/// The files of a sector and the queue of jobs on them.
pub struct Files<'f> {
    inputs: &'f Inputs,
    outputs: &'f Outputs,
    queue: Mutex<Receiver<Job>>,
}

impl<'f> Files<'f> {
    /// Files with a queue.
    pub fn new(inputs: &'f Inputs, outputs: &'f Outputs, queue: Receiver<Job>) -> Self {
        Self { inputs, outputs, queue: Mutex::new(queue) }
    }

    /// Does jobs until nobody can send one any more.
    pub fn serve(&self) {
        loop {
            let job = self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            // Who does not wait any more has given up.
            let _ = match job {
                Job::Read { lane, which, first, mut memory, reply } => {
                    let ended = self.inputs.read(which, memory.as_mut_slice(), first);
                    reply.send(Reply::Read { lane, which, memory, ended })
                }
                Job::Write { memory, range, target, ticket, reply } => {
                    let ended = self.write(&memory.as_slice()[range], target);
                    drop(memory);
                    reply.send(Reply::Written { ticket, ended })
                }
            };
        }
    }

    fn write(&self, nodes: &[u8], target: Target) -> Result<(), TaskError> {
        match target {
            Target::Replica(first) => self.outputs.write_replica(first, nodes),
            Target::Row { tree, which, row, first } => {
                self.outputs.write_row(tree, which, row, first, nodes)
            }
        }
    }
}
