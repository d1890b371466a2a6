// SPDX-License-Identifier: MIT OR Apache-2.0

//! Labelling: which kernel there is, and what it works on.
//!
//! [`reference`] has the label written down, [`constants`] the shape of its message. [`portable`]
//! runs anywhere, [`sha_ni`] where the processor has the SHA extensions; both expand each of a
//! node's distinct blocks once.

pub mod constants;
pub mod portable;
pub mod reference;
pub mod sha_ni;

use std::{fmt, sync::Arc};

use crate::{
    memory::labels::{Labels, Words, Writer},
    parents::Parents,
};

/// Most lanes that a kernel works on at a time.
pub const MAX_LANES: usize = 4;

/// A sector among those that are labelled in lockstep.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Its place side by side with the others.
    pub index: usize,
    /// The replica's id as words.
    pub replica_id: Words,
}

/// A layer of some sectors that go in lockstep, as far as it is labelled.
#[derive(Debug)]
pub struct Batch {
    /// The layer, from 1.
    pub layer: u32,
    /// The graph.
    pub parents: Arc<Parents>,
    /// The labels of this layer.
    pub current: Writer,
    /// Those of the layer before, all published; `None` in layer 1.
    pub previous: Option<Arc<Labels>>,
    /// The sectors that are still wanted.
    pub lanes: Vec<Lane>,
}

impl Batch {
    /// Refuses what a kernel could not compute.
    fn check(&self, n_nodes: usize) {
        let labels = self.current.labels();
        let first = labels.published();
        assert!(first > 0 && first + n_nodes <= self.current.backed(), "nodes {first} + {n_nodes}");
        assert_eq!(labels.n_nodes(), self.parents.n_nodes());
        assert!(labels.n_nodes().is_power_of_two());
        assert!(self.lanes.iter().all(|lane| lane.index < labels.width()));
        assert_eq!(self.layer > 1, self.previous.is_some());
        if let Some(previous) = &self.previous {
            assert!(previous.published() == labels.n_nodes());
            assert_eq!(previous.width(), labels.width());
        }
    }

    /// Labels node 0, which has no parents.
    ///
    /// # Panics
    /// If there is no memory for it, or it is labelled already.
    pub fn label_first(&mut self) {
        let mut labels = vec![[0; 8]; self.current.labels().width()];
        for lane in &self.lanes {
            let replica_id = crate::memory::labels::to_bytes(lane.replica_id);
            let label = reference::label(&replica_id, self.layer, 0, &[]);
            labels[lane.index] = crate::memory::labels::to_words(&label);
        }
        assert_eq!(self.current.labels().published(), 0);
        self.current.push(&labels);
    }
}

/// What computes labels on this machine.
#[derive(Debug)]
pub enum Kernel {
    /// Interleaved lanes on the SHA extensions.
    ShaNi(Box<sha_ni::Engine>),
    /// Any machine.
    Portable(portable::Engine),
}

impl Kernel {
    /// The best one that this machine runs.
    pub fn detect() -> Self {
        sha_ni::ShaNi::detect()
            .map_or_else(Self::portable, |unit| Self::ShaNi(Box::new(sha_ni::Engine::new(unit))))
    }

    /// The one that runs anywhere.
    pub fn portable() -> Self {
        Self::Portable(portable::Engine::default())
    }

    /// Labels and publishes the next `n_nodes` nodes of each batch; never node 0. The batches need
    /// not be at the same node, nor in the same layer.
    ///
    /// # Panics
    /// If the batches have more than [`MAX_LANES`] lanes, or one lacks memory for the nodes.
    pub fn advance(&mut self, batches: &mut [&mut Batch], n_nodes: usize) {
        batches.iter().for_each(|batch| batch.check(n_nodes));
        assert!(batches.iter().map(|batch| batch.lanes.len()).sum::<usize>() <= MAX_LANES);
        match self {
            Self::ShaNi(engine) => engine.advance(batches, n_nodes),
            Self::Portable(engine) => engine.advance(batches, n_nodes),
        }
        for batch in batches {
            let end = batch.current.labels().published() + n_nodes;
            batch.current.publish(end);
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShaNi(_) => "SHA-NI lanes",
            Self::Portable(_) => "portable SHA-256",
        })
    }
}
