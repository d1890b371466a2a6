// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a transform is cut into passes, and the tables of each. Pure; `cuda/ntt.cuh` says what a pass does.

use blstrs::Scalar;
use ff::{Field, PrimeField};

/// Bits of the largest digit of one pass, and of a tile: 64 KiB of shared memory, as every device has.
pub const MAX_LG_RADIX: u32 = 11;

/// Elements of a block wherever a digit fits into it, as a power of two.
const SMALL_LG_TILE: u32 = 10;

/// Bits of a digit that still leaves whole lines of a cache to each of its positions.
const COALESCED_LG_RADIX: u32 = 9;

/// Elements of a thread, as a power of two.
const LG_PER_THREAD: u32 = 3;

/// The largest table that has every power between two passes, as a power of two: 16 MiB, so that it stays
/// in the second cache. Larger ones are two factors, at the cost of one product.
const MAX_LG_DIRECT: u32 = 18;

/// One pass: the transform of a digit of the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Bits of the whole index.
    pub lg_n: u32,
    /// Bits of the digit.
    pub lg_radix: u32,
    /// Bits below the digit.
    pub lg_stride: u32,
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From evaluations at the powers of w, in order, to coefficients in reversed order.
    Inverse,
    /// From coefficients in reversed order to evaluations.
    Forward,
}

/// The scalars of a pass's tables, as `cuda/ntt.cuh` reads them. An empty one is not used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    /// Between rounds.
    pub rounds: Vec<Scalar>,
    /// Between this pass and the next, or the first of two factors, or what is left of a scale.
    pub low: Vec<Scalar>,
    /// The second factor.
    pub high: Vec<Scalar>,
}

/// The digits of an index of `lg_n` bits from the highest down.
///
/// Digits of a multiple of three bits cost least. Measured on an H200: two passes where they suffice with nine
/// bits in the first, else nine bits while three passes suffice.
pub fn digits(lg_n: u32) -> Vec<u32> {
    if lg_n <= MAX_LG_RADIX {
        return vec![lg_n];
    }
    let widest = COALESCED_LG_RADIX.max(lg_n.div_ceil(3)).min(MAX_LG_RADIX);
    let n = match lg_n <= COALESCED_LG_RADIX + MAX_LG_RADIX {
        true => 2,
        false => lg_n.div_ceil(widest),
    };
    let mut left = lg_n;
    (0..n)
        .map(|i| {
            // What comes after must keep three bits; the last takes what is left.
            let after = (n - i - 1) * LG_PER_THREAD;
            let digit = if after == 0 { left } else { widest.min(left - after) };
            left -= digit;
            digit
        })
        .collect()
}

/// The passes over given digits, in the order in which [`Direction::Inverse`] does them.
pub fn passes(digits: &[u32]) -> Vec<Pass> {
    let lg_n = digits.iter().sum();
    let mut left = lg_n;
    digits
        .iter()
        .map(|lg_radix| {
            left -= lg_radix;
            Pass { lg_n, lg_radix: *lg_radix, lg_stride: left }
        })
        .collect()
}

/// The primitive root of unity of order 2^`lg_n`.
pub fn root(lg_n: u32) -> Scalar {
    (lg_n..Scalar::S).fold(Scalar::ROOT_OF_UNITY, |root, _| root.square())
}

/// An index with its lowest `bits` bits reversed, which must be all of them.
pub fn reverse(index: u64, bits: u32) -> u64 {
    if bits == 0 { index } else { index.reverse_bits() >> (64 - bits) }
}

impl Pass {
    /// Elements of a block, as a power of two: the largest digit needs the largest tile, others do better with
    /// more and smaller blocks, which wait for less.
    pub fn lg_tile(&self) -> u32 {
        self.lg_n.clamp(LG_PER_THREAD, SMALL_LG_TILE.max(self.lg_radix))
    }

    /// Bits of the neighbours that a block has of each position of the digit.
    fn lg_columns(&self) -> u32 {
        self.lg_stride.min(self.lg_tile() - self.lg_radix)
    }

    /// Bits of the index below the digit that the first of two factors has.
    fn lg_low(&self) -> u32 {
        match self.lg_radix + self.lg_stride <= MAX_LG_DIRECT {
            true => self.lg_stride,
            false => self.lg_stride / 2,
        }
    }

    fn lg_high(&self) -> u32 {
        self.lg_stride - self.lg_low()
    }

    /// `Layout` of `cuda/ntt.cuh`.
    pub fn layout(&self) -> u64 {
        let bytes = [
            self.lg_tile(),
            self.lg_radix,
            self.lg_columns(),
            self.lg_stride,
            self.lg_low(),
            self.lg_high(),
            self.lg_n,
        ];
        bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    /// Threads of a block.
    pub fn threads(&self) -> u32 {
        1 << (self.lg_tile() - LG_PER_THREAD)
    }

    /// Blocks of a launch.
    pub fn blocks(&self) -> u32 {
        1 << self.lg_n.saturating_sub(self.lg_tile())
    }

    /// The pass's part of a transform that multiplies coefficient k by `constant * scale^k`.
    pub fn tables(&self, direction: Direction, constant: Scalar, scale: Scalar) -> Tables {
        let root_of = |lg: u32| match direction {
            Direction::Forward => root(lg),
            Direction::Inverse => root(lg).invert().unwrap_or(Scalar::ONE),
        };
        let mut rounds = vec![Scalar::ZERO; 2 << self.lg_radix];
        let mut left = self.lg_radix;
        while left > LG_PER_THREAD {
            let slots = powers(&root_of(left), LG_PER_THREAD, left - LG_PER_THREAD);
            rounds[1 << left..2 << left].copy_from_slice(&slots);
            left -= LG_PER_THREAD;
        }
        // The digits above this one are the low digits of a coefficient's number; the constant is the first's.
        let lg_above = self.lg_n - self.lg_radix - self.lg_stride;
        let scale = (0..lg_above).fold(scale, |scale, _| scale.square());
        let constant = if lg_above == 0 { constant } else { Scalar::ONE };
        let is_one = scale == Scalar::ONE && constant == Scalar::ONE;
        if self.lg_stride == 0 && is_one {
            return Tables { rounds, low: Vec::new(), high: Vec::new() };
        }
        let base = root_of(self.lg_radix + self.lg_stride);
        let mut low = powers(&base, self.lg_radix, self.lg_low());
        for (r, row) in low.chunks_exact_mut(1 << self.lg_low()).enumerate() {
            let factor = constant * scale.pow_vartime([reverse(r as u64, self.lg_radix)]);
            row.iter_mut().for_each(|entry| *entry *= factor);
        }
        // A thread of a transform of less than eight has places without an element.
        low.resize(low.len().max(1 << LG_PER_THREAD), Scalar::ONE);
        let base = (0..self.lg_low()).fold(base, |base, _| base.square());
        let high = match self.lg_high() {
            0 => Vec::new(),
            bits => powers(&base, self.lg_radix, bits),
        };
        Tables { rounds, low, high }
    }
}

/// `base^(k l)` at `[r][l]`, where k is r reversed.
fn powers(base: &Scalar, lg_rows: u32, lg_columns: u32) -> Vec<Scalar> {
    (0..1 << lg_rows)
        .flat_map(|r| {
            let step = base.pow_vartime([reverse(r, lg_rows)]);
            std::iter::successors(Some(Scalar::ONE), move |power| Some(power * step))
                .take(1 << lg_columns)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_few_and_as_large_as_a_block_can_do() {
        let check = |lg_n, expected: &[u32]| assert_eq!(digits(lg_n), expected, "{lg_n}");
        check(1, &[1]);
        check(11, &[11]);
        check(12, &[9, 3]);
        check(18, &[9, 9]);
        check(20, &[9, 11]);
        check(21, &[9, 9, 3]);
        check(22, &[9, 9, 4]);
        check(24, &[9, 9, 6]);
        check(27, &[9, 9, 9]);
        check(28, &[10, 10, 8]);
        check(32, &[11, 11, 10]);
    }

    #[test]
    fn digits_fill_the_index_and_leave_three_bits_to_each() {
        for lg_n in 1..=32 {
            let digits = digits(lg_n);
            assert_eq!(digits.iter().sum::<u32>(), lg_n);
            let least = if lg_n < 3 { lg_n } else { 3 };
            assert!(digits.iter().all(|d| (least..=MAX_LG_RADIX).contains(d)), "{digits:?}");
        }
    }

    #[test]
    fn a_layout_is_a_byte_each() {
        let [first, .., last] = passes(&[9, 9, 9])[..] else { panic!("two passes or more") };
        assert_eq!(first.layout().to_le_bytes(), [10, 9, 1, 18, 9, 9, 27, 0]);
        assert_eq!(last.layout().to_le_bytes(), [10, 9, 0, 0, 0, 0, 27, 0]);
        assert_eq!((first.threads(), first.blocks()), (128, 1 << 17));
    }

    #[test]
    fn roots_are_primitive() {
        for lg_n in 1..=32 {
            let half = (1..lg_n).fold(root(lg_n), |root, _| root.square());
            assert_eq!(half, -Scalar::ONE);
        }
    }
}
