// SPDX-License-Identifier: MIT OR Apache-2.0

//! Points of G1 and G2 as a device holds them: affine coordinates in Montgomery form, least significant
//! limb first, 96 bytes for G1 (x, y) and 192 for G2 (x.c0, x.c1, y.c0, y.c1); all zeros for infinity.

use blstrs::{G1Affine, G1Projective, G2Affine, G2Projective};
use group::Group;

/// G1 or G2.
pub trait Curve: Copy + Send + Sync + 'static {
    /// Its points on the host.
    type Affine: Copy + Into<Self::Point> + Send + Sync;
    /// Sums of them.
    type Point: Group<Scalar = blstrs::Scalar> + Send + Sync;

    /// Bytes of a point on the device.
    const POINT_BYTES: usize;
    /// Bytes of a sum in Jacobian coordinates.
    const SUM_BYTES: usize = Self::POINT_BYTES / 2 * 3;
    /// `g1` or `g2`, as kernels are called.
    const NAME: &'static str;

    /// Writes a point as the device has it, [`POINT_BYTES`](Self::POINT_BYTES) long.
    fn write(point: &Self::Affine, to: &mut Vec<u8>);

    /// The sum in [`SUM_BYTES`](Self::SUM_BYTES) from the device: `(x, y, z)` for `(x / z^2, y / z^3)`.
    fn read_sum(from: &[u8]) -> Self::Point;
}

/// The group over the base field.
#[derive(Clone, Copy, Debug)]
pub struct G1;

/// The group over its quadratic extension.
#[derive(Clone, Copy, Debug)]
pub struct G2;

fn write_limbs(limbs: &[u64; 6], to: &mut Vec<u8>) {
    limbs.iter().for_each(|limb| to.extend(limb.to_le_bytes()));
}

fn read_limbs(from: &[u8], element: usize) -> [u64; 6] {
    let limb = |i: usize| {
        let bytes = from.get(48 * element + 8 * i..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    std::array::from_fn(limb)
}

impl Curve for G1 {
    type Affine = G1Affine;
    type Point = G1Projective;
    const POINT_BYTES: usize = 96;
    const NAME: &'static str = "g1";

    fn write(point: &G1Affine, to: &mut Vec<u8>) {
        let raw = point.as_ref();
        [&raw.x.l, &raw.y.l].iter().for_each(|limbs| write_limbs(limbs, to));
    }

    fn read_sum(from: &[u8]) -> G1Projective {
        let mut point = G1Projective::identity();
        let raw = point.as_mut();
        (raw.x.l, raw.y.l) = (read_limbs(from, 0), read_limbs(from, 1));
        raw.z.l = read_limbs(from, 2);
        point
    }
}

impl Curve for G2 {
    type Affine = G2Affine;
    type Point = G2Projective;
    const POINT_BYTES: usize = 192;
    const NAME: &'static str = "g2";

    fn write(point: &G2Affine, to: &mut Vec<u8>) {
        let raw = point.as_ref();
        let parts = [&raw.x.fp[0].l, &raw.x.fp[1].l, &raw.y.fp[0].l, &raw.y.fp[1].l];
        parts.iter().for_each(|limbs| write_limbs(limbs, to));
    }

    fn read_sum(from: &[u8]) -> G2Projective {
        let mut point = G2Projective::identity();
        let raw = point.as_mut();
        for i in 0..2 {
            (raw.x.fp[i].l, raw.y.fp[i].l) = (read_limbs(from, i), read_limbs(from, 2 + i));
            raw.z.fp[i].l = read_limbs(from, 4 + i);
        }
        point
    }
}

#[cfg(test)]
mod tests {
    use group::prime::PrimeCurveAffine as _;

    use super::*;

    #[test]
    fn a_sum_is_a_point_and_its_z_and_infinity_is_all_zeros() {
        let (one, zero) = (G1Projective::generator().as_ref().z.l, [0; 6]);
        let check = |g1: G1Affine, g2: G2Affine, z: &[u64; 6]| {
            let (mut of_g1, mut of_g2) = (Vec::new(), Vec::new());
            G1::write(&g1, &mut of_g1);
            G2::write(&g2, &mut of_g2);
            assert_eq!((of_g1.len(), of_g2.len()), (G1::POINT_BYTES, G2::POINT_BYTES));
            write_limbs(z, &mut of_g1);
            [z, &zero].iter().for_each(|limbs| write_limbs(limbs, &mut of_g2));
            assert_eq!((of_g1.len(), of_g2.len()), (G1::SUM_BYTES, G2::SUM_BYTES));
            assert_eq!(G1::read_sum(&of_g1), G1Projective::from(g1));
            assert_eq!(G2::read_sum(&of_g2), G2Projective::from(g2));
            [of_g1, of_g2]
        };
        check(G1Affine::generator(), G2Affine::generator(), &one);
        let nothing = check(G1Affine::identity(), G2Affine::identity(), &zero);
        assert!(nothing.iter().flatten().all(|byte| *byte == 0));
    }
}
