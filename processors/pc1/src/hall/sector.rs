// SPDX-License-Identifier: MIT OR Apache-2.0

//! A sector while it is labelled: what its task and its group both see.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use sealpipe_protocol::{Bytes32, TaskError, failure};

use crate::{
    layers::{Layers, file::LayerFile},
    memory::labels::{LABEL_BYTES, Words, Writer, to_words},
};

/// A layer is read back in steps of so many labels.
const READ_LABELS: usize = 1 << 16;

/// A sector that is being labelled.
#[derive(Debug)]
pub struct Sector {
    replica_id: Words,
    first_layer: u32,
    n_layers: u32,
    left: Arc<AtomicBool>,
    nodes_done: AtomicU64,
    files: Mutex<Files>,
    ended: Condvar,
}

#[derive(Debug)]
struct Files {
    layers: Layers,
    current: Option<LayerFile>,
    outcome: Option<Result<(), TaskError>>,
}

impl Sector {
    /// A sector of which `layers` are finished.
    pub fn new(replica_id: Bytes32, layers: Layers) -> Self {
        Self {
            replica_id: to_words(&replica_id.0),
            first_layer: layers.n_finished() + 1,
            n_layers: layers.n_layers(),
            left: Arc::default(),
            nodes_done: AtomicU64::new(0),
            files: Mutex::new(Files { layers, current: None, outcome: None }),
            ended: Condvar::new(),
        }
    }

    /// The replica's id as words.
    pub fn replica_id(&self) -> Words {
        self.replica_id
    }

    /// The first layer that is to be labelled.
    pub fn first_layer(&self) -> u32 {
        self.first_layer
    }

    /// How many layers there are to be.
    pub fn n_layers(&self) -> u32 {
        self.n_layers
    }

    /// Set once it has left its group, finished or not.
    pub fn left(&self) -> &Arc<AtomicBool> {
        &self.left
    }

    /// Whether it has left its group.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Nodes labelled in this attempt.
    pub fn nodes_done(&self) -> u64 {
        self.nodes_done.load(Ordering::Relaxed)
    }

    /// How many layers are finished, synced and recorded.
    pub fn n_finished(&self) -> u32 {
        self.files().layers.n_finished()
    }

    /// Takes the sector out of its group: nothing of it is written after this.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.files().current = None;
    }

    /// Waits for the end, at most so long.
    pub fn wait(&self, timeout: Duration) -> Option<Result<(), TaskError>> {
        let waited = self.ended.wait_timeout_while(self.files(), timeout, |f| f.outcome.is_none());
        let mut files = waited.map_or_else(|e| e.into_inner().0, |(files, _)| files);
        files.outcome.take()
    }

    pub(super) fn note(&self, nodes_done: u64) {
        self.nodes_done.store(nodes_done, Ordering::Relaxed);
    }

    /// Ends the sector. The first end counts.
    pub(super) fn end(&self, outcome: Result<(), TaskError>) {
        let mut files = self.files();
        files.current = None;
        files.outcome.get_or_insert(outcome);
        self.left.store(true, Ordering::Release);
        self.ended.notify_all();
    }

    /// Appends labels to the layer in work; `false` when it is over with this sector.
    pub(super) fn store(&self, bytes: &[u8]) -> bool {
        self.with_files(|files| {
            let file = match &mut files.current {
                Some(file) => file,
                none => none.insert(files.layers.begin()?),
            };
            file.append(bytes)
        })
    }

    /// Finishes and records the layer in work; `false` when it is over with this sector.
    pub(super) fn finish_layer(&self) -> bool {
        self.with_files(|files| match files.current.take() {
            Some(file) => files.layers.finish(file),
            None => Ok(()),
        })
    }

    /// Reads a finished layer back as the labels of a lane.
    pub(super) fn load(&self, layer: u32, writer: &mut Writer, lane: usize) -> bool {
        let path = self.files().layers.path(layer);
        let mut read = || -> io::Result<()> {
            let file = File::open(&path)?;
            let n_nodes = writer.labels().n_nodes();
            let mut buffer = vec![0; READ_LABELS.min(n_nodes) * LABEL_BYTES];
            for first in (0..n_nodes).step_by(READ_LABELS) {
                if self.has_left() {
                    break;
                }
                let n = READ_LABELS.min(n_nodes - first) * LABEL_BYTES;
                file.read_exact_at(&mut buffer[..n], (first * LABEL_BYTES) as u64)?;
                writer.fill(first, lane, &buffer[..n]);
            }
            Ok(())
        };
        match read() {
            Ok(()) => !self.has_left(),
            Err(error) => {
                self.end(Err(failure::input("the layer", &path, &error)));
                false
            }
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_files(&self, act: impl FnOnce(&mut Files) -> Result<(), TaskError>) -> bool {
        let mut files = self.files();
        // Looked at under the lock, so that nothing is written once `leave` has returned.
        if self.has_left() {
            return false;
        }
        let done = act(&mut files);
        drop(files);
        match done {
            Ok(()) => true,
            Err(error) => {
                self.end(Err(error));
                false
            }
        }
    }
}
