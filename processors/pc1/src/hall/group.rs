// SPDX-License-Identifier: MIT OR Apache-2.0

//! A group of sectors that go in lockstep: gives their labels memory as they grow, takes finished
//! labels to the disk, and leads from layer to layer.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::Duration,
};

use sealpipe_protocol::{Code, TaskError};

use super::{
    core::{Core, Job},
    sector::Sector,
};
use crate::{
    label::{Batch, Lane},
    layers::file::Buffer,
    memory::{
        labels::{Backer, LABEL_BYTES, Labels, Writer},
        pool::{GroupId, Pool},
        supply::Supply,
    },
    parents::Parents,
};

/// Labels are taken to the disk in steps of so many nodes: 1 MiB of a sector.
const STORE_NODES: usize = 1 << 15;

/// How often a group that has nothing to do looks whether it has.
const TICK: Duration = Duration::from_millis(20);

/// Memory is backed at most so many nodes ahead of the labels: several seconds.
const NODES_AHEAD: usize = 1 << 22;

/// And at most this part of a layer.
const PARTS_AHEAD: usize = 32;

/// The pool, shared by all groups.
pub type SharedPool = Arc<Mutex<Pool>>;

/// A group, ready to go.
#[derive(Debug)]
pub struct Group {
    /// Its sectors, by lane.
    pub sectors: Vec<Arc<Sector>>,
    /// The graph.
    pub parents: Arc<Parents>,
    /// Who labels.
    pub core: Arc<Core>,
    /// Where memory comes from.
    pub supply: Arc<Supply>,
    /// How much of it is granted.
    pub pool: SharedPool,
    /// Its number in the pool.
    pub id: GroupId,
}

impl Group {
    /// Bytes that a layer of `width` sectors takes, in whole pieces.
    pub fn layer_bytes(n_nodes: usize, width: usize, supply: &Supply) -> usize {
        let bytes = Labels::bytes(n_nodes, width);
        bytes.next_multiple_of(supply.align(bytes))
    }

    /// Labels all layers that are missing. Each sector hears of its own end.
    pub fn run(mut self) {
        let done = self.layers();
        if let Err(error) = done {
            let bytes = Labels::bytes(self.parents.n_nodes(), self.sectors.len());
            for sector in &self.sectors {
                sector.end(Err(no_memory(bytes as u64, &error)));
            }
        }
        for sector in &self.sectors {
            sector.end(Ok(()));
        }
        self.pool().leave(self.id);
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layers(&mut self) -> io::Result<()> {
        let Some(first) = self.sectors.first().map(|sector| sector.first_layer()) else {
            return Ok(());
        };
        let n_layers = self.sectors.iter().map(|sector| sector.n_layers()).max().unwrap_or(0);
        let mut buffer = Buffer::new(STORE_NODES.min(self.parents.n_nodes()) * LABEL_BYTES);
        let mut previous = if first > 1 { Some(self.load(first - 1)?) } else { None };
        for layer in first..=n_layers {
            if self.sectors.iter().all(|sector| sector.has_left()) {
                break;
            }
            // What the group holds for good is its only layer at first.
            let grows = previous.is_some();
            let labels = self.layer(layer, previous.take(), grows, &mut buffer)?;
            self.pool().layer_done(self.id);
            previous = Some(labels);
        }
        Ok(())
    }

    fn reserve(&self) -> io::Result<(Writer, Backer)> {
        let (n_nodes, width) = (self.parents.n_nodes(), self.sectors.len());
        Writer::reserve(n_nodes, width, self.supply.align(Labels::bytes(n_nodes, width)))
    }

    /// Reads the layer back from which labelling goes on.
    fn load(&self, layer: u32) -> io::Result<Arc<Labels>> {
        let (mut writer, mut backer) = self.reserve()?;
        while !backer.is_done() {
            backer.back(self.piece_bytes(), &self.supply)?;
        }
        for (lane, sector) in self.sectors.iter().enumerate() {
            sector.load(layer, &mut writer, lane);
        }
        writer.publish(self.parents.n_nodes());
        Ok(writer.labels().clone())
    }

    fn piece_bytes(&self) -> usize {
        self.supply.piece_bytes(Labels::bytes(self.parents.n_nodes(), self.sectors.len()))
    }

    /// Labels a layer and takes it to the disk.
    fn layer(
        &self,
        layer: u32,
        previous: Option<Arc<Labels>>,
        grows: bool,
        buffer: &mut Buffer,
    ) -> io::Result<Arc<Labels>> {
        let (writer, mut backer) = self.reserve()?;
        let labels = writer.labels().clone();
        let lane = |(index, sector): (usize, &Arc<Sector>)| Lane {
            index,
            replica_id: sector.replica_id(),
        };
        let present = self.sectors.iter().enumerate().filter(|(_, sector)| !sector.has_left());
        let lanes = present.map(lane).collect();
        let batch =
            Batch { layer, parents: self.parents.clone(), current: writer, previous, lanes };
        let left = self.sectors.iter().map(|sector| sector.left().clone()).collect();
        let (done, handed_back) = channel();
        self.core.submit(Job { batch, left, done });
        let mut store = Store { sectors: &self.sectors, labels: labels.clone(), stored: 0, buffer };
        let outcome = self.attend(layer, grows, &mut backer, &mut store, &handed_back);
        if outcome.is_err() {
            // The core lets go of a batch when its sectors have left.
            self.sectors.iter().for_each(|sector| sector.leave());
            self.core.ring();
            let _ = handed_back.recv();
        }
        outcome?;
        self.note(layer, &labels);
        store.finish();
        Ok(labels)
    }

    /// Does what there is to do until the core hands the batch back.
    fn attend(
        &self,
        layer: u32,
        grows: bool,
        backer: &mut Backer,
        store: &mut Store<'_>,
        handed_back: &Receiver<Batch>,
    ) -> io::Result<()> {
        let piece = self.piece_bytes();
        let ahead = NODES_AHEAD.min(self.parents.n_nodes() / PARTS_AHEAD).max(1);
        loop {
            let wanted = !backer.is_done() && backer.nodes_ahead() < ahead;
            let more = piece.min(backer.missing_bytes()) as u64;
            let backed = wanted && (!grows || self.pool().grow(self.id, more));
            if backed {
                backer.back(piece, &self.supply)?;
                self.core.ring();
            }
            self.note(layer, &store.labels);
            let stored = store.step();
            let wait = if backed || stored { Duration::ZERO } else { TICK };
            match handed_back.recv_timeout(wait) {
                Ok(_) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("a labelling thread has ended"));
                }
            }
        }
    }

    fn note(&self, layer: u32, labels: &Labels) {
        for sector in &self.sectors {
            let before = u64::from(layer - sector.first_layer()) * labels.n_nodes() as u64;
            sector.note(before + labels.published() as u64);
        }
    }
}

/// A layer on its way to the disk, sector by sector.
struct Store<'g> {
    sectors: &'g [Arc<Sector>],
    labels: Arc<Labels>,
    stored: usize,
    buffer: &'g mut Buffer,
}

impl Store<'_> {
    /// Stores the next step of all sectors, if it is published; whether it was.
    fn step(&mut self) -> bool {
        let end = (self.stored + STORE_NODES).min(self.labels.n_nodes());
        if end == self.stored || self.labels.published() < end {
            return false;
        }
        let bytes = self.buffer.first((end - self.stored) * LABEL_BYTES);
        for (lane, sector) in self.sectors.iter().enumerate() {
            if !sector.has_left() {
                self.labels.copy_bytes(self.stored..end, lane, bytes);
                sector.store(bytes);
            }
        }
        self.stored = end;
        true
    }

    /// Stores the rest, and records the layer for each sector that is still there.
    fn finish(mut self) {
        while self.step() {}
        for sector in self.sectors {
            if self.stored == self.labels.n_nodes() {
                sector.finish_layer();
            }
        }
    }
}

/// Memory that the system does not give.
fn no_memory(bytes: u64, error: &io::Error) -> TaskError {
    TaskError::io(Code::ResourceExhausted, format!("no memory for {bytes} bytes of labels"), error)
        .hint("lower the entry's `concurrent`, or give it more memory or huge pages")
}
