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

    /// The point in so many bytes from the device.
    fn read(from: &[u8]) -> Self::Affine;

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

    fn read(from: &[u8]) -> G1Affine {
        let mut point = G1Affine::default();
        let raw = point.as_mut();
        (raw.x.l, raw.y.l) = (read_limbs(from, 0), read_limbs(from, 1));
        point
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

    fn read(from: &[u8]) -> G2Affine {
        let mut point = G2Affine::default();
        let raw = point.as_mut();
        for i in 0..2 {
            (raw.x.fp[i].l, raw.y.fp[i].l) = (read_limbs(from, i), read_limbs(from, 2 + i));
        }
        point
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
    fn points_come_back_and_infinity_is_all_zeros() {
        let mut bytes = Vec::new();
        G1::write(&G1Affine::generator(), &mut bytes);
        G2::write(&G2Affine::generator(), &mut bytes);
        assert_eq!(bytes.len(), 96 + 192);
        assert_eq!(G1::read(&bytes), G1Affine::generator());
        assert_eq!(G2::read(&bytes[96..]), G2Affine::generator());
        let mut bytes = Vec::new();
        G1::write(&G1Affine::identity(), &mut bytes);
        G2::write(&G2Affine::identity(), &mut bytes);
        assert!(bytes.iter().all(|byte| *byte == 0));
        assert!(bool::from(G1Projective::from(G1::read(&bytes)).is_identity()));
        assert!(bool::from(G2Projective::from(G2::read(&bytes)).is_identity()));
    }
}
