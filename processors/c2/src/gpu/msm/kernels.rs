// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels of `cuda/msm_*.cuh`, one launch each. The addresses are of ranges that the caller has checked.

use std::sync::Arc;

use super::plan::ADD_BLOCK;
use sealpipe_gpu::{
    GpuError, Kind,
    driver::{Argument, Context, Kernel, Stream},
};

/// `SUM_BLOCK` of `msm_add.cuh`.
const SUM_BLOCK: u32 = 64;

/// `LIST_BLOCK` of `msm_lists.cuh`, and the threads of the kernels of `msm_digits.cuh`.
const LIST_BLOCK: u32 = 256;

type Result<T> = std::result::Result<T, GpuError>;

#[derive(Debug)]
pub(super) struct Kernels {
    digits: Kernel,
    place: Kernel,
    scatter: Kernel,
    select: Kernel,
    cut: Kernel,
    regroup: Kernel,
    pair: Kernel,
}

/// The kernels of one of the two groups.
#[derive(Debug)]
pub(in crate::gpu) struct CurveKernels {
    add: Kernel,
    sum: Kernel,
}

fn launch<const N: usize>(
    stream: &mut Stream,
    kernel: &Kernel,
    n_threads: u64,
    mut arguments: [Argument; N],
) -> Result<()> {
    if n_threads == 0 {
        return Ok(());
    }
    let blocks = u32::try_from(n_threads.div_ceil(u64::from(LIST_BLOCK)))
        .map_err(|_| GpuError::new(Kind::Defect, format!("{n_threads} threads in one launch")))?;
    stream.launch(kernel, blocks, LIST_BLOCK, &mut arguments)
}

impl Kernels {
    pub fn new(context: &Arc<Context>) -> Result<Self> {
        let kernel = |name: &str| context.kernel(name, 0);
        Ok(Self {
            digits: kernel("msm_digits")?,
            place: kernel("msm_place")?,
            scatter: kernel("msm_scatter")?,
            select: kernel("msm_select")?,
            cut: kernel("msm_cut")?,
            regroup: kernel("msm_regroup")?,
            pair: kernel("msm_pair")?,
        })
    }

    /// keys, ranks, counts, scalars, n, width, n_wide, from, n_windows
    pub fn digits(&self, stream: &mut Stream, n: u64, arguments: [Argument; 9]) -> Result<()> {
        launch(stream, &self.digits, n, arguments)
    }

    /// offsets, used, counts, n
    pub fn place(&self, stream: &mut Stream, n: u64, arguments: [Argument; 4]) -> Result<()> {
        launch(stream, &self.place, n, arguments)
    }

    /// entries, keys, ranks, offsets, n, n_windows, width, lg_parts
    pub fn scatter(&self, stream: &mut Stream, n: u64, arguments: [Argument; 8]) -> Result<()> {
        launch(stream, &self.scatter, n, arguments)
    }

    /// list, used, indices, bits, n, from
    pub fn select(&self, stream: &mut Stream, n: u64, arguments: [Argument; 6]) -> Result<()> {
        launch(stream, &self.select, n, arguments)
    }

    /// counts, offsets, used, n
    pub fn cut(&self, stream: &mut Stream, n: u64, arguments: [Argument; 4]) -> Result<()> {
        launch(stream, &self.cut, n, arguments)
    }

    /// list, counts, offsets, the four of the stage before, n_before, kind, lg_rows, lg_columns, max_length
    pub fn regroup(&self, stream: &mut Stream, n: u64, arguments: [Argument; 12]) -> Result<()> {
        launch(stream, &self.regroup, n * u64::from(LIST_BLOCK), arguments)
    }

    /// pairs, next, lists, totals, counts, offsets, n, level, began
    pub fn pair(&self, stream: &mut Stream, n: u64, arguments: [Argument; 9]) -> Result<()> {
        launch(stream, &self.pair, n, arguments)
    }
}

impl CurveKernels {
    pub fn new(context: &Arc<Context>, curve: &str) -> Result<Self> {
        let kernel = |name: &str| context.kernel(&format!("msm_{name}_{curve}"), 0);
        Ok(Self { add: kernel("add")?, sum: kernel("sum")? })
    }

    /// bases, sums, pairs, totals, level; with at most `most` blocks for at most n pairs
    pub fn add(
        &self,
        stream: &mut Stream,
        (n, most): (u64, u32),
        mut arguments: [Argument; 5],
    ) -> Result<()> {
        let blocks = n.div_ceil(ADD_BLOCK).clamp(1, u64::from(most));
        stream.launch(&self.add, blocks as u32, ADD_BLOCK as u32, &mut arguments)
    }

    /// out, bases, sums, counts, offsets, list; of n groups
    pub fn sum(&self, stream: &mut Stream, n: u64, mut arguments: [Argument; 6]) -> Result<()> {
        let blocks = u32::try_from(n)
            .map_err(|_| GpuError::new(Kind::Defect, format!("{n} blocks in one launch")))?;
        stream.launch(&self.sum, blocks, SUM_BLOCK, &mut arguments)
    }
}
