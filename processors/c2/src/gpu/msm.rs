// SPDX-License-Identifier: MIT OR Apache-2.0

//! Multi-scalar multiplication, and sums of selected points, in G1 and G2.
//!
//! Pippenger's method: scalars in signed digits, the points of a digit in its bucket, the buckets summed,
//! then the sums weighted. All of it is additions of affine points in pairs, level after level, whose
//! inverses are taken together (`cuda/msm_add.cuh`). A bucket j of a window counts j + 1 times: its number is
//! a row and a column, so the sums of the rows and of the columns are taken, of these the sums of those whose
//! number has a certain bit, and the host adds these few, doubling in between.
//!
//! Nothing depends on the values but the number of pairs of a level, which the device counts, so everything
//! is queued at once; the host waits at the end.

pub mod bench;

pub(super) mod kernels;
pub(super) mod plan;

use std::sync::Arc;

use group::Group as _;
use sealpipe_gpu::{
    GpuError, Kind,
    device::Device,
    driver::{Argument, Context, DeviceMemory, HostMemory, Stream},
};

use self::{
    kernels::{CurveKernels, Kernels},
    plan::{Layout, MAX_LEVELS, Plan, RUN, Stage, lg_ceil, sum_chunk},
};
use super::{
    element,
    points::{Curve, G1, G2},
};

type Result<T> = std::result::Result<T, GpuError>;

/// Bytes for the points that come back: more than any number of passes in use needs.
const RESULT_BYTES: usize = 8 << 20;

/// Blocks of `msm_add_g1` and `msm_add_g2` that a multiprocessor holds: their launch bounds.
pub(super) const BLOCKS_PER_PROCESSOR: [u32; 2] = [4, 2];

/// `ROWS_AND_COLUMNS`, `BITS` and `RUNS` of `msm_lists.cuh`.
const ROWS_AND_COLUMNS: u64 = 0;
const BITS: u64 = 1;
const RUNS: u64 = 2;

/// Part of a device's memory, from a byte on.
#[derive(Clone, Copy, Debug)]
pub struct At<'m> {
    /// The memory.
    pub memory: &'m DeviceMemory,
    /// The first byte.
    pub offset: usize,
}

impl At<'_> {
    fn range(&self, offset: u64, bytes: u64) -> Result<Argument> {
        let defect = || GpuError::new(Kind::Defect, format!("{bytes} bytes at {offset}"));
        let convert = |n: u64| usize::try_from(n).map_err(|_| defect());
        let offset = self.offset.checked_add(convert(offset)?).ok_or_else(defect)?;
        self.memory.range(offset, convert(bytes)?)
    }
}

/// Memory for intermediate results: the larger, the fewer passes; see [`Msm::wanted_bytes`].
#[derive(Clone, Copy, Debug)]
pub struct Workspace<'m> {
    /// Where, at a multiple of 256 bytes.
    pub at: At<'m>,
    /// How many bytes.
    pub bytes: u64,
}

/// Computes one sum at a time on a stream of its own; several may be used at once.
#[derive(Debug)]
pub struct Msm {
    kernels: Kernels,
    g1: Arc<CurveKernels>,
    g2: Arc<CurveKernels>,
    n_processors: u32,
    stream: Stream,
}

/// Queued sums whose points come back in so many bytes.
#[derive(Debug, Default)]
struct Results {
    /// By the power of two that a point counts for.
    weights: Vec<u32>,
}

/// One pass: where things are, what has been queued.
struct Pass<'p, C> {
    layout: &'p Layout,
    workspace: At<'p>,
    bases: Argument,
    level: u64,
    curve: std::marker::PhantomData<C>,
}

impl Msm {
    /// Finds the kernels in a context of the device.
    ///
    /// # Errors
    /// Whatever the driver says.
    pub fn new(context: &Arc<Context>, device: &Device) -> Result<Self> {
        let mut stream = context.stream()?;
        stream.lend(context.allocate_host(RESULT_BYTES)?);
        Ok(Self {
            kernels: Kernels::new(context)?,
            g1: Arc::new(CurveKernels::new(context, G1::NAME)?),
            g2: Arc::new(CurveKernels::new(context, G2::NAME)?),
            n_processors: device.n_processors,
            stream,
        })
    }

    /// Its stream, so that it can wait for others.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// Bytes of workspace with which a multiplication of n points is done in one pass a chunk.
    pub fn wanted_bytes<C: Curve>(n: u64) -> u64 {
        let point_bytes = C::POINT_BYTES as u64;
        Plan::of(n, point_bytes, u64::MAX).map_or(0, |plan| {
            Layout::of_pass(plan.windows, plan.chunk, plan.n_windows, point_bytes).n_bytes
        })
    }

    /// Bytes of workspace with which a sum of n selected points is made in one chunk.
    pub fn wanted_sum_bytes<C: Curve>(n: u64) -> u64 {
        Layout::of_sum(n, C::POINT_BYTES as u64).n_bytes
    }

    /// The sum of `scalars[i] bases[i]` for i below n. Scalars are in Montgomery form, below r.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`] when the workspace is too small, [`Kind::Lost`].
    pub fn multiply<C: Curve>(
        &mut self,
        bases: At<'_>,
        scalars: At<'_>,
        n: u64,
        workspace: Workspace<'_>,
    ) -> Result<C::Point> {
        let plan = Plan::of(n, C::POINT_BYTES as u64, workspace.bytes);
        let plan = plan.ok_or_else(|| too_small(workspace.bytes))?;
        let mut results = Results::default();
        for first in (0..n).step_by(plan.chunk as usize) {
            let n = plan.chunk.min(n - first);
            let points = bases.range(first * C::POINT_BYTES as u64, n * C::POINT_BYTES as u64)?;
            let scalars =
                scalars.range(first * element::BYTES as u64, n * element::BYTES as u64)?;
            for from in (0..plan.windows.n).step_by(plan.n_windows as usize) {
                let windows = from..plan.windows.n.min(from + plan.n_windows);
                self.pass::<C>(&plan, (points, scalars, n), windows, workspace.at, &mut results)?;
            }
        }
        self.finish::<C>(&results)
    }

    /// Some windows of one chunk.
    fn pass<C: Curve>(
        &mut self,
        plan: &Plan,
        (bases, scalars, n): (Argument, Argument, u64),
        range: std::ops::Range<u64>,
        workspace: At<'_>,
        results: &mut Results,
    ) -> Result<()> {
        let (windows, n_windows) = (plan.windows, range.end - range.start);
        let layout = Layout::of_pass(windows, n, n_windows, C::POINT_BYTES as u64);
        let mut pass = Pass::<C>::new(&layout, workspace, bases);
        let [buckets, lines, weights] = layout.stages[..] else {
            return Err(GpuError::new(Kind::Defect, "a pass has three stages"));
        };
        pass.clear(&mut self.stream)?;
        let n_digits = n * n_windows;
        let [keys, ranks] = [layout.keys, layout.pairs].map(|at| pass.words(at, n_digits));
        let (keys, ranks) = (keys?, ranks?);
        let [counts, offsets] = pass.groups(&buckets)?;
        self.stream.fill(
            workspace.memory,
            workspace.offset + buckets.counts,
            4 * buckets.n as usize,
            0,
        )?;
        let shape = [u64::from(windows.width), windows.n_wide(), range.start, n_windows];
        let [width, n_wide, from, count] = shape.map(Argument::from);
        let arguments = [keys, ranks, counts, scalars, n.into(), width, n_wide, from, count];
        self.kernels.digits(&mut self.stream, n, arguments)?;
        let arguments = [offsets, pass.used(0)?, counts, buckets.n.into()];
        self.kernels.place(&mut self.stream, buckets.n, arguments)?;
        let list = pass.words(buckets.lists[0], buckets.n_entries)?;
        let lg_parts = u64::from(windows.lg_parts(n));
        let arguments = [list, keys, ranks, offsets, n.into(), count, width, lg_parts.into()];
        self.kernels.scatter(&mut self.stream, n_digits << lg_parts, arguments)?;
        self.reduce(&mut pass, &buckets, (n, n_digits))?;
        let shape = [windows.lg_rows(), windows.lg_columns()].map(u64::from);
        let n_full = n_digits.min(buckets.n);
        self.regroup(&pass, ROWS_AND_COLUMNS, shape, (&buckets, &lines))?;
        self.reduce(&mut pass, &lines, (1 << shape[0], 2 * n_full))?;
        self.regroup(&pass, BITS, shape, (&lines, &weights))?;
        let of_windows = range.flat_map(|w| {
            let from = windows.exponent(w);
            windows.weights().map(move |weight| from + weight)
        });
        self.sum(&pass, &weights, of_windows.collect(), results)
    }

    /// The sum of those of n `bases` whose bit is set: `bases[i]` if bit `indices[i]` of `bits` is. Indices are
    /// 32 bits wide, `bits` are in words of 64, lowest first.
    ///
    /// # Errors
    /// [`Kind::OutOfMemory`] when the workspace is too small, [`Kind::Lost`].
    pub fn sum_of_bits<C: Curve>(
        &mut self,
        bases: At<'_>,
        (indices, n): (At<'_>, u64),
        (bits, n_bits): (At<'_>, u64),
        workspace: Workspace<'_>,
    ) -> Result<C::Point> {
        let chunk = sum_chunk(n, C::POINT_BYTES as u64, workspace.bytes);
        let chunk = chunk.ok_or_else(|| too_small(workspace.bytes))?;
        let bases = bases.range(0, n * C::POINT_BYTES as u64)?;
        let bits = bits.range(0, n_bits.div_ceil(64) * 8)?;
        let mut results = Results::default();
        for first in (0..n).step_by(chunk as usize) {
            let n = chunk.min(n - first);
            let layout = Layout::of_sum(n, C::POINT_BYTES as u64);
            let mut pass = Pass::<C>::new(&layout, workspace.at, bases);
            pass.clear(&mut self.stream)?;
            let [runs, last] = &layout.stages[..] else {
                return Err(GpuError::new(Kind::Defect, "a sum has two stages"));
            };
            let list = pass.words(runs.lists[0], runs.n_entries)?;
            let indices = indices.range(4 * first, 4 * n)?;
            let arguments = [list, pass.used(0)?, indices, bits, n.into(), first.into()];
            self.kernels.select(&mut self.stream, n, arguments)?;
            let [counts, offsets] = pass.groups(runs)?;
            let arguments = [counts, offsets, pass.used(0)?, runs.n.into()];
            self.kernels.cut(&mut self.stream, runs.n, arguments)?;
            self.reduce(&mut pass, runs, (RUN, n))?;
            self.regroup(&pass, RUNS, [0, 0], (runs, last))?;
            self.sum(&pass, last, vec![0; last.n as usize], &mut results)?;
        }
        self.finish::<C>(&results)
    }

    /// All levels of a stage: groups of at most `longest` entries, `n` in all.
    fn reduce<C: Curve>(
        &mut self,
        pass: &mut Pass<'_, C>,
        stage: &Stage,
        (longest, n): (u64, u64),
    ) -> Result<()> {
        let began = pass.level;
        let [counts, offsets] = pass.groups(stage)?;
        let layout = pass.layout;
        let totals = pass.words(layout.totals, MAX_LEVELS)?;
        let sums = pass.range(layout.sums, layout.n_sums * C::POINT_BYTES as u64)?;
        let lists = stage.lists.map(|at| pass.words(at, stage.n_entries));
        let [even, odd] = lists;
        let lists = [even?, odd?];
        let (kernels, most_blocks) = self.of::<C>();
        let most_blocks = most_blocks * self.n_processors;
        for level in 0..u64::from(lg_ceil(longest)) {
            if pass.level >= MAX_LEVELS {
                return Err(GpuError::new(Kind::Defect, "too many levels"));
            }
            let (from, to) = (lists[level as usize % 2], lists[(level as usize + 1) % 2]);
            let pairs = pass.range(layout.pairs, 8)?;
            let (n_groups, at) = (stage.n.into(), pass.level.into());
            let arguments = [pairs, to, from, totals, counts, offsets, n_groups, at, began.into()];
            self.kernels.pair(&mut self.stream, stage.n, arguments)?;
            // A group of more than 2^level entries has at most one pair for each 2^level of them.
            let most_pairs = (n >> level).min(n / 2).max(1);
            let arguments = [pass.bases, sums, pairs, totals, at];
            kernels.add(&mut self.stream, (most_pairs, most_blocks), arguments)?;
            pass.level += 1;
        }
        Ok(())
    }

    fn regroup<C: Curve>(
        &mut self,
        pass: &Pass<'_, C>,
        kind: u64,
        [lg_rows, lg_columns]: [u64; 2],
        (before, next): (&Stage, &Stage),
    ) -> Result<()> {
        let list = pass.words(next.lists[0], next.n_entries)?;
        let [counts, offsets] = pass.groups(next)?;
        let [old_counts, old_offsets] = pass.groups(before)?;
        let [even, odd] = before.lists.map(|at| pass.words(at, before.n_entries));
        let arguments = [
            list,
            counts,
            offsets,
            old_counts,
            old_offsets,
            even?,
            odd?,
            before.n.into(),
            kind.into(),
            lg_rows.into(),
            lg_columns.into(),
            (next.n_entries / next.n).into(),
        ];
        self.kernels.regroup(&mut self.stream, next.n, arguments)
    }

    /// Has the sums of a stage's groups come back.
    fn sum<C: Curve>(
        &mut self,
        pass: &Pass<'_, C>,
        stage: &Stage,
        weights: Vec<u32>,
        results: &mut Results,
    ) -> Result<()> {
        let n = stage.n;
        let [counts, offsets] = pass.groups(stage)?;
        let list = pass.words(stage.lists[0], stage.n_entries)?;
        let bytes = n as usize * C::SUM_BYTES;
        let out = pass.range(pass.layout.results, bytes as u64)?;
        let sums = pass.range(pass.layout.sums, C::POINT_BYTES as u64)?;
        let (kernels, _) = self.of::<C>();
        kernels.sum(&mut self.stream, n, [out, pass.bases, sums, counts, offsets, list])?;
        let to = results.weights.len() * C::SUM_BYTES;
        let from = pass.workspace.offset + pass.layout.results;
        self.stream.download((0, to), (pass.workspace.memory, from), bytes)?;
        results.weights.extend(weights);
        Ok(())
    }

    /// Waits, and adds what has come back.
    fn finish<C: Curve>(&mut self, results: &Results) -> Result<C::Point> {
        let memory: Vec<HostMemory> = self.stream.take_back()?;
        let bytes = memory.first().map_or(&[][..], HostMemory::as_slice);
        let top = results.weights.iter().max().map_or(0, |top| *top as usize + 1);
        let mut by_weight = vec![C::Point::identity(); top];
        for (weight, point) in results.weights.iter().zip(bytes.chunks_exact(C::SUM_BYTES)) {
            by_weight[*weight as usize] += C::read_sum(point);
        }
        let sum = by_weight.iter().rev().fold(C::Point::identity(), |sum, one| sum.double() + one);
        for memory in memory {
            self.stream.lend(memory);
        }
        Ok(sum)
    }

    fn of<C: Curve>(&self) -> (Arc<CurveKernels>, u32) {
        match C::NAME {
            G1::NAME => (Arc::clone(&self.g1), BLOCKS_PER_PROCESSOR[0]),
            _ => (Arc::clone(&self.g2), BLOCKS_PER_PROCESSOR[1]),
        }
    }
}

fn too_small(bytes: u64) -> GpuError {
    GpuError::new(Kind::OutOfMemory, format!("a workspace of {bytes} bytes holds no pass at all"))
}

impl<'p, C: Curve> Pass<'p, C> {
    fn new(layout: &'p Layout, workspace: At<'p>, bases: Argument) -> Self {
        Self { layout, workspace, bases, level: 0, curve: std::marker::PhantomData }
    }

    /// Counters to zero.
    fn clear(&self, stream: &mut Stream) -> Result<()> {
        let at = self.workspace.offset + self.layout.totals;
        stream.fill(self.workspace.memory, at, 4 * MAX_LEVELS as usize + 8, 0)
    }

    fn range(&self, at: usize, bytes: u64) -> Result<Argument> {
        self.workspace.range(at as u64, bytes)
    }

    /// n words of 32 bits.
    fn words(&self, at: usize, n: u64) -> Result<Argument> {
        self.range(at, 4 * n)
    }

    /// Counts and offsets of a stage's groups.
    fn groups(&self, stage: &Stage) -> Result<[Argument; 2]> {
        Ok([self.words(stage.counts, stage.n)?, self.words(stage.offsets, stage.n)?])
    }

    /// A counter of placed entries.
    fn used(&self, which: u64) -> Result<Argument> {
        self.words(self.layout.totals + 4 * (MAX_LEVELS + which) as usize, 1)
    }
}
