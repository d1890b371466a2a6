// SPDX-License-Identifier: MIT OR Apache-2.0

//! The labels of one layer for the sectors of a group, laid out \[node\]\[lane\].
//!
//! A label is kept as the eight words that SHA-256 works on, not as the network's bytes, so that
//! hashing needs no byte swaps: they happen on the way to the disk and back. Nodes are published in
//! order; what is published is never written again, so that others may read it meanwhile.

#![expect(unsafe_code, reason = "labels are shared while they grow")]

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    region::Region,
    supply::{Lease, Supply},
};

/// A label as SHA-256's words.
pub type Words = [u32; 8];

/// Bytes of a label.
pub const LABEL_BYTES: usize = 32;

/// Labels of a layer, as far as they are published.
#[derive(Debug)]
pub struct Labels {
    region: Region,
    width: usize,
    n_nodes: usize,
    backed: AtomicUsize,
    published: AtomicUsize,
    // Given back after the region is unmapped: fields are dropped in order.
    leases: Mutex<Vec<Lease>>,
}

/// The only one who writes the labels of a layer.
#[derive(Debug)]
pub struct Writer(Arc<Labels>);

/// The only one who backs the labels of a layer with memory, from the first node on.
#[derive(Debug)]
pub struct Backer {
    labels: Arc<Labels>,
    backed_bytes: usize,
}

impl Labels {
    /// Bytes that the labels of `n_nodes` take for `width` sectors.
    pub fn bytes(n_nodes: usize, width: usize) -> usize {
        n_nodes * width * LABEL_BYTES
    }

    /// The label of a published node.
    ///
    /// # Panics
    /// If the node is not published, or there is no such lane.
    pub fn get(&self, node: usize, lane: usize) -> Words {
        assert!(node < self.published() && lane < self.width);
        // SAFETY: the node is published, so the memory is backed and nobody writes it any more; the
        // address is a multiple of 32.
        unsafe { self.at(node, lane).read() }
    }

    /// Copies published labels of a lane as the network's bytes.
    ///
    /// # Panics
    /// If not all of them are published, or `bytes` has another length.
    pub fn copy_bytes(&self, nodes: Range<usize>, lane: usize, bytes: &mut [u8]) {
        assert!(nodes.end <= self.published() && lane < self.width);
        let (labels, rest) = bytes.as_chunks_mut::<LABEL_BYTES>();
        assert!(rest.is_empty() && labels.len() == nodes.len());
        for (node, label) in nodes.zip(labels) {
            // SAFETY: as in `get`.
            *label = to_bytes(unsafe { self.at(node, lane).read() });
        }
    }

    /// Nodes published so far.
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Acquire)
    }

    /// Nodes in all.
    pub fn n_nodes(&self) -> usize {
        self.n_nodes
    }

    /// Sectors side by side.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes from a node to the next.
    pub(crate) fn stride(&self) -> usize {
        self.width * LABEL_BYTES
    }

    /// The first label of a lane.
    pub(crate) fn base(&self, lane: usize) -> *mut u8 {
        assert!(lane < self.width);
        self.region.base().wrapping_add(lane * LABEL_BYTES)
    }

    fn at(&self, node: usize, lane: usize) -> *mut Words {
        self.region.base().wrapping_add((node * self.width + lane) * LABEL_BYTES).cast()
    }
}

impl Writer {
    /// Labels of which none is backed by memory yet. `align` is that of the pieces to come.
    ///
    /// # Errors
    /// What the system says when it has no such range of addresses.
    pub fn reserve(n_nodes: usize, width: usize, align: usize) -> io::Result<(Self, Backer)> {
        assert!((2..=1 << 32).contains(&n_nodes) && width > 0);
        let bytes = Labels::bytes(n_nodes, width).next_multiple_of(align);
        let region = Region::reserve(bytes, align)?;
        let (backed, published) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let leases = Mutex::default();
        let labels = Arc::new(Labels { region, width, n_nodes, backed, published, leases });
        Ok((Self(labels.clone()), Backer { labels, backed_bytes: 0 }))
    }

    /// The labels, for readers.
    pub fn labels(&self) -> &Arc<Labels> {
        &self.0
    }

    /// Nodes that there is memory for.
    pub fn backed(&self) -> usize {
        self.0.backed.load(Ordering::Acquire)
    }

    /// Writes the next node's labels for all lanes, and publishes it.
    ///
    /// # Panics
    /// If there is no memory for it, or not one label for each lane.
    pub fn push(&mut self, labels: &[Words]) {
        let node = self.0.published();
        assert!(node < self.backed() && labels.len() == self.0.width);
        for (lane, label) in labels.iter().enumerate() {
            // SAFETY: the node is backed and not published, so only this writer touches it.
            unsafe { self.0.at(node, lane).write(*label) };
        }
        self.publish(node + 1);
    }

    /// Writes labels of one lane from the network's bytes, from `first` on, without publishing.
    ///
    /// # Panics
    /// If there is no memory for them or they are published already.
    pub fn fill(&mut self, first: usize, lane: usize, bytes: &[u8]) {
        let (labels, rest) = bytes.as_chunks::<LABEL_BYTES>();
        assert!(rest.is_empty() && lane < self.0.width);
        assert!(first >= self.0.published() && first + labels.len() <= self.backed());
        for (i, label) in labels.iter().enumerate() {
            // SAFETY: as in `push`.
            unsafe { self.0.at(first + i, lane).write(to_words(label)) };
        }
    }

    /// Publishes all nodes before `end`.
    ///
    /// # Panics
    /// If some have no memory, or more are published.
    pub fn publish(&mut self, end: usize) {
        assert!(end <= self.backed() && end >= self.0.published());
        self.0.published.store(end, Ordering::Release);
    }
}

impl Backer {
    /// Bytes that are not backed yet.
    pub fn missing_bytes(&self) -> usize {
        self.labels.region.bytes() - self.backed_bytes
    }

    /// Nodes that are backed and not published.
    pub fn nodes_ahead(&self) -> usize {
        self.labels.backed.load(Ordering::Acquire) - self.labels.published()
    }

    /// Whether every node has memory.
    pub fn is_done(&self) -> bool {
        self.missing_bytes() == 0
    }

    /// Backs the next `bytes`, or what is missing.
    ///
    /// # Errors
    /// What the system says when it has no memory.
    pub fn back(&mut self, bytes: usize, supply: &Supply) -> io::Result<()> {
        let bytes = bytes.min(self.missing_bytes());
        let lease = supply.back(&self.labels.region, self.backed_bytes, bytes)?;
        self.labels.leases.lock().unwrap_or_else(PoisonError::into_inner).extend(lease);
        self.backed_bytes += bytes;
        let n_nodes = (self.backed_bytes / self.labels.stride()).min(self.labels.n_nodes);
        self.labels.backed.store(n_nodes, Ordering::Release);
        Ok(())
    }
}

/// The network's bytes of a label.
pub fn to_bytes(words: Words) -> [u8; LABEL_BYTES] {
    let mut bytes = [0; LABEL_BYTES];
    for (word, bytes) in words.iter().zip(bytes.as_chunks_mut::<4>().0) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

/// The words of a label.
pub fn to_words(bytes: &[u8; LABEL_BYTES]) -> Words {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}
