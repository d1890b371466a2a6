// SPDX-License-Identifier: MIT OR Apache-2.0

//! Points: from bellperson's bytes to those of the device, and whether they are what they should be.
//!
//! A point is on the curve or its bytes are refused. Whether it is in the subgroup of prime order takes a
//! multiplication a point, which is minutes for the network's parameters. Instead every point is added to one
//! of many sums chosen at random, in several rounds, and the sums are looked at. Of the points that are not
//! in the subgroup take the last of a round: the other sums are bad already, or this one ends in a bad sum
//! unless it falls where exactly its opposite waits. So a round overlooks any number of bad points with a
//! probability of at most one in [`N_SUMS`].

use std::ops::AddAssign;

use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective};
use group::{Group as _, prime::PrimeCurveAffine as _};

use crate::gpu::points::{Curve, G1, G2};

/// Sums of a round, a power of two.
const N_SUMS: usize = 1 << 12;

/// Rounds: together they overlook bad points with a probability of 2^-60.
const N_ROUNDS: usize = 5;

/// A point of bellperson's file.
pub trait Point: Copy + Send + Sync {
    /// Its group, on the device.
    type Group: Curve<Affine = Self, Point: for<'a> AddAssign<&'a Self>>;

    /// A point on the curve from bellperson's bytes, as many as the device's; nothing when they are none, or
    /// the point at infinity.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// Whether a sum of points is in the subgroup.
    fn is_in_subgroup(sum: &SumOf<Self>) -> bool;
}

/// A sum of points.
pub type SumOf<P> = <<P as Point>::Group as Curve>::Point;

impl Point for G1Affine {
    type Group = G1;

    fn read(bytes: &[u8]) -> Option<Self> {
        let point =
            Option::<Self>::from(Self::from_uncompressed_unchecked(bytes.try_into().ok()?))?;
        (!bool::from(point.is_identity())).then_some(point)
    }

    fn is_in_subgroup(sum: &G1Projective) -> bool {
        bool::from(Self::from(sum).is_torsion_free())
    }
}

impl Point for G2Affine {
    type Group = G2;

    fn read(bytes: &[u8]) -> Option<Self> {
        let point =
            Option::<Self>::from(Self::from_uncompressed_unchecked(bytes.try_into().ok()?))?;
        (!bool::from(point.is_identity())).then_some(point)
    }

    fn is_in_subgroup(sum: &G2Projective) -> bool {
        bool::from(Self::from(sum).is_torsion_free())
    }
}

/// The random sums of some points; those of several threads are merged.
#[derive(Clone)]
pub struct Sums<P: Point> {
    sums: Vec<SumOf<P>>,
    random: u64,
}

impl<P: Point> Sums<P> {
    /// No sums yet. The seed has to be one that nobody could know who made the points.
    pub fn new(seed: u64) -> Self {
        Self { sums: vec![SumOf::<P>::identity(); N_ROUNDS * N_SUMS], random: seed }
    }

    /// Adds a point to a sum of each round.
    pub fn add(&mut self, point: &P) {
        let mut places = self.next();
        for round in self.sums.chunks_mut(N_SUMS) {
            round[places as usize % N_SUMS] += point;
            places >>= N_SUMS.ilog2();
        }
    }

    /// Adds the sums of other points.
    pub fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| *sum += other);
    }

    /// Whether all of them are in the subgroup.
    pub fn are_good(&self) -> bool {
        use rayon::prelude::*;
        self.sums.par_iter().all(P::is_in_subgroup)
    }

    /// Splitmix64 (Steele, Lea and Flood 2014).
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use blstrs::Fp;
    use ff::Field as _;
    use group::Curve as _;

    use super::*;

    /// A point on the curve, and almost surely in no subgroup.
    fn on_the_curve(seed: u64) -> G1Affine {
        (seed..)
            .find_map(|x| {
                let x = Fp::from(x);
                let y = Option::<Fp>::from((x.square() * x + Fp::from(4)).sqrt())?;
                Some(G1Affine::from_raw_unchecked(x, y, false))
            })
            .unwrap()
    }

    fn in_the_subgroup(seed: u64) -> G1Affine {
        (G1Projective::generator() * blstrs::Scalar::from(seed)).to_affine()
    }

    #[test]
    fn a_point_is_read_as_bellperson_reads_it() {
        let point = in_the_subgroup(77);
        assert_eq!(G1Affine::read(&point.to_uncompressed()), Some(point));
        let mut bytes = point.to_uncompressed();
        bytes[95] ^= 1;
        assert_eq!(G1Affine::read(&bytes), None, "not on the curve");
        assert_eq!(G1Affine::read(&G1Affine::identity().to_uncompressed()), None);
        let point = G2Affine::generator();
        assert_eq!(G2Affine::read(&point.to_uncompressed()), Some(point));
        assert_eq!(G2Affine::read(&G2Affine::identity().to_uncompressed()), None);
    }

    #[test]
    fn what_is_not_in_the_subgroup_is_found() {
        let bad = on_the_curve(5);
        assert!(!bool::from(bad.is_torsion_free()));
        let check = |bad: &[G1Affine], good| {
            let (mut first, mut second) = (Sums::new(1), Sums::new(2));
            (1..200).for_each(|seed| first.add(&in_the_subgroup(seed)));
            bad.iter().for_each(|point| second.add(point));
            first.merge(&second);
            assert_eq!(first.are_good(), good, "{}", bad.len());
        };
        check(&[], true);
        check(&[bad], false);
        // Opposite points, which would hide each other in one sum.
        check(&[bad, -bad], false);
        check(&[bad, bad, bad, on_the_curve(1000)], false);
    }
}
