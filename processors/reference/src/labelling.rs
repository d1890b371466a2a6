// SPDX-License-Identifier: MIT OR Apache-2.0

//! Follows the library while it labels: which layer, by its log; how far, by the window of the
//! parent cache that it has mapped.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sealpipe_protocol::stage::proof::SealProof;

use crate::{meter, parents, tap};

/// How often finished layers are looked for and progress is read.
pub const TICK: Duration = Duration::from_millis(250);

/// The labelling of a sector in this process.
#[derive(Debug)]
pub struct Labelling {
    proof: SealProof,
    layer: Arc<AtomicU32>,
    seen: Mutex<Now>,
    _listening: tap::Listening,
}

/// How far the labelling is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    proof: SealProof,
    layer: u32,
    nodes: u64,
}

impl Now {
    /// The phase's name.
    pub fn phase(&self) -> String {
        format!("layer {}/{}", self.layer, self.proof.n_layers())
    }

    /// Nodes labelled over all layers.
    pub fn nodes_done(&self) -> u64 {
        u64::from(self.layer.saturating_sub(1)) * self.proof.n_nodes() + self.nodes
    }

    /// The state a moment later, when the log names `layer` and the mapped window ends at `nodes`.
    /// Between two layers the last window of the one before is still mapped, so a layer after
    /// another begins when a window in its first half is seen, and only rises from there.
    fn next(self, layer: u32, nodes: u64) -> Self {
        let nodes = nodes.min(self.proof.n_nodes());
        let begins = layer != self.layer;
        let stale = begins && self.layer > 0 && nodes > self.proof.n_nodes() / 2;
        match (stale, begins) {
            (true, _) => self.at(layer - 1, self.proof.n_nodes()),
            (false, true) => self.at(layer, nodes),
            (false, false) => self.at(layer, nodes.max(self.nodes)),
        }
    }

    fn at(self, layer: u32, nodes: u64) -> Self {
        Self { layer, nodes, ..self }
    }
}

impl Labelling {
    /// Begins to listen; the labelling itself is the caller's.
    pub fn start(proof: SealProof) -> Self {
        let layer = Arc::new(AtomicU32::new(0));
        let heard = Arc::clone(&layer);
        let listening = tap::listen(move |_, line| {
            let number = line.strip_prefix("Layer ").or(line.strip_prefix("generating layer: "));
            if let Some(number) = number.and_then(|text| text.parse().ok()) {
                heard.store(number, Ordering::Relaxed);
            }
        });
        let seen = Mutex::new(Now { proof, layer: 0, nodes: 0 });
        Self { proof, layer, seen, _listening: listening }
    }

    /// How far it is, when `finished` layers are on disk.
    pub fn now(&self, finished: u32) -> Now {
        // A layer after the finished ones is being labelled, even if the log has not said so yet.
        let layer = self.layer.load(Ordering::Relaxed).max(finished + 1).min(self.proof.n_layers());
        let offset = meter::highest_mapped_offset(parents::file_name(self.proof)).unwrap_or(0);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = seen.next(layer, offset / parents::ENTRY_BYTES);
        *seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_rise_within_a_layer_and_from_layer_to_layer() {
        let start = Now { proof: SealProof::StackedDrg2KiBV1_1, layer: 0, nodes: 0 };
        let mut now = start;
        let mut check = |layer, nodes, expected_phase: &str, expected_done| {
            now = now.next(layer, nodes);
            let seen = (now.phase(), now.nodes_done());
            assert_eq!(seen, (expected_phase.to_owned(), expected_done), "{layer}:{nodes}");
        };
        check(1, 0, "layer 1/2", 0);
        check(1, 40, "layer 1/2", 40);
        check(1, 30, "layer 1/2", 40);
        check(1, 90, "layer 1/2", 64);
        // The last window of layer 1 is still mapped.
        check(2, 60, "layer 1/2", 64);
        check(2, 8, "layer 2/2", 72);
        check(2, 60, "layer 2/2", 124);
        // The first layer that is seen has none before it, wherever it is found.
        assert_eq!(start.next(2, 60).nodes_done(), 124);
    }
}
