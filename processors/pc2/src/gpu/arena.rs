// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory of a running pc2 on one device: lanes for batches, and the rows of spans. All that is in flight
//! is here; nothing grows with the sector.
//!
//! | for | device | host |
//! |---|---|---|
//! | each of 4 lanes, batches of 2^18 and 11 layers | 104 MiB | 96 MiB |
//! | each of 6 sets of results | | 18 MiB |
//! | each of 2 spans of 2^24 columns | 147 MiB | 147 MiB |

use std::sync::Arc;

use sealpipe_gpu::{
    GpuError,
    driver::{Context, DeviceMemory, HostMemory, Stream},
};

use crate::{NODE_BYTES, top::rows_of_batch};

/// Batches that are read, hashed and written back at a time.
const N_LANES: usize = 4;

/// Batches whose results wait to be written, or are being computed.
const N_RESULTS: usize = 6;

/// Spans whose rows are on the device: one is filled while the other's tops are hashed and written.
const N_SPANS: usize = 2;

/// What decides how much memory is needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needs {
    /// Files that a batch is read from: the layers and the data.
    pub n_inputs: usize,
    /// Columns of a batch.
    pub batch: u64,
    /// Columns of a span at most.
    pub span: u64,
}

/// A batch's way over the device: read into `chunks`, uploaded, hashed, results downloaded.
#[derive(Debug)]
pub struct Lane {
    /// In it the batch is uploaded, and downloaded when it is computed.
    pub stream: Stream,
    /// The layers, one after the other.
    pub layers: DeviceMemory,
    /// The column hashes, then the data that becomes the replica.
    pub leaves: DeviceMemory,
    /// What was read, by input; absent while it is lent out.
    pub chunks: Vec<Option<HostMemory>>,
}

/// Column hashes and replica of a batch, on their way to the disk.
#[derive(Debug)]
pub struct Results {
    /// Leaves of tree-c.
    pub leaves_c: HostMemory,
    /// Nodes of the replica.
    pub replica: HostMemory,
    /// Row 1 of tree-c.
    pub row_c: HostMemory,
}

/// The rows above the leaves of a span.
#[derive(Debug)]
pub struct SpanRows {
    /// In it they are downloaded.
    pub stream: Stream,
    /// Rows 1, 2, … up to the top of the batches: of tree-c, then of tree-r-last.
    pub rows: Vec<DeviceMemory>,
    /// The same rows, one after the other; absent while it is lent out.
    pub host: Option<HostMemory>,
}

/// All of it.
#[derive(Debug)]
pub struct Arena {
    /// What it was made for.
    pub needs: Needs,
    /// In it all kernels run, one after the other: two at a time would push each other out of the
    /// instruction cache, which costs a quarter.
    pub compute: Stream,
    /// For batches.
    pub lanes: Vec<Lane>,
    /// For their results.
    pub results: Vec<Results>,
    /// For spans.
    pub spans: Vec<SpanRows>,
}

impl Arena {
    /// Takes the memory.
    ///
    /// # Errors
    /// [`OutOfMemory`](sealpipe_gpu::Kind::OutOfMemory).
    pub fn new(context: &Arc<Context>, needs: Needs) -> Result<Self, GpuError> {
        let batch = needs.batch as usize * NODE_BYTES;
        let lane = |_| {
            let chunks = (0..needs.n_inputs).map(|_| context.allocate_host(batch).map(Some));
            Ok(Lane {
                stream: context.stream()?,
                layers: context.allocate((needs.n_inputs - 1) * batch)?,
                leaves: context.allocate(2 * batch)?,
                chunks: chunks.collect::<Result<_, _>>()?,
            })
        };
        let results = |_| {
            Ok(Results {
                leaves_c: context.allocate_host(batch)?,
                replica: context.allocate_host(batch)?,
                row_c: context.allocate_host(batch / 8)?,
            })
        };
        let row_bytes = |row: u32| 2 * (needs.span >> (3 * row)) as usize * NODE_BYTES;
        let n_rows = rows_of_batch(needs.batch);
        let span = |_| {
            let rows = (1..=n_rows).map(|row| context.allocate(row_bytes(row)));
            Ok(SpanRows {
                stream: context.stream()?,
                rows: rows.collect::<Result<_, _>>()?,
                host: Some(context.allocate_host((1..=n_rows).map(row_bytes).sum())?),
            })
        };
        Ok(Self {
            needs,
            compute: context.stream()?,
            lanes: (0..N_LANES).map(lane).collect::<Result<_, GpuError>>()?,
            results: (0..N_RESULTS).map(results).collect::<Result<_, GpuError>>()?,
            spans: (0..N_SPANS).map(span).collect::<Result<_, GpuError>>()?,
        })
    }
}
