// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a multi-scalar multiplication is cut up, and what memory that takes. Pure.

/// Bits of a scalar, and one for the sign of its highest digit.
const SCALAR_BITS: u32 = 256;

/// Widths of windows: below, there are more windows than points are worth; above, 2^23 buckets a window.
const WIDTHS: std::ops::RangeInclusive<u32> = 4..=22;

/// Points of one chunk: enough that 2^19 buckets cost little beside them; their number fits an entry's 30 bits.
const MAX_CHUNK: u64 = 1 << 25;

/// Entries that are scattered at a time: a third of an H200's L2 cache.
const PART_BYTES: u64 = 16 << 20;

/// Levels of all stages of a pass: `totals` has so many.
pub(super) const MAX_LEVELS: u64 = 96;

/// Neighbours of a run: `RUN` of `msm_lists.cuh`.
pub(super) const RUN: u64 = 256;

/// `BLOCK` of `msm_add.cuh`.
pub(in crate::gpu) const ADD_BLOCK: u64 = 128;

/// ceil(lg n), 0 for 0 and 1.
pub(super) fn lg_ceil(n: u64) -> u32 {
    n.next_power_of_two().trailing_zeros()
}

/// The windows of scalars, and their buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Windows {
    /// Bits of a digit of the first windows; the last have one less.
    pub width: u32,
    /// Digits of a scalar.
    pub n: u64,
}

impl Windows {
    /// The width with the fewest additions for n points: one a digit and two a bucket.
    pub fn of(n: u64) -> Self {
        let windows = |width| Self { width, n: u64::from(SCALAR_BITS.div_ceil(width)) };
        let cost = |windows: &Self| windows.n * (n + 2 * windows.n_buckets());
        WIDTHS.map(windows).min_by_key(cost).unwrap_or_else(|| windows(*WIDTHS.end()))
    }

    /// Windows of the full width, so that all have the scalar's bits together.
    pub fn n_wide(self) -> u64 {
        let spare = self.n * u64::from(self.width) - u64::from(SCALAR_BITS);
        self.n.saturating_sub(spare)
    }

    /// The power of two that a window's digits count for.
    pub fn exponent(self, window: u64) -> u32 {
        let narrow = window.saturating_sub(self.n_wide());
        (window * u64::from(self.width) - narrow) as u32
    }

    /// Buckets of a window of the full width.
    pub fn n_buckets(self) -> u64 {
        1 << (self.width - 1)
    }

    /// A bucket's number is its row and its column.
    pub fn lg_columns(self) -> u32 {
        (self.width - 1) / 2
    }

    pub fn lg_rows(self) -> u32 {
        self.width - 1 - self.lg_columns()
    }

    /// Rows and columns of a window.
    pub fn n_lines(self) -> u64 {
        (1 << self.lg_rows()) + (1 << self.lg_columns())
    }

    /// Sums that a window ends in, each for a power of two: of rows by the bits of their number, of columns
    /// likewise, of all.
    pub fn n_weights(self) -> u64 {
        u64::from(self.width)
    }

    /// Into how many parts a window's buckets are cut so that the entries of one, 4 bytes for each of n points,
    /// fit the L2 cache; a power of two.
    pub fn lg_parts(self, n: u64) -> u32 {
        lg_ceil((4 * n).div_ceil(PART_BYTES)).min(self.width - 1)
    }

    /// What the sums of a window count for, as powers of two: bucket j has the weight j + 1.
    pub fn weights(self) -> impl Iterator<Item = u32> {
        let (rows, columns) = (self.lg_rows(), self.lg_columns());
        (columns..columns + rows).chain(0..columns).chain([0])
    }
}

/// Where a stage's lists are, in bytes from the beginning of the workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stage {
    /// Groups.
    pub n: u64,
    /// Entries of all lists.
    pub n_entries: u64,
    pub counts: usize,
    pub offsets: usize,
    /// Entries of level 0, 2, …, and those of 1, 3, ….
    pub lists: [usize; 2],
}

/// Bytes taken one after another.
#[derive(Debug, Default)]
struct Space(u64);

impl Space {
    /// 256 bytes is what the device aligns to.
    fn take(&mut self, bytes: u64) -> usize {
        let at = self.0;
        self.0 += bytes.next_multiple_of(256);
        usize::try_from(at).unwrap_or(usize::MAX)
    }

    fn stage(&mut self, n: u64, n_entries: u64) -> Stage {
        let [counts, offsets] = [4 * n, 4 * n].map(|bytes| self.take(bytes));
        let lists = [4 * n_entries, 4 * n_entries].map(|bytes| self.take(bytes));
        Stage { n, n_entries, counts, offsets, lists }
    }
}

/// The memory of a pass: some windows of one chunk of a multiplication, or one chunk of a sum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// Pairs so far by level, then two counters of placed entries.
    pub totals: usize,
    /// Stages, one after another.
    pub stages: Vec<Stage>,
    /// Digits' buckets; the first stage's odd lists are in the same place.
    pub keys: usize,
    /// Digits' ranks; pairs are in the same place.
    pub pairs: usize,
    /// Sums of the groups of the last stage, in Jacobian coordinates.
    pub results: usize,
    /// Sums of pairs.
    pub sums: usize,
    /// Those at most, and room for a block that is not full.
    pub n_sums: u64,
    /// Bytes of all.
    pub n_bytes: u64,
}

impl Layout {
    /// `n_windows` windows of n points.
    pub fn of_pass(windows: Windows, n: u64, n_windows: u64, point_bytes: u64) -> Self {
        let mut space = Space::default();
        let (n_digits, n_buckets) = (n * n_windows, windows.n_buckets() * n_windows);
        let n_full = n_digits.min(n_buckets);
        let totals = space.take(4 * MAX_LEVELS + 8);
        let n_weights = n_windows * windows.n_weights();
        let n_lines = n_windows * windows.n_lines();
        let lines = space.stage(n_lines, n_lines << windows.lg_rows());
        let weights = space.stage(n_weights, n_weights << windows.lg_rows());
        let buckets = space.stage(n_buckets, n_digits);
        let most_pairs = (n_digits / 2).max(n_full);
        let pairs = space.take((4 * n_digits).max(8 * most_pairs));
        let results = space.take(n_weights * point_bytes / 2 * 3);
        // Of buckets, of rows and of columns: n_digits - full + 2 full.
        let n_sums = n_digits + n_full + ADD_BLOCK;
        let sums = space.take(n_sums * point_bytes);
        let stages = vec![buckets, lines, weights];
        let keys = buckets.lists[1];
        Self { totals, stages, keys, pairs, results, sums, n_sums, n_bytes: space.0 }
    }

    /// A sum of at most n of the bases.
    pub fn of_sum(n: u64, point_bytes: u64) -> Self {
        let mut space = Space::default();
        let totals = space.take(4 * MAX_LEVELS + 8);
        let n_runs = n.div_ceil(RUN).max(1);
        let runs = space.stage(n_runs, n_runs * RUN);
        let n_groups = n_runs.div_ceil(RUN);
        let last = space.stage(n_groups, n_groups * RUN);
        let pairs = space.take(8 * n.div_ceil(2));
        let results = space.take(n_groups * point_bytes / 2 * 3);
        let n_sums = n + ADD_BLOCK;
        let sums = space.take(n_sums * point_bytes);
        let (stages, n_bytes) = (vec![runs, last], space.0);
        Self { totals, stages, keys: 0, pairs, results, sums, n_sums, n_bytes }
    }
}

/// Chunks and passes of a multiplication of n points.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub windows: Windows,
    /// Points of a chunk, but for the last.
    pub chunk: u64,
    /// Windows of a pass, but for the last.
    pub n_windows: u64,
}

impl Plan {
    /// The plan with the fewest chunks, then passes, whose pass fits; none if not even 1 point and window does.
    pub fn of(n: u64, point_bytes: u64, budget_bytes: u64) -> Option<Self> {
        let mut n_chunks = n.div_ceil(MAX_CHUNK).max(1);
        loop {
            let chunk = n.div_ceil(n_chunks).max(1);
            let windows = Windows::of(chunk);
            let fits = |n_windows: &u64| {
                Layout::of_pass(windows, chunk, *n_windows, point_bytes).n_bytes <= budget_bytes
            };
            if let Some(most) = (1..=windows.n).rev().find(fits) {
                // Passes of the same size.
                let n_windows = windows.n.div_ceil(windows.n.div_ceil(most));
                return Some(Self { windows, chunk, n_windows });
            }
            if chunk == 1 {
                return None;
            }
            n_chunks *= 2;
        }
    }
}

/// Indices of a chunk of a sum of n: none if not even a run fits.
pub(super) fn sum_chunk(n: u64, point_bytes: u64, budget_bytes: u64) -> Option<u64> {
    let fits = |chunk: &u64| Layout::of_sum(*chunk, point_bytes).n_bytes <= budget_bytes;
    let first = n.clamp(1, MAX_CHUNK);
    std::iter::successors(Some(first), |chunk| (*chunk > 1).then(|| chunk.div_ceil(2))).find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_with_the_points_and_hold_every_scalar() {
        for (n, width) in [(1 << 24, 20), (1 << 20, 16), (1, 4)] {
            assert_eq!(Windows::of(n).width, width, "{n}");
        }
        for n in (0..26).map(|lg| 1 << lg) {
            let windows = Windows::of(n);
            assert!(windows.exponent(windows.n) >= SCALAR_BITS, "{windows:?}");
            let widths = (0..windows.n).map(|w| windows.exponent(w + 1) - windows.exponent(w));
            assert!(
                widths.clone().all(|width| [windows.width, windows.width - 1].contains(&width))
            );
            assert_eq!(
                widths.filter(|width| *width == windows.width).count() as u64,
                windows.n_wide()
            );
            assert_eq!(windows.weights().count() as u64, windows.n_weights());
        }
    }

    #[test]
    fn a_plan_fits_its_budget_whatever_it_is() {
        for n in [1, 2, 1000, 1 << 20, (1 << 24) + 1, 1 << 27] {
            for budget in [1 << 20, 1 << 25, 1 << 30, 4 << 30, 100 << 30] {
                for point_bytes in [96, 192] {
                    let Some(plan) = Plan::of(n, point_bytes, budget) else { continue };
                    let layout =
                        Layout::of_pass(plan.windows, plan.chunk, plan.n_windows, point_bytes);
                    assert!(layout.n_bytes <= budget, "{n} {budget} {plan:?}");
                    assert!(plan.chunk * n.div_ceil(plan.chunk) >= n);
                }
            }
        }
        assert!(Plan::of(1 << 24, 96, 1 << 30).is_some());
        assert_eq!(Plan::of(1 << 24, 96, 30 << 30).map(|plan| plan.n_windows), Some(13));
        assert_eq!(Plan::of(1, 96, 1000), None);
    }

    #[test]
    fn a_sum_has_runs_of_runs() {
        for (n, runs, groups) in [(1, 1, 1), (256, 1, 1), (257, 2, 1), (65_537, 257, 2)] {
            let layout = Layout::of_sum(n, 96);
            let found: Vec<_> = layout.stages.iter().map(|stage| stage.n).collect();
            assert_eq!(found, [runs, groups], "{n}");
        }
        assert_eq!(sum_chunk(1 << 27, 96, 100 << 30), Some(1 << 25));
        assert!(sum_chunk(1 << 27, 192, 1 << 30).is_some_and(|chunk| chunk >= 1 << 21));
    }
}
