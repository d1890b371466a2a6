// SPDX-License-Identifier: MIT OR Apache-2.0

//! Scalars as a device has them: 32 bytes, Montgomery form, canonical, least significant byte first.

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
}
