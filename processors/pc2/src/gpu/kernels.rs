// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels of `cuda/pc2.cu`, one typed launch each. Sizes are checked here, before the device sees them.

use std::sync::Arc;

use sealpipe_gpu::{
    GpuError, Kind,
    driver::{Context, DeviceMemory, Kernel, Stream, blocks},
    image::Images,
};

use crate::NODE_BYTES;

/// `BLOCK` of `cuda/pc2.cu`.
const BLOCK: u32 = 128;

/// Threads of a block of `encode`.
const ENCODE_BLOCK: u32 = 256;

/// Bytes of shared memory of a block of `column_hash_11`: `poseidon::scratch_words`, of 4 bytes.
const COLUMN_11_SHARED: u32 = 96 * 4 * BLOCK;

/// Made by `make kernels`, checked against their sources by a test.
pub const IMAGES: Images = Images {
    cubins: &[
        (75, include_bytes!("../../kernels/pc2.sm_75.cubin")),
        (80, include_bytes!("../../kernels/pc2.sm_80.cubin")),
        (86, include_bytes!("../../kernels/pc2.sm_86.cubin")),
        (89, include_bytes!("../../kernels/pc2.sm_89.cubin")),
        (90, include_bytes!("../../kernels/pc2.sm_90.cubin")),
    ],
    ptx: (90, include_bytes!("../../kernels/pc2.compute_90.ptx")),
};

/// The kernels of a device.
#[derive(Debug)]
pub struct Kernels {
    column_2: Kernel,
    column_11: Kernel,
    tree_row: Kernel,
    encode: Kernel,
}

/// Nodes in device memory, from one of them on.
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'m> {
    /// The memory.
    pub memory: &'m DeviceMemory,
    /// The first node.
    pub at: u64,
}

impl Nodes<'_> {
    fn range(&self, n: u64) -> Result<sealpipe_gpu::driver::Argument, GpuError> {
        self.memory.range(self.at as usize * NODE_BYTES, n as usize * NODE_BYTES)
    }
}

impl Kernels {
    /// Finds them in a context.
    pub fn new(context: &Arc<Context>) -> Result<Self, GpuError> {
        Ok(Self {
            column_2: context.kernel("column_hash_2", 0)?,
            column_11: context.kernel("column_hash_11", COLUMN_11_SHARED)?,
            tree_row: context.kernel("tree_row_8", 0)?,
            encode: context.kernel("encode", 0)?,
        })
    }

    /// Hashes n columns; layer l of them begins at node `l * n` of `layers`.
    pub fn columns(
        &self,
        stream: &mut Stream,
        out: Nodes<'_>,
        layers: Nodes<'_>,
        (n_layers, n): (u32, u64),
    ) -> Result<(), GpuError> {
        let kernel = match n_layers {
            2 => &self.column_2,
            11 => &self.column_11,
            other => return Err(GpuError::new(Kind::Defect, format!("columns of {other} layers"))),
        };
        let mut arguments =
            [out.range(n)?, layers.range(n * u64::from(n_layers))?, n.into(), n.into()];
        stream.launch(kernel, blocks(n, BLOCK)?, BLOCK, &mut arguments)
    }

    /// n nodes of an octree's row from the `8 n` below them.
    pub fn tree_row(
        &self,
        stream: &mut Stream,
        out: Nodes<'_>,
        below: Nodes<'_>,
        n: u64,
    ) -> Result<(), GpuError> {
        let mut arguments = [out.range(n)?, below.range(8 * n)?, n.into()];
        stream.launch(&self.tree_row, blocks(n, BLOCK)?, BLOCK, &mut arguments)
    }

    /// Encodes n nodes in place.
    pub fn encode(
        &self,
        stream: &mut Stream,
        data: Nodes<'_>,
        labels: Nodes<'_>,
        n: u64,
    ) -> Result<(), GpuError> {
        let mut arguments = [data.range(n)?, data.range(n)?, labels.range(n)?, n.into()];
        stream.launch(&self.encode, blocks(n, ENCODE_BLOCK)?, ENCODE_BLOCK, &mut arguments)
    }
}
