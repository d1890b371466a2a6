// SPDX-License-Identifier: MIT OR Apache-2.0

//! The variables of bellpepper's SHA-256 (bellpepper, `gadgets/sha256.rs`).

use super::{
    bits::Bits,
    word::{Sum, Word, ch, maj, xor},
};

/// Bits that a compression of variables allocates, fewer where there are constants. 48 steps of the
/// schedule have four xors, less the 3 and 10 bits that are shifted in, and a sum of four words. 64
/// rounds have four xors, choose, and two for majority; they and the end have 64 sums of six to eight
/// words for each of two, and six of two.
pub(super) const N_BITS: usize = 48 * (4 * 32 - 13 + 34) + 64 * 7 * 32 + 64 * 2 * 35 + 6 * 33;

/// FIPS 180-4, section 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first
/// 64 primes.
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// FIPS 180-4, section 5.3.3: the same of the square roots of the first 8 primes.
const IV: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// `sha256` of a message of whole words, the first bit in the highest place of the first word.
pub(super) fn sha256(bits: &mut Bits, message: &[Word]) -> [Word; 8] {
    let n_bits = 32 * message.len() as u64;
    let mut state = IV.map(Word::constant);
    let (blocks, rest) = message.as_chunks::<16>();
    for block in blocks {
        state = compress(bits, state, block);
    }
    // A one, zeros, and the length in the last two words, which may need a block of their own.
    let mut last = [[Word::constant(0); 16]; 2];
    let padding = last.as_flattened_mut();
    padding[..rest.len()].copy_from_slice(rest);
    padding[rest.len()] = Word::constant(1 << 31);
    let n_blocks = if rest.len() < 14 { 1 } else { 2 };
    padding[16 * n_blocks - 2] = Word::constant((n_bits >> 32) as u32);
    padding[16 * n_blocks - 1] = Word::constant(n_bits as u32);
    last[..n_blocks].iter().fold(state, |state, block| compress(bits, state, block))
}

/// The first rounds' values stand as they are; later ones are sums that are made when they are needed.
#[derive(Clone, Copy)]
enum Maybe {
    Concrete(Word),
    Deferred(Sum),
}

impl Maybe {
    /// What is `Concrete` stays as it is, `other` or not, as in the gadget: after 64 rounds nothing is.
    #[inline]
    fn make(self, bits: &mut Bits, other: Option<Word>) -> Word {
        match self {
            Maybe::Concrete(word) => word,
            Maybe::Deferred(sum) => other.into_iter().fold(sum, Sum::plus).make(bits),
        }
    }
}

/// `sha256_compression_function`.
fn compress(bits: &mut Bits, state: [Word; 8], block: &[Word; 16]) -> [Word; 8] {
    let w = schedule(bits, block);
    let [a0, mut b, mut c, mut d, e0, mut f, mut g, mut h] = state;
    let (mut a, mut e) = (Maybe::Concrete(a0), Maybe::Concrete(e0));
    for (w, k) in w.into_iter().zip(K) {
        let new_e = e.make(bits, None);
        let s1 = xor(bits, new_e.rotate(6), new_e.rotate(11));
        let s1 = xor(bits, s1, new_e.rotate(25));
        let chosen = ch(bits, new_e, f, g);
        let temp1 = Sum::of([h, s1, chosen, Word::constant(k), w]);

        let new_a = a.make(bits, None);
        let s0 = xor(bits, new_a.rotate(2), new_a.rotate(13));
        let s0 = xor(bits, s0, new_a.rotate(22));
        let majority = maj(bits, new_a, b, c);
        let temp2 = Sum::of([s0, majority]);

        (h, g, f) = (g, f, new_e);
        e = Maybe::Deferred(temp1.plus(d));
        (d, c, b) = (c, b, new_a);
        a = Maybe::Deferred(temp1.plus_all(temp2));
    }
    // In this order. The first and the fifth are still sums.
    [
        a.make(bits, Some(state[0])),
        Sum::of([state[1], b]).make(bits),
        Sum::of([state[2], c]).make(bits),
        Sum::of([state[3], d]).make(bits),
        e.make(bits, Some(state[4])),
        Sum::of([state[5], f]).make(bits),
        Sum::of([state[6], g]).make(bits),
        Sum::of([state[7], h]).make(bits),
    ]
}

/// The message schedule: the block, and 48 words after it.
fn schedule(bits: &mut Bits, block: &[Word; 16]) -> [Word; 64] {
    let mut w = [Word::constant(0); 64];
    w[..16].copy_from_slice(block);
    for i in 16..64 {
        let s0 = xor(bits, w[i - 15].rotate(7), w[i - 15].rotate(18));
        let s0 = xor(bits, s0, w[i - 15].shift(3));
        let s1 = xor(bits, w[i - 2].rotate(17), w[i - 2].rotate(19));
        let s1 = xor(bits, s1, w[i - 2].shift(10));
        w[i] = Sum::of([w[i - 16], s0, w[i - 7], s1]).make(bits);
    }
    w
}

#[cfg(test)]
mod tests;
