// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nodes of 32 bytes: field elements, little-endian, and as booleans.

use blstrs::Scalar;
use ff::PrimeField;

use super::{bits::Writer, word::Word};

/// Bits that a field element is taken apart into (`PrimeField::NUM_BITS`); the 256th is a constant.
pub(super) const N_BITS: usize = 255;

/// The place of that constant in the last word.
const CONSTANT: u32 = 1 << 7;

/// What is cut off a hash to make it a field element: its bits 254 and 255.
const TOP_BITS: u8 = 0b1100_0000;

/// Writes `to_bits_le` of a number. The booleans are ordered as SHA-256 wants them: bytes first to
/// last, within a byte the highest bit first (`reverse_bit_numbering`).
pub(super) fn write_bits(out: &mut Writer, number: &Scalar) -> [Word; 8] {
    let bytes = number.to_repr();
    let (limbs, _) = bytes.as_chunks::<8>();
    for (i, limb) in limbs.iter().enumerate() {
        // The number is less than 2^255.
        out.bits.push(u64::from_le_bytes(*limb), if i == 3 { N_BITS - 3 * 64 } else { 64 });
    }
    let (words, _) = bytes.as_chunks::<4>();
    let mut made = [Word::constant(0); 8];
    for (i, (made, word)) in made.iter_mut().zip(words).enumerate() {
        *made = Word::variable(u32::from_be_bytes(*word), if i == 7 { CONSTANT } else { 0 });
    }
    made
}

/// Writes the number that a hash is packed into: its first 254 bits, bytes first to last, within a
/// byte the lowest bit first.
pub(super) fn write_packed(out: &mut Writer, hash: [Word; 8]) -> Scalar {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(hash) {
        bytes.copy_from_slice(&word.value.to_be_bytes());
    }
    bytes[31] &= !TOP_BITS;
    // Less than 2^254, so less than the modulus.
    let number = Option::from(Scalar::from_repr(bytes)).unwrap_or_default();
    out.value(number);
    number
}
