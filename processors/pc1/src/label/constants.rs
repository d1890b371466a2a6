// SPDX-License-Identifier: MIT OR Apache-2.0

//! SHA-256's constants (FIPS 180-4, 4.2.2 and 5.3.3) and the shape of a label's message.

/// Round constants: fractions of the cube roots of the first 64 primes.
pub const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// Initial chaining value: fractions of the square roots of the first 8 primes.
pub const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Parents hashed into a label, with repetition (storage-proofs-porep, `TOTAL_PARENTS`).
pub const PARENTS_HASHED: usize = 37;

/// Bits of a label's message: one block of replica id, layer and node, then the parents.
pub const MESSAGE_BITS: u32 = (64 + 32 * PARENTS_HASHED as u32) * 8;

/// The last half block of every message: padding and length.
pub const PADDING: [u32; 8] = [0x8000_0000, 0, 0, 0, 0, 0, 0, MESSAGE_BITS];

/// Blocks of a label's message.
pub const N_BLOCKS: usize = 20;

/// Distinct blocks of a message: number 0, the pairs of parents, the last one.
pub const N_DISTINCT: usize = 9;

/// Keeps a label below the field's modulus: the two highest bits of its last byte are cleared.
pub const LAST_WORD_MASK: u32 = 0xffff_ff3f;

/// Of which distinct block each block of a message is a copy. Distinct blocks are: 0, replica id,
/// layer and node; 1 to 7, parents in pairs; 8, the last parent and the padding. In layer 1 a node
/// has six parents, repeated; above, fourteen.
pub const fn order(layer: u32) -> [usize; N_BLOCKS] {
    let n_pairs = if layer == 1 { 3 } else { 7 };
    let mut order = [0; N_BLOCKS];
    let mut block = 1;
    while block < N_BLOCKS - 1 {
        order[block] = (block - 1) % n_pairs + 1;
        block += 1;
    }
    order[N_BLOCKS - 1] = N_DISTINCT - 1;
    order
}

/// Index of the parent whose label stands before the padding.
pub const fn last_parent(layer: u32) -> usize {
    if layer == 1 { (PARENTS_HASHED - 1) % 6 } else { (PARENTS_HASHED - 1) % 14 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_repeat_as_the_parents_do() {
        let mut halves = Vec::new();
        for block in &order(2)[1..19] {
            halves.extend([2 * block - 2, 2 * block - 1]);
        }
        halves.push(last_parent(2));
        let expected: Vec<_> = (0..37).map(|i| i % 14).collect();
        assert_eq!(halves, expected);
        let mut halves = Vec::new();
        for block in &order(1)[1..19] {
            halves.extend([2 * block - 2, 2 * block - 1]);
        }
        halves.push(last_parent(1));
        let expected: Vec<_> = (0..37).map(|i| i % 6).collect();
        assert_eq!(halves, expected);
    }
}
