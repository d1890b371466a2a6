// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many multiples of one point: `k_i * G` for known scalars `k_i`.
//!
//! A scalar is cut into signed digits of `w` bits, `k = sum d_j 2^(w j)`, and a table holds the
//! affine points `d * 2^(w j) * G` for every window j and every d in `1..=2^(w-1)`; a negative
//! digit negates y. A multiple is then a sum of one table entry a window. Sums are taken in affine
//! coordinates over a block of points at a time, window by window, and a block shares one inversion
//! (Montgomery's trick), so that an addition costs 5 multiplications and 1 squaring:
//!
//! ```text
//! lambda = (y2 - y1) / (x2 - x1)     1 M, and 3 M for a share of the inversion
//! x3 = lambda^2 - x1 - x2            1 S
//! y3 = lambda (x1 - x3) - y1         1 M
//! ```
//!
//! The formula fails for equal x and for the point at infinity. Both are found when the
//! denominators are multiplied up, and such a sum is taken by itself. This module knows neither
//! circuits nor files, and nothing in it runs in constant time.

use blstrs::{G1Affine, G2Affine, Scalar};
use ff::PrimeField;
use rayon::prelude::*;

use crate::field::{Field, Fp, Fp2, prefetch, vec_on_huge_pages};

/// Points a block: the block's sums, its products and the table entries in use (in G1 96 + 48 + 96
/// bytes a point) take a quarter of a MiB of L2, and one inversion (about 80 multiplications)
/// adds a seventieth to the 6 of each addition.
pub(crate) const N_BLOCK: usize = 1024;

/// How many points ahead table entries are prefetched: a memory access hides behind about two
/// additions, and sixteen is safe for slower memory.
const N_AHEAD: usize = 16;

/// The same for the way back through a block, when the entries are in L2.
const N_AHEAD_AGAIN: usize = 4;

/// Bits of a scalar that digits must cover: one of k and r - k is below 2^254, and signed digits
/// carry into one bit more.
const N_DIGIT_BITS: u32 = 255;

/// A point of G1 or G2 in affine coordinates. Infinity is (0, 0), which is on neither curve.
///
/// The alignment keeps a point of G1, 96 bytes, within two lines of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub(crate) struct Affine<F> {
    pub(crate) x: F,
    pub(crate) y: F,
}

impl<F: Field> Affine<F> {
    /// The neutral element.
    pub(crate) const INFINITY: Self = Affine { x: F::ZERO, y: F::ZERO };
    /// Bytes of a point in the file.
    pub(crate) const N_BYTES: usize = 2 * F::N_BYTES;

    pub(crate) fn is_infinity(&self) -> bool {
        self.x.is_zero() && self.y.is_zero()
    }

    fn neg_if(self, negative: bool) -> Self {
        if negative && !self.is_infinity() { Affine { x: self.x, y: self.y.neg() } } else { self }
    }

    /// The sum, whatever the two points are, at the price of an inversion of its own.
    fn add(&self, rhs: &Self) -> Self {
        if self.is_infinity() {
            return *rhs;
        }
        if rhs.is_infinity() {
            return *self;
        }
        let slope = if self.x != rhs.x {
            rhs.y.sub(&self.y).mul(&rhs.x.sub(&self.x).inverse())
        } else if self.y == rhs.y && !self.y.is_zero() {
            // Both curves are y^2 = x^3 + b, so the tangent's slope is 3 x^2 / 2 y.
            let square = self.x.square();
            square.add(&square).add(&square).mul(&self.y.add(&self.y).inverse())
        } else {
            return Self::INFINITY;
        };
        self.add_along(&slope, &rhs.x)
    }

    /// The third point, mirrored, of the line through `self` and a point with x = `rhs_x`.
    #[inline]
    fn add_along(&self, slope: &F, rhs_x: &F) -> Self {
        let mut square = F::ZERO;
        square.set_square(slope);
        let x = square.sub(&self.x).sub(rhs_x);
        let mut drop = F::ZERO;
        drop.set_mul(slope, &self.x.sub(&x));
        Affine { x, y: drop.sub(&self.y) }
    }

    /// Writes the point as bellperson and zkcrypto do: x then y, big-endian, and for infinity
    /// zeros with the second highest bit of the first byte set.
    ///
    /// # Panics
    /// If `out` is not `N_BYTES` long.
    pub(crate) fn write(&self, out: &mut [u8]) {
        let (x, y) = out.split_at_mut(F::N_BYTES);
        self.x.write_be(x);
        self.y.write_be(y);
        if self.is_infinity() {
            out[0] |= 0x40;
        }
    }

    fn read(bytes: &[u8]) -> Self {
        let (x, y) = bytes.split_at(F::N_BYTES);
        if x[0] & 0x40 != 0 {
            return Self::INFINITY;
        }
        Affine { x: F::read_be(x), y: F::read_be(y) }
    }
}

impl From<&G1Affine> for Affine<Fp> {
    fn from(point: &G1Affine) -> Self {
        Affine::read(&point.to_uncompressed())
    }
}

impl From<&G2Affine> for Affine<Fp2> {
    fn from(point: &G2Affine) -> Self {
        Affine::read(&point.to_uncompressed())
    }
}

/// Adds `digits[i] * B` to `sums[i]` for each i, where `multiples[d - 1]` is d B.
///
/// `products` is scratch as long as `sums`. The way forward multiplies up the denominators, the way
/// back divides the inverse of their product by one after another.
fn add_multiples<F: Field>(
    sums: &mut [Affine<F>],
    digits: &[i32],
    multiples: &[Affine<F>],
    products: &mut [F],
) {
    let entry = |digit: i32| &multiples[digit.unsigned_abs() as usize - 1];
    let mut product = F::ONE;
    let prefetch_entry = |i: usize| {
        if let Some(&digit) = digits.get(i)
            && digit != 0
        {
            prefetch(entry(digit));
        }
    };
    for i in 0..sums.len() {
        prefetch_entry(i + N_AHEAD);
        // A zero marks a sum that is done; no product of non-zero denominators is zero.
        products[i] = F::ZERO;
        let digit = digits[i];
        if digit == 0 {
            continue;
        }
        let rhs = entry(digit);
        let run = rhs.x.sub(&sums[i].x);
        if run.is_zero() || sums[i].is_infinity() || rhs.is_infinity() {
            sums[i] = sums[i].add(&rhs.neg_if(digit < 0));
            continue;
        }
        products[i] = product;
        product.mul_assign(&run);
    }
    let mut inverse = product.inverse();
    let mut slope = F::ZERO;
    for i in (0..sums.len()).rev() {
        prefetch_entry(i.wrapping_sub(N_AHEAD_AGAIN));
        if products[i].is_zero() {
            continue;
        }
        let rhs = entry(digits[i]);
        let sum = &mut sums[i];
        let run = rhs.x.sub(&sum.x);
        let rise = if digits[i] < 0 { rhs.y.add(&sum.y).neg() } else { rhs.y.sub(&sum.y) };
        slope.set_mul(&inverse, &products[i]);
        slope.mul_assign(&rise);
        inverse.mul_assign(&run);
        *sum = sum.add_along(&slope, &rhs.x);
    }
}

/// The multiples of one point that [`Table::multiply`] adds up.
pub(crate) struct Table<F> {
    lg_window: u32,
    /// Window after window, `2^(lg_window - 1)` points each; the point at `d - 1` of window j is
    /// `d * 2^(lg_window * j) * G`.
    entries: Vec<Affine<F>>,
}

/// The window that makes `n_points` multiples in the fewest additions, those of the table
/// included, among tables that hold at most `max_bytes` bytes.
pub(crate) fn lg_window<F: Field>(n_points: usize, max_bytes: usize) -> u32 {
    let cost = |w: u32| {
        let n_windows = N_DIGIT_BITS.div_ceil(w) as usize;
        n_points * (n_windows - 1) + (n_windows << (w - 1))
    };
    let bytes = |w: u32| (N_DIGIT_BITS.div_ceil(w) as usize) << (w - 1);
    let fits = |w: &u32| bytes(*w) * size_of::<Affine<F>>() <= max_bytes;
    (4..=22).filter(fits).min_by_key(|w| cost(*w)).unwrap_or(4)
}

impl<F: Field> Table<F> {
    /// Makes the table of `base` with windows of `lg_window` bits, 2 to 30, on all threads of the
    /// rayon pool.
    pub(crate) fn new(base: Affine<F>, lg_window: u32) -> Self {
        let n_windows = N_DIGIT_BITS.div_ceil(lg_window) as usize;
        let mut bases = Vec::with_capacity(n_windows);
        let mut point = base;
        for _ in 0..n_windows {
            bases.push(point);
            for _ in 0..lg_window {
                point = point.add(&point);
            }
        }
        let n_entries = 1 << (lg_window - 1);
        let mut entries = vec_on_huge_pages(Affine::INFINITY, n_windows * n_entries);
        let windows = entries.par_chunks_mut(n_entries);
        windows.zip(bases).for_each(|(window, base)| fill_multiples(window, base));
        Table { lg_window, entries }
    }

    /// Writes `scalars[i] * G` into `out[i]`.
    ///
    /// # Panics
    /// If the two differ in length.
    pub(crate) fn multiply(
        &self,
        scalars: &[Scalar],
        out: &mut [Affine<F>],
        scratch: &mut Scratch<F>,
    ) {
        assert_eq!(scalars.len(), out.len(), "one point a scalar");
        for (scalars, out) in scalars.chunks(N_BLOCK).zip(out.chunks_mut(N_BLOCK)) {
            self.multiply_block(scalars, out, scratch);
        }
    }

    fn multiply_block(&self, scalars: &[Scalar], out: &mut [Affine<F>], scratch: &mut Scratch<F>) {
        let n = scalars.len();
        let windows = self.entries.chunks(1 << (self.lg_window - 1));
        let n_windows = windows.len();
        scratch.digits.resize(n_windows * N_BLOCK, 0);
        for (i, scalar) in scalars.iter().enumerate() {
            let digits = scratch.digits[i..].iter_mut().step_by(N_BLOCK);
            recode(scalar, self.lg_window, digits.take(n_windows));
        }
        out.fill(Affine::INFINITY);
        let digits = scratch.digits.chunks(N_BLOCK);
        for (j, (multiples, digits)) in windows.zip(digits).enumerate() {
            if j == 0 {
                for (sum, &digit) in out.iter_mut().zip(digits).filter(|(_, digit)| **digit != 0) {
                    *sum = multiples[digit.unsigned_abs() as usize - 1].neg_if(digit < 0);
                }
            } else {
                add_multiples(out, &digits[..n], multiples, &mut scratch.products[..n]);
            }
        }
    }
}

/// Writes d B to `window[d - 1]` for each d, by adding what is there to its last point.
fn fill_multiples<F: Field>(window: &mut [Affine<F>], base: Affine<F>) {
    let mut products = Scratch::<F>::new().products;
    window[0] = base;
    let mut n_old = 1;
    while n_old < window.len() {
        let (old, new) = window.split_at_mut(n_old);
        let n_new = n_old.min(new.len());
        new[..n_new].copy_from_slice(&old[..n_new]);
        for sums in new[..n_new].chunks_mut(N_BLOCK) {
            let n = sums.len();
            add_multiples(sums, &[1; N_BLOCK][..n], &old[n_old - 1..], &mut products[..n]);
        }
        n_old += n_new;
    }
}

/// Memory that a thread reuses from block to block.
pub(crate) struct Scratch<F> {
    digits: Vec<i32>,
    products: Vec<F>,
}

impl<F: Field> Scratch<F> {
    pub(crate) fn new() -> Self {
        Scratch { digits: Vec::new(), products: vec![F::ZERO; N_BLOCK] }
    }
}

/// Cuts `scalar` into signed digits: `scalar = sum digits[j] 2^(lg_window j) mod r`, each at most
/// `2^(lg_window - 1)` in size. The smaller of k and r - k is cut, and for the latter all signs
/// turn, so that the last digit leaves no carry.
fn recode<'a>(scalar: &Scalar, lg_window: u32, digits: impl Iterator<Item = &'a mut i32>) {
    let bytes = scalar.to_repr();
    // At least one of k and r - k is below 2^254, because r is below 2^255.
    let turned = bytes[31] >= 0x40;
    let bytes = if turned { (-scalar).to_repr() } else { bytes };
    let mut limbs = [0u64; 5];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*bytes);
    }
    let (full, half) = (1i64 << lg_window, 1i64 << (lg_window - 1));
    let (mut carry, mut bit) = (0, 0usize);
    for digit in digits {
        let (limb, shift) = (bit / 64, bit % 64);
        let pair = u128::from(limbs[limb]) | u128::from(limbs[limb + 1]) << 64;
        let mut value = ((pair >> shift) as i64 & (full - 1)) + carry;
        carry = i64::from(value > half);
        value -= carry * full;
        *digit = if turned { -value } else { value } as i32;
        bit += lg_window as usize;
    }
    debug_assert_eq!(carry, 0, "255 bits leave no carry");
}

#[cfg(test)]
mod tests;
