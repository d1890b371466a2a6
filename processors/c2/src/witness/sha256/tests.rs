// SPDX-License-Identifier: MIT OR Apache-2.0

use bellperson::{
    ConstraintSystem as _,
    gadgets::{
        boolean::{AllocatedBit, Boolean},
        sha256::sha256 as gadget,
    },
};
use rand_core::{RngCore, SeedableRng};
use rand_xorshift::XorShiftRng;
use sha2::{Digest, Sha256};

use super::*;
use crate::{circuit::straight::Straight, witness::bits::Writer};

fn check(message: &[(u32, u32)]) {
    let mut cs = Straight::default();
    cs.alloc_input(|| "", || Ok(1.into())).unwrap();
    let mut booleans = Vec::new();
    for (value, constant) in message {
        for i in (0..32).rev() {
            let value = value >> i & 1 == 1;
            booleans.push(match constant >> i & 1 {
                1 => Boolean::constant(value),
                _ => AllocatedBit::alloc(&mut cs, Some(value)).unwrap().into(),
            });
        }
    }
    let n_before = cs.aux.len();
    gadget(&mut cs, &booleans).unwrap();
    let words: Vec<_> = message.iter().map(|(value, c)| Word::variable(*value, *c)).collect();
    let mut out = Writer::default();
    let hash = sha256(&mut out.bits, &words);
    let bytes: Vec<_> = message.iter().flat_map(|(value, _)| value.to_be_bytes()).collect();
    let hash: Vec<_> = hash.iter().flat_map(|word| word.value.to_be_bytes()).collect();
    assert_eq!(hash, Sha256::digest(&bytes)[..]);
    assert!(out.aux() == cs.aux[n_before..], "{message:x?}");
}

#[test]
fn hashes_of_any_length_are_the_gadgets() {
    let mut rng = XorShiftRng::from_seed([4; 16]);
    // 13 and 14 words are the last and the first with the length in the same and in another block.
    for n_words in [0, 1, 2, 13, 14, 15, 16, 17, 29, 30, 32, 40] {
        let message: Vec<_> = (0..n_words).map(|_| (rng.next_u32(), 0)).collect();
        check(&message);
    }
}

#[test]
fn constants_anywhere_are_left_out_as_the_gadget_does() {
    let mut rng = XorShiftRng::from_seed([5; 16]);
    for n_words in [1, 8, 16, 24, 32] {
        for dense in [0, 1, 2] {
            let mut constant = || match dense {
                0 => rng.next_u32(),
                1 => rng.next_u32() & rng.next_u32() & rng.next_u32(),
                _ => rng.next_u32() % 2 * u32::MAX,
            };
            let constants: Vec<_> = (0..n_words).map(|_| constant()).collect();
            let message: Vec<_> = constants.iter().map(|c| (rng.next_u32(), *c)).collect();
            check(&message);
        }
    }
    check(&[(rng.next_u32(), u32::MAX); 20]);
}

#[test]
fn a_compression_of_variables_has_so_many_bits() {
    let mut bits = Bits::default();
    compress(&mut bits, IV.map(|value| Word::variable(value, 0)), &[Word::variable(1, 0); 16]);
    assert_eq!(bits.len(), N_BITS);
}
