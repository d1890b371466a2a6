// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many multiples of one point: what test parameters are made of.
//!
//! A table has the multiples of the point by each digit of 16 bits at each of its 16 places, 100 MB in G1;
//! a multiple is then the sum of 16 entries, 15 additions (`cuda/fixed_base.cuh`).

use std::{marker::PhantomData, sync::Arc};

use blstrs::Scalar;
use ff::PrimeField as _;
use group::{Curve as _, Group as _};
use rayon::prelude::*;
use sealpipe_gpu::{
    GpuError,
    device::Device,
    driver::{Context, DeviceMemory, Kernel, Staging, Stream, blocks},
};

use super::{
    element,
    msm::{BLOCKS_PER_PROCESSOR, kernels::CurveKernels, plan::ADD_BLOCK},
    points::{Curve, G1},
};

/// `LG_WINDOW` of `fixed_base.cuh`.
const LG_WINDOW: usize = 16;

/// Digits of a scalar.
const N_WINDOWS: usize = 16;

/// Entries of the table.
const N_ENTRIES: usize = N_WINDOWS << LG_WINDOW;

/// Bytes of a pair of entries.
const PAIR_BYTES: usize = 8;

/// Pairs a scalar in each level.
const LEVELS: [usize; 4] = [8, 4, 2, 1];

/// Additions a scalar.
const N_SUMS: usize = 15;

/// Threads of a block of the small kernels.
const BLOCK: u32 = 256;

/// Multiples that are computed at a time: 1.6 GB of sums in G1, 3.2 in G2.
pub const MAX_BATCH: usize = 1 << 20;

/// Multiplies one point by many scalars, in memory of its own.
#[derive(Debug)]
pub struct FixedBase<C: Curve> {
    entries: Kernel,
    pairs_of_sums: Kernel,
    add: CurveKernels,
    most_blocks: u32,
    stream: Stream,
    table: DeviceMemory,
    scalars: DeviceMemory,
    pairs: DeviceMemory,
    sums: DeviceMemory,
    totals: DeviceMemory,
    curve: PhantomData<C>,
}

impl<C: Curve> FixedBase<C>
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    /// Makes the table, on all threads of the current pool.
    ///
    /// # Errors
    /// [`OutOfMemory`](sealpipe_gpu::Kind::OutOfMemory), and what else the driver says.
    pub fn new(
        context: &Arc<Context>,
        device: &Device,
        staging: &mut Staging,
        point: C::Point,
    ) -> Result<Self, GpuError> {
        let made = Self {
            entries: context.kernel("fixed_base_entries", 0)?,
            pairs_of_sums: context.kernel("fixed_base_sums", 0)?,
            add: CurveKernels::new(context, C::NAME)?,
            most_blocks: BLOCKS_PER_PROCESSOR[usize::from(C::NAME != G1::NAME)]
                * device.n_processors,
            stream: context.stream()?,
            table: context.allocate(N_ENTRIES * C::POINT_BYTES)?,
            scalars: context.allocate(MAX_BATCH * element::BYTES)?,
            pairs: context.allocate(MAX_BATCH * LEVELS[0] * PAIR_BYTES)?,
            sums: context.allocate(sums_bytes::<C>(MAX_BATCH))?,
            totals: context.allocate(LEVELS.len() * size_of::<u32>())?,
            curve: PhantomData,
        };
        staging.upload(&made.table, 0, &table::<C>(point))?;
        Ok(made)
    }

    /// Writes the multiples by `scalars`, at most [`MAX_BATCH`], as a device has points.
    ///
    /// # Errors
    /// [`Defect`](sealpipe_gpu::Kind::Defect) for more, [`Lost`](sealpipe_gpu::Kind::Lost).
    ///
    /// # Panics
    /// When `to` is not as long as the points.
    pub fn multiply(
        &mut self,
        staging: &mut Staging,
        scalars: &[Scalar],
        to: &mut [u8],
    ) -> Result<(), GpuError> {
        let n = scalars.len();
        assert_eq!(to.len(), n * C::POINT_BYTES, "a point a scalar");
        if n == 0 {
            return Ok(());
        }
        let totals: Vec<u8> =
            LEVELS.iter().flat_map(|pairs| ((pairs * n) as u32).to_le_bytes()).collect();
        staging.upload(&self.totals, 0, &totals)?;
        let words: Vec<[u8; 32]> = scalars.par_iter().map(Scalar::to_repr).collect();
        staging.upload(&self.scalars, 0, words.as_flattened())?;
        let table = self.table.range(0, N_ENTRIES * C::POINT_BYTES)?;
        let sums = self.sums.range(0, sums_bytes::<C>(n))?;
        let mut first = 0;
        for (level, pairs_each) in LEVELS.into_iter().enumerate() {
            let n_pairs = n * pairs_each;
            let pairs = self.pairs.range(0, n_pairs * PAIR_BYTES)?;
            let grid = blocks(n_pairs as u64, BLOCK)?;
            let (kernel, mut arguments) = if level == 0 {
                let words = self.scalars.range(0, n * element::BYTES)?;
                (&self.entries, [pairs, words, (n_pairs as u64).into()])
            } else {
                let before = first - n * LEVELS[level - 1];
                (&self.pairs_of_sums, [pairs, (before as u64).into(), (n_pairs as u64).into()])
            };
            self.stream.launch(kernel, grid, BLOCK, &mut arguments)?;
            let totals = self.totals.range(0, LEVELS.len() * size_of::<u32>())?;
            let arguments = [table, sums, pairs, totals, (level as u64).into()];
            self.add.add(&mut self.stream, (n_pairs as u64, self.most_blocks), arguments)?;
            first += n_pairs;
        }
        self.stream.finish()?;
        staging.download(to, &self.sums, (first - n) * C::POINT_BYTES)
    }
}

/// Bytes for the sums of n multiples, and for what a block that is not full writes beside them.
fn sums_bytes<C: Curve>(n: usize) -> usize {
    (n * N_SUMS + ADD_BLOCK as usize) * C::POINT_BYTES
}

/// Entry `digit + 2^16 place` is `digit 2^(16 place)` times the point.
fn table<C: Curve>(point: C::Point) -> Vec<u8>
where
    C::Point: group::Curve<AffineRepr = C::Affine>,
    C::Affine: Default,
{
    let double = |point: &C::Point| Some((0..LG_WINDOW).fold(*point, |point, _| point.double()));
    let places: Vec<_> = std::iter::successors(Some(point), double).take(N_WINDOWS).collect();
    let parts: Vec<Vec<u8>> = places
        .into_par_iter()
        .map(|unit| {
            let next = |sum: &C::Point| Some(*sum + unit);
            let multiples = std::iter::successors(Some(C::Point::identity()), next);
            let multiples: Vec<_> = multiples.take(1 << LG_WINDOW).collect();
            let mut affine = vec![C::Affine::default(); multiples.len()];
            C::Point::batch_normalize(&multiples, &mut affine);
            let mut bytes = Vec::with_capacity(multiples.len() * C::POINT_BYTES);
            affine.iter().for_each(|point| C::write(point, &mut bytes));
            bytes
        })
        .collect();
    parts.concat()
}
