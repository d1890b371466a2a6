// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scalars as a device has them: 32 bytes, Montgomery form, canonical, least significant byte first; and
//! factors that are known beforehand, as `fr::Fixed` of `processors/gpu/cuda/fr_fixed.cuh`.

use blst::blst_fr;
use blstrs::Scalar;

/// Bytes of a scalar.
pub const BYTES: usize = 32;

/// Scalars, one after the other.
pub fn to_bytes(scalars: &[Scalar]) -> Vec<u8> {
    let mut bytes = vec![0; scalars.len() * BYTES];
    let (places, _) = bytes.as_chunks_mut::<8>();
    for (place, scalar) in places.chunks_exact_mut(4).zip(scalars) {
        let limbs = blst_fr::from(*scalar).l;
        place.iter_mut().zip(limbs).for_each(|(place, limb)| *place = limb.to_le_bytes());
    }
    bytes
}

/// Bytes of a factor.
pub const FIXED_BYTES: usize = 2 * BYTES;

/// -1 / r mod 2^256, least significant limb first.
const MINUS_R_INVERSE: [u64; 4] =
    [0xffff_fffe_ffff_ffff, 0x53ba_5bff_fffe_5bfd, 0x181b_2c17_0004_ec06, 0x3d44_3ab0_d7bf_2839];

/// Factors, one after the other: each is a scalar b, plain, and `floor(b 2^256 / r)`.
pub fn fixed_to_bytes(factors: &[Scalar]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(factors.len() * FIXED_BYTES);
    for factor in factors {
        bytes.extend(factor.to_bytes_le());
        bytes.extend(ratio(factor).iter().flat_map(|limb| limb.to_le_bytes()));
    }
    bytes
}

/// `floor(b 2^256 / r)`. Since m = b 2^256 mod r is b's Montgomery form, it is (b 2^256 - m) / r, and that is
/// m times -1 / r mod 2^256.
fn ratio(b: &Scalar) -> [u64; 4] {
    let m = blst_fr::from(*b).l;
    let mut product = [0; 4];
    for (i, limb) in m.iter().enumerate() {
        let mut carry = 0;
        for (place, other) in product[i..].iter_mut().zip(MINUS_R_INVERSE) {
            (*place, carry) = limb.carrying_mul_add(other, *place, carry);
        }
    }
    product
}

/// The scalars of bytes; a rest of less than 32 is left out.
pub fn from_bytes(bytes: &[u8]) -> Vec<Scalar> {
    let (limbs, _) = bytes.as_chunks::<8>();
    let (all, _) = limbs.as_chunks::<4>();
    all.iter().map(|limbs| Scalar::from(blst_fr { l: limbs.map(u64::from_le_bytes) })).collect()
}

#[cfg(test)]
mod tests {
    use ff::Field;

    use super::*;

    #[test]
    fn one_is_2_to_the_256_mod_r() {
        let one = to_bytes(&[Scalar::ONE]);
        assert_eq!(one[..8], 0x0000_0001_ffff_fffe_u64.to_le_bytes());
        assert_eq!(from_bytes(&one), [Scalar::ONE]);
    }

    #[test]
    fn a_factor_is_itself_and_its_ratio_to_r() {
        // Of 1: floor(2^256 / r) = 2. Of r - 1: 2^256 - 1 - 2, since 2^256 / r = 2.2… is taken off.
        let bytes = fixed_to_bytes(&[Scalar::ZERO, Scalar::ONE, -Scalar::ONE]);
        let (factors, _) = bytes.as_chunks::<FIXED_BYTES>();
        let mut expected = [0; FIXED_BYTES];
        assert_eq!(factors[0], expected);
        (expected[0], expected[BYTES]) = (1, 2);
        assert_eq!(factors[1], expected);
        expected[..BYTES].copy_from_slice(&(-Scalar::ONE).to_bytes_le());
        expected[BYTES..].fill(0xff);
        expected[BYTES] = 0xfd;
        assert_eq!(factors[2], expected);
    }
}
